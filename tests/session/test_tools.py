"""All correction tools on volumes, series and several images: each is one step, and undo takes all of them back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.errors import ConfirmationNeeded, UserError
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session
from napari_unet.session.correcting import ASK_ABOVE

from .conftest import blobs, threshold_checkpoint

SHAPE = (2, 4, 24, 28)  # t, z, y, x


def balls(seed):
    """Bright balls in a time series of volumes."""
    rng = np.random.default_rng(seed)
    grid = np.indices(SHAPE[1:])
    image = np.zeros(SHAPE, np.float32)
    for t in range(SHAPE[0]):
        for _ in range(4):
            centre = rng.uniform((0, 4, 4), (3, 20, 24))[:, None, None, None]
            image[t][(((grid - centre) / np.array((0.5, 1, 1))[:, None, None, None]) ** 2).sum(0) < 16] = 1
    return image


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A session with two segmented time series of volumes."""
    folder = tmp_path_factory.mktemp("tools")
    session = Session(JobRunner("inline"), WorkFolder.create(folder / "work"))
    threshold_checkpoint("instances", 3).save(folder / "model.safetensors")
    session.select_model(str(folder / "model.safetensors"))
    ids = []
    for seed in (1, 2):
        source = ImageSource.from_array(balls(seed), axes="TZYX", name=f"series{seed}", scale=(2.0, 1.0, 1.0))
        ids.append(session.add_image(source))
        session.segment(ids[-1])
    assert all(session.labels(image_id).truth.labels.any() for image_id in ids)
    yield session, ids
    session.close()


def snapshot(session, ids):
    truths = [session.labels(image_id).truth for image_id in ids]
    return [a.copy() for truth in truths for a in (truth.labels, truth.known, truth.changed, truth.prediction)]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


places = st.tuples(*(st.integers(0, n - 1) for n in SHAPE[1:]))
actions = st.tuples(
    st.sampled_from(
        ("paint", "new", "erase", "accept", "view", "slice", "region", "delete", "join", "split", "line", "oblique")
    ),
    st.integers(0, 1),
    st.integers(0, SHAPE[0] - 1),
    places,
    places,
)


def act(session, image_id, tool, t, first, second):
    """Use one tool; return whether it did something."""
    box = tuple(slice(min(a, b), max(a, b) + 1) for a, b in zip(first, second, strict=True))
    flat = (slice(first[0], first[0] + 1), *box[1:])
    if tool in ("paint", "new", "erase"):
        session.begin_stroke(image_id)
        truth = session.labels(image_id).truth
        value = {"paint": int(truth.labels[t][second]), "erase": 0}.get(tool)
        truth.labels[t][flat] = session.new_object_id(image_id) if value is None else value
        swept = np.ones(tuple(s.stop - s.start for s in flat), bool)
        return session.end_stroke(image_id, t, flat, swept, tool)
    commands = {
        "accept": lambda: session.accept_object(image_id, t, first),
        "view": lambda: session.accept_box(image_id, t, flat),
        "slice": lambda: session.accept_slice(image_id, t, first[0]),
        "region": lambda: session.accept_region(image_id, t, flat),
        "delete": lambda: session.delete_object(image_id, t, first),
        "join": lambda: session.join_objects(image_id, t, (first, second)),
        "split": lambda: session.split_object(image_id, t, first, second),
        "line": lambda: session.split_along(image_id, t, (first, second)),
        "oblique": lambda: session.split_along(image_id, t, (first, second), (1.0, 0.5, -0.25), first),
    }
    return commands[tool]()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(actions, min_size=4, max_size=40))
def test_undo_and_redo_of_any_tools_in_any_order(work, steps):
    session, ids = work
    session.history.clear()
    states = [snapshot(session, ids)]
    for tool, which, t, first, second in steps:
        image_id = ids[which]
        others = [a for i in ids for s in range(SHAPE[0]) if (i, s) != (image_id, t) for a in at_time(session, i, s)]
        before = [a.copy() for a in others]
        try:
            done = act(session, image_id, tool, t, first, second)
        except UserError:
            done = False
        assert same(others, before), "a tool reached another time point or another image"
        if done:
            states.append(snapshot(session, ids))
        assert same(snapshot(session, ids), states[-1])
    for state in reversed(states[:-1]):
        session.undo()
        assert same(snapshot(session, ids), state)
    assert session.undo() is None
    for state in states[1:]:
        session.redo()
        assert same(snapshot(session, ids), state)
    while session.undo() is not None:
        pass


def at_time(session, image_id, t):
    truth = session.labels(image_id).truth
    return [a[t] for a in (truth.labels, truth.known, truth.changed, truth.prediction)]


def test_what_a_tool_changed_is_told(work):
    """Whoever shows the labels, or keeps them on disk, is told of every voxel that a step, or its undo, changed."""
    session, (image_id, _) = work
    session.history.clear()
    told = []
    session.events.labels_changed.connect(lambda *place: told.append(place))
    point = tuple(int(v) for v in np.argwhere(session.labels(image_id).truth.labels[1])[0])
    far = tuple(int(v) for v in np.argwhere(session.labels(image_id).truth.labels[1])[-1])
    for command in (
        lambda: session.accept_object(image_id, 1, point),
        lambda: session.split_object(image_id, 1, point, (point[0], point[1], point[2] + 2)),
        lambda: session.join_objects(image_id, 1, (point, far)),
        lambda: session.delete_object(image_id, 1, far),
        session.undo,
        session.undo,
        session.redo,
        session.undo,
        session.undo,
        session.undo,
    ):
        before = snapshot(session, (image_id,))[:3]
        told.clear()
        command()
        missed = np.zeros(SHAPE, bool)
        for old, new in zip(before, snapshot(session, (image_id,))[:3], strict=True):
            missed |= old != new
        assert missed.any()
        for _, t, box in told:
            missed[t][box] = False
        assert not missed.any()


