"""Places keep their role, whatever comes later; nothing that validates is ever seen by training."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import UserError
from napari_unet.learning.assignment import (
    ENOUGH_PLACES,
    GAP,
    PLACE,
    WHOLE_IMAGES,
    Assignment,
    Place,
    quota,
)
from napari_unet.learning.regions import TrainingRegion
from napari_unet.learning.samples import hold_back

indices = st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5))
places = st.builds(Place, st.sampled_from([f"image-{n}" for n in range(14)]), indices)
rounds = st.lists(st.tuples(st.lists(places, max_size=25), st.integers(0, 3), st.booleans()), max_size=8)


def always(places):
    return True


def alike(places):
    """Places in all of which the same is known."""
    return dict.fromkeys(places, frozenset({0}))


@settings(max_examples=40, deadline=None)
@given(rounds, st.dictionaries(st.sampled_from([f"image-{n}" for n in range(14)]), st.sampled_from("abc")))
def test_an_assigned_place_never_changes(rounds, groups):
    """Whatever comes in which order, with another seed, other groups, other demands, through JSON and back."""
    assignment, seen = Assignment(), {}
    for found, seed, spare in rounds:
        assignment = Assignment(seed, assignment.blocks, assignment.images, assignment.groups)
        assignment = assignment.extended(alike(found), lambda places, spare=spare: spare)
        assert all(assignment.role(place) == role for place, role in seen.items())
        seen |= {place: assignment.role(place) for place in found}
        assert None not in seen.values()
        for image, name in groups.items():
            assignment = assignment.with_group(image, name)
        assignment = Assignment.load(json.loads(json.dumps(assignment.dump())))
        merged = assignment.merged(Assignment(9).extended(alike(found), always))
        assert all(merged.role(place) == role for place, role in seen.items())


def image_region(image_id, mask, t=0):
    labels = np.arange(mask.size).reshape(mask.shape) % 2
    image = np.zeros((1, *mask.shape), np.float32)
    return TrainingRegion(image, labels, mask, None, image_id, t, (0, 0, 0))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_voxel_trains_within_the_gap_of_what_validates(data):
    """Over rounds in which more becomes known, at random places, in 2D and 3D models taking turns."""
    shape = (20, 210, 230)
    known = [np.zeros(shape, bool) for _ in range(2)]
    assignment = None
    for _ in range(data.draw(st.integers(1, 3))):
        for _ in range(data.draw(st.integers(1, 8))):
            t, z = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 16))
            y, x = data.draw(st.integers(0, 180)), data.draw(st.integers(0, 200))
            height, width = data.draw(st.integers(3, 120)), data.draw(st.integers(3, 120))
            known[t][z : z + data.draw(st.integers(1, 5)), y : y + height, x : x + width] = True
        ndim = data.draw(st.sampled_from([2, 3]))
        regions = [image_region("a", mask.copy(), t) for t, mask in enumerate(known)]
        split = hold_back(regions, ndim, assignment=assignment)
        assignment = split.assignment
        forbidden = np.zeros(shape, bool)
        for place, role in assignment.blocks.items():
            if role == "validation":
                low = [max(i * n - g, 0) for i, n, g in zip(place.cell, PLACE, GAP, strict=True)]
                high = [(i + 1) * n + g for i, n, g in zip(place.cell, PLACE, GAP, strict=True)]
                forbidden[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
        for region in split.training:
            assert not (region.known & forbidden[region.box]).any()
        for region in split.validation:
            z, y, x = np.nonzero(region.known & (region.weight > 0))
            origin = region.origin
            found = {
                tuple((p + o) // n for p, o, n in zip(voxel, origin, PLACE, strict=True))
                for voxel in zip(z, y, x, strict=True)
            }
            assert {assignment.role(Place("a", index)) for index in found} == {"validation"}


def grid(image_id, n):
    return [Place(image_id, (0, i // 8, i % 8)) for i in range(n)]


def test_quota_and_the_first_places():
    assert quota(ENOUGH_PLACES - 1) == 0
    assert quota(ENOUGH_PLACES) == 2
    assert quota(40) == 8
    assert quota(180) == 26
    few = Assignment().extended(alike(grid("a", ENOUGH_PLACES - 1)), always)
    assert set(few.blocks.values()) == {"train"}
    enough = Assignment().extended(alike(grid("a", ENOUGH_PLACES)), always)
    assert sorted(enough.blocks.values()) == ["train"] * 4 + ["validation"] * 2
    one_by_one = few.extended(alike(grid("a", ENOUGH_PLACES)), always)
    assert list(one_by_one.blocks.values()).count("validation") == 1


def test_each_class_validates_somewhere_if_it_can():
    found = dict.fromkeys(grid("a", 60), frozenset({0}))
    rare = [Place("a", (0, 20, 20)), Place("a", (0, 30, 30))]
    found |= dict.fromkeys(rare, frozenset({0, 1}))
    assignment = Assignment().extended(found, always)
    assert "validation" in {assignment.role(place) for place in rare}
    more = found | {Place("a", (0, 40, 40)): frozenset({2}), Place("a", (0, 50, 50)): frozenset({0})}
    for place in list(more)[:60]:
        more[Place("b", place.cell)] = frozenset({0})
    assert assignment.extended(more, always).role(Place("a", (0, 40, 40))) == "validation"


def test_places_beside_what_has_trained_are_taken_last():
    first = Assignment().extended(alike([Place("a", (0, 0, i)) for i in range(5)]), always)
    new = [Place("a", (0, 1, i)) for i in range(5)] + [Place("a", (0, 9, 9)), Place("a", (0, 12, 3))]
    later = first.extended(alike(new), always)
    held = {place for place, role in later.blocks.items() if role == "validation"}
    assert held == set(new[-2:])


def test_new_images_are_whole_once_there_are_enough_and_old_ones_stay_divided():
    divided = Assignment().extended(alike([p for n in range(WHOLE_IMAGES - 1) for p in grid(f"old-{n}", 6)]), always)
    assert divided.images == {}
    later = divided.extended(alike([p for n in range(10) for p in grid(f"new-{n}", 6)] + grid("old-0", 9)), always)
    assert set(later.images) == {f"new-{n}" for n in range(10)}
    assert list(later.images.values()).count("validation") == 2
    assert later.role(Place("old-0", (0, 1, 0))) is not None
    assert "old-0" not in later.images
    held = next(image for image, role in later.images.items() if role == "validation")
    assert later.held_out(held, (slice(0, 3), slice(5, 9), slice(0, 4))).all()


def test_siblings_stay_together_and_train_if_one_ever_did():
    assignment = Assignment()
    for n in range(40):
        assignment = assignment.with_group(f"image-{n}", f"animal-{n // 4}")
    start = assignment.extended(alike([p for n in range(10) for p in grid(f"image-{n}", 3)]), always)
    rest = start
    for n in range(10, 40):
        rest = rest.extended(alike(grid(f"image-{n}", 3)), always)
    for animal in range(10):
        roles = {rest.images[f"image-{n}"] for n in range(4 * animal, 4 * animal + 4)}
        assert len(roles) == 1, "siblings that came later follow the first ones"
    assert 4 <= list(rest.images.values()).count("validation") <= 12
    divided = Assignment(groups=assignment.groups).extended(alike(grid("image-0", 8)), always)
    whole = divided.extended(alike([p for n in range(1, 40) for p in grid(f"image-{n}", 3)]), always)
    assert {whole.images[f"image-{n}"] for n in (1, 2, 3)} == {"train"}, "their sibling has trained"


def test_another_grid_is_refused():
    with pytest.raises(UserError, match="list of blocks"):
        Assignment.load({**Assignment().dump(), "place": [1, 32, 32]})
