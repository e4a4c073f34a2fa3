from dataclasses import replace

import numpy as np

from napari_unet.image.normalize import Normalization, measure
from napari_unet.image.source import ImageSource
from napari_unet.learning.assignment import Place
from napari_unet.learning.samples import BLOCK, CONTEXT, GAP, hold_back, known_regions
from napari_unet.model.header import ClassInfo, Output

NORMALIZATION = Normalization()


def regions_of(shape, boxes, ndim=2, channels=1):
    """Regions of a random image whose `boxes` are known."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(shape[0], channels, *shape[1:])).astype(np.float32)
    source = ImageSource(image, "TCZYX")
    labels = rng.integers(0, 3, shape).astype(np.uint16)
    known = np.zeros(shape, bool)
    for box in boxes:
        known[box] = True
    statistics = measure(source, NORMALIZATION)
    found = known_regions(
        source, statistics, NORMALIZATION, labels, known, image_id="a", ndim=ndim, changed=known & (labels == 1)
    )
    return image, labels, known, found


def test_crops_hold_everything_known_and_the_right_pixels():
    boxes = [np.s_[0, 0, 10:20, 10:20], np.s_[1, 2, 500:600, 100:700], np.s_[0, 2, 0:5, 890:900]]
    image, labels, known, regions = regions_of((2, 3, 700, 900), boxes, channels=2)
    covered = np.zeros(known.shape, bool)
    for region in regions:
        where = (region.t, *region.box)
        covered[where] |= region.known
        assert np.array_equal(region.labels, labels[where])
        assert region.image.shape[1:] == region.labels.shape
        assert region.labels.shape[0] == 1, "a 2D model trains on planes"
        raw = image[region.t][(slice(None), *region.box)]
        assert np.corrcoef(region.image.ravel(), raw.ravel())[0, 1] > 0.99
        assert (region.weight[region.known & (region.labels == 1)] == 3).all()
    assert np.array_equal(covered, known)
    assert sum(r.known.size for r in regions) < known.size / 3


def test_far_corners_do_not_make_one_large_crop():
    boxes = [np.s_[0, 0, i : i + 20, i : i + 20] for i in range(0, 2000, 90)]
    _, _, _, regions = regions_of((1, 1, 2000, 2000), boxes)
    assert sum(r.known.size for r in regions) < 2000 * 2000 / 2


def test_a_volume_makes_crops_with_depth():
    _, _, _, regions = regions_of((1, 40, 200, 200), [np.s_[0, 5:9, 50:90, 50:90]], ndim=3)
    assert len(regions) == 1
    assert regions[0].labels.shape[0] >= 16


def test_nothing_known_makes_no_crop():
    assert regions_of((1, 1, 50, 50), [])[3] == []


def test_held_back_blocks_keep_a_gap_and_hold_what_they_say():
    _, _, known, regions = regions_of((1, 1, 640, 640), [np.s_[0, 0, :, :]])
    split = hold_back(regions, 2, seed=1)
    assert 0.1 < len(split.blocks) / 100 < 0.25
    trained = np.zeros((1, 640, 640), bool)
    for region in split.training:
        trained[region.box] |= region.known
    for block, region in zip(split.blocks, split.validation, strict=True):
        z, y, x = block.box
        gap = GAP[1]
        assert not trained[z, max(y.start - gap, 0) : y.stop + gap, max(x.start - gap, 0) : x.stop + gap].any()
        assert block.n_known == 64 * 64
        inner = np.zeros(trained.shape, bool)
        inner[region.box] = region.known & (region.weight > 0)
        assert inner.sum() == inner[block.box].sum() == block.n_known
    assert 0.5 < trained.sum() / known.sum() < 0.8


def test_what_validates_teaches_nothing_by_pseudo_labels_either():
    _, _, _, regions = regions_of((1, 1, 640, 640), [np.s_[0, 0, :, :]])
    regions = [replace(region, soft=np.ones((2, *region.labels.shape), np.float32)) for region in regions]
    split = hold_back(regions, 2, seed=1)
    assert split.blocks
    for region in split.training:
        np.testing.assert_array_equal(region.soft.any(axis=0), region.known)


def test_too_few_places_hold_nothing_back_and_train_for_good():
    _, _, _, regions = regions_of((1, 1, 300, 300), [np.s_[0, 0, 70:100, 70:100]])
    split = hold_back(regions, 2)
    assert split.validation == ()
    assert np.array_equal(split.training[0].known, regions[0].known)
    _, _, _, more = regions_of((1, 1, 300, 300), [np.s_[0, 0, :, :]])
    later = hold_back(more, 2, assignment=split.assignment)
    assert len(later.blocks) >= 2
    assert later.assignment.role(Place("a", (0, 1, 1))) == "train"


def test_a_class_is_never_held_back_as_a_whole():
    _, _, _, regions = regions_of((1, 1, 640, 640), [np.s_[0, 0, :, :]])
    output = Output("classes", "softmax", ("a", "b"), (ClassInfo("a", "#000000"), ClassInfo("b", "#000000")))
    split = hold_back(regions, 2, 1, output)
    place = split.blocks[0].box
    for region in regions:
        region.labels[:] = 0
        rare = np.zeros((1, 640, 640), int)
        rare[place[0], place[1].start + 20 : place[1].start + 30, place[2].start + 20 : place[2].start + 30] = 1
        region.labels[:] = rare[region.box]
    again = hold_back(regions, 2, 1, output)
    assert place not in [block.box for block in again.blocks]
    assert len(again.blocks) == len(split.blocks)
    assert any((r.labels[r.known] == 1).any() for r in again.training)


def test_a_place_is_one_for_2d_and_3d_models_and_for_all_times():
    boxes = [np.s_[t, z, :, :] for t in (0, 1) for z in (3, 9, 30)]
    _, _, _, flat = regions_of((2, 40, 200, 200), boxes, ndim=2)
    split = hold_back(flat, 2)
    assert {block.t for block in split.blocks} == {0, 1}
    _, _, _, solid = regions_of((2, 40, 200, 200), boxes, ndim=3)
    later = hold_back(solid, 3, assignment=split.assignment)
    assert later.assignment == split.assignment
    held = {(b.box[0].start // 16, b.box[1].start, b.box[2].start) for b in split.blocks}
    assert {(b.box[0].start // 16, b.box[1].start, b.box[2].start) for b in later.blocks} == held


def test_sizes_stated():
    assert BLOCK == {2: (1, 64, 64), 3: (16, 64, 64)}
    assert CONTEXT[2] == (0, 32, 32)