def test_two_images_corrected_one_after_the_other_both_teach(work):
    session, ids = work
    session.history.clear()
    for image_id in ids:
        z, y, x = (int(v) for v in np.argwhere(session.labels(image_id).truth.labels[0])[0])
        session.accept_object(image_id, 0, (z, y, x))
    session.accept_slice(ids[0], 1, 2)
    images = list(session._known_images(session.need_model()))
    assert [image.image_id for image in images] == ids
    for image in images:
        known = sum(int(crop.known.sum()) for crop in image.crops)
        assert known == session.labels(image.image_id).truth.n_known
        for crop in image.crops:
            assert np.array_equal(crop.labels, session.labels(image.image_id).truth.labels[crop.t][crop.box])
    assert {crop.t for crop in images[0].crops} == {0, 1}
    while session.undo() is not None:
        pass


def test_ids_are_inherited_and_known_objects_keep_theirs(work):
    session, (image_id, _) = work
    session.history.clear()
    truth = session.labels(image_id).truth
    point = tuple(int(v) for v in np.argwhere(truth.labels[0])[0])
    second = (point[0], point[1], point[2] + 2)
    session.split_object(image_id, 0, point, second)
    corrected = truth.labels.copy()
    first_id, second_id = int(truth.labels[0][point]), int(truth.labels[0][second])
    assert first_id != second_id
    session.segment(image_id)
    assert np.array_equal(truth.labels[truth.known], corrected[truth.known])
    assert np.array_equal(truth.labels[1], corrected[1]), "the same objects have the same ids"
    assert set(np.unique(truth.labels)) <= set(np.unique(corrected))
    while session.undo() is not None:
        pass


def many(session, tmp_path, kind="instances"):
    """An image of 64 spots, segmented."""
    image = np.zeros((128, 128), np.float32)
    for y in range(8, 128, 16):
        for x in range(8, 128, 16):
            image[y - 3 : y + 4, x - 3 : x + 4] = 1
    threshold_checkpoint(kind).save(tmp_path / f"{kind}.safetensors")
    session.select_model(str(tmp_path / f"{kind}.safetensors"))
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="spots"))
    session.segment(image_id)
    return image_id


def test_many_objects_are_accepted_only_when_confirmed(session, tmp_path):
    image_id = many(session, tmp_path)
    truth = session.labels(image_id).truth
    everything, some = (slice(0, 1), slice(0, 128), slice(0, 128)), (slice(0, 1), slice(0, 64), slice(0, 128))
    assert session.objects_in(image_id, 0, everything) == 64 > ASK_ABOVE
    for command in (
        lambda **how: session.accept_box(image_id, 0, everything, **how),
        lambda **how: session.accept_region(image_id, 0, everything, **how),
        lambda **how: session.accept_slice(image_id, 0, 0, **how),
    ):
        with pytest.raises(ConfirmationNeeded, match="64 objects") as question:
            command()
        assert question.value.count == 64
        assert truth.n_known == 0
        assert command(confirmed=True)
        assert truth.n_known == 128 * 128
        session.undo()
    assert session.accept_region(image_id, 0, some), "32 objects are accepted at once"
    assert session.history.next_undo == "accept region"
    assert session.objects_in(image_id, 0, everything) == 32, "what is known already does not count"
    assert session.accept_box(image_id, 0, everything)


def test_classes_are_accepted_without_a_question(session, tmp_path):
    image_id = many(session, tmp_path, "classes")
    assert session.objects_in(image_id, 0, (slice(0, 1), slice(0, 128), slice(0, 128))) == 0
    assert session.accept_slice(image_id, 0, 0)
    with pytest.raises(UserError, match="classes"):
        session.new_object_id(image_id)


def test_new_objects_never_reuse_an_id(opened):
    session, image_id, _ = opened
    truth = session.labels(image_id).truth
    used = set(np.unique(truth.labels).tolist())
    for _ in range(3):
        new = session.new_object_id(image_id)
        assert new not in used
        used.add(new)
        session.begin_stroke(image_id)
        truth.labels[0, 0, 80:84, 4:8] = new
        session.end_stroke(image_id, 0, (slice(0, 1), slice(80, 84), slice(4, 8)), None)
        session.delete_object(image_id, 0, (0, 81, 5))


def test_a_line_cuts_a_blob_in_one_step(opened):
    session, image_id, labels = opened
    truth = session.labels(image_id).truth
    before = truth.labels.copy()
    y, x = (int(v) for v in np.argwhere(labels == 1).mean(0))
    assert session.split_along(image_id, 0, [(0, y - 15, x + 0.5), (0, y + 15, x + 0.5)])
    assert truth.labels[0, 0, y, x - 3] != truth.labels[0, 0, y, x + 3]
    assert session.undo() == "split"
    assert np.array_equal(truth.labels, before)
    assert blobs()[1].shape == before.shape[2:]
