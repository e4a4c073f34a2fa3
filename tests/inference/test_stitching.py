"""Objects over blocks: the same as from the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.errors import OutputError
from napari_unet.image.boxes import whole
from napari_unet.inference.labels import agreement
from napari_unet.inference.labels.blocks import BlockPlan
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.labels.stitching import Stitcher
from napari_unet.model.header import COLORS, ClassInfo, Output

PAIR = (ClassInfo("background", COLORS[0]), ClassInfo("object", COLORS[1]))
INSTANCES = Output("instances", "softmax", ("background", "interior", "boundary"), PAIR)
BINARY = Output("binary", "sigmoid", ("foreground",), PAIR)
FEW = {"max_examples": 20, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def stitched(folder, scores, output, options, core, margin, dtype=np.uint32, regions=None):
    """Decode (T, C, Z, Y, X) scores block by block; return the labels and how many objects there are."""
    labels = np.zeros((scores.shape[0], *scores.shape[2:]), dtype)
    regions = regions or [(t, whole(scores.shape[2:])) for t in range(scores.shape[0])]
    here = folder / f"{np.random.default_rng().integers(2**60)}"
    here.mkdir()
    stitcher = Stitcher(scores, regions, output, options, core=core, margin=margin, folder=here, dtype=dtype)
    steps = []
    for block, values in stitcher.blocks(progress=lambda done, total: steps.append((done, total))):
        labels[(block.t, *block.core)] = values
    assert steps[-1] == (stitcher.total, stitcher.total)
    return labels, stitcher.count


def random_objects(rng, shape, count, largest):
    """Return labels of boxes and ellipsoids of at most `largest` in extent, later ones over earlier ones."""
    labels = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for n in range(1, count + 1):
        centre = [rng.integers(0, size) for size in shape]
        radius = [rng.uniform(1, largest / 2) for _ in shape]
        apart = [abs(g - c) / r for g, c, r in zip(grid, centre, radius, strict=True)]
        there = np.max(apart, axis=0) <= 1 if rng.random() < 0.3 else sum(a**2 for a in apart) <= 1
        labels[there] = n
    return labels


def instance_scores(labels, rng):
    """Return soft scores of an exact label image, with noise that leaves the foreground as it is."""
    edge = (labels > 0) & (ndimage.minimum_filter(labels, 3) != ndimage.maximum_filter(labels, 3))
    hard = np.stack([labels == 0, (labels > 0) & ~edge, edge]).astype(np.float32)
    noise = rng.normal(0, 0.1, hard.shape)
    noise[0] = 0
    return np.clip(0.8 * hard + 0.1 + noise, 0, 1).astype(np.float32)


def longest(mask):
    """Return the largest extent of the connected parts of a mask."""
    found = ndimage.find_objects(ndimage.label(mask, np.ones((3,) * mask.ndim))[0])
    return max((max(s.stop - s.start for s in box) for box in found), default=1)


options = st.builds(
    ObjectSettings,
    threshold=st.just(0.5),
    min_size=st.sampled_from([0, 5, 30]),
    split=st.sampled_from([0.0, 0.5, 1.0]),
    fill_holes=st.booleans(),
    connected=st.just(True),
)


@settings(**FEW)
@given(st.integers(0, 2**32), st.booleans(), st.data(), options)
def test_connected_objects_are_those_of_the_whole_image(tmp_path, seed, deep, data, chosen):
    """Whatever their size and shape: across corners, through many blocks, around holes of other blocks."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in (rng.integers((2, 6, 6), (12, 24, 24)) if deep else (1, *rng.integers(5, 50, 2))))
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 2) if deep else (0, 1.2, 1.2))
    scores = (smooth > np.quantile(smooth, rng.uniform(0.3, 0.9))).astype(np.float32)[None, None]
    core = tuple(data.draw(st.integers(3, 20)) for _ in range(3))
    labels, count = stitched(tmp_path, scores, BINARY, chosen, core, (1, 1, 1))
    expected = decode(scores[0], BINARY, chosen)
    np.testing.assert_array_equal(labels[0], expected)
    assert count == expected.max()


@settings(**FEW)
@given(st.integers(0, 2**32), st.booleans(), st.data(), options)
def test_touching_objects_are_those_of_the_whole_image(tmp_path, seed, deep, data, chosen):
    """As long as what touches extends over no more than the margin."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in (rng.integers((4, 20, 20), (16, 36, 36)) if deep else (1, *rng.integers(20, 90, 2))))
    truth = random_objects(rng, shape[not deep :], int(rng.integers(1, 14)), 9).reshape(shape)
    scores = instance_scores(truth[0] if not deep else truth, rng)
    scores = scores.reshape(1, 3, *shape)
    core = tuple(data.draw(st.integers(4, 30)) for _ in range(3))
    margin = longest(truth > 0)
    labels, count = stitched(tmp_path, scores, INSTANCES, chosen, core, (margin,) * 3)
    expected = decode(scores[0], INSTANCES, chosen)
    np.testing.assert_array_equal(labels[0], expected)
    assert count == expected.max()


def worm(rng, shape, steps):
    """Return a thick random walk with a smooth course, and how it looks as a mask."""
    mask = np.zeros(shape, bool)
    place, heading = rng.uniform(0, np.array(shape)), rng.normal(size=len(shape))
    grid = np.indices(shape)
    for _ in range(steps):
        heading = heading + 0.5 * rng.normal(size=len(shape))
        heading /= np.linalg.norm(heading) + 1e-9
        place = np.clip(place + 3 * heading, 0, np.array(shape) - 1)
        mask |= sum((g - p) ** 2 for g, p in zip(grid, place, strict=True)) <= 16
    return mask


@settings(**FEW)
@given(st.integers(0, 2**32), st.booleans(), st.data())
def test_an_object_through_many_blocks_stays_one(tmp_path, seed, deep, data):
    """Bent through corners, seen as several arms by some blocks and never as a whole by any."""
    rng = np.random.default_rng(seed)
    shape = (24, 40, 40) if deep else (1, 110, 110)
    mask = worm(rng, shape[not deep :], 12 if deep else 40).reshape(shape)
    truth = mask[0].astype(int) if not deep else mask.astype(int)
    scores = instance_scores(truth, rng).reshape(1, 3, *shape)
    core = tuple(data.draw(st.integers(12, 24)) for _ in range(3))
    chosen = ObjectSettings(split=0.0, min_size=20)  # a short worm is little
    labels, count = stitched(tmp_path, scores, INSTANCES, chosen, core, (6, 6, 6))
    np.testing.assert_array_equal(labels[0], decode(scores[0], INSTANCES, chosen))
    assert count == 1


def test_touching_cells_that_fill_the_image_are_found_once_each(tmp_path):
    """All foreground is connected, so no block ever sees the whole: the blocks have to agree."""
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(8, 200, 16), np.arange(8, 200, 16)), -1).reshape(-1, 2)
    centres = centres + rng.uniform(-3, 3, centres.shape)
    rows, columns = np.indices((200, 200))
    apart = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in centres]
    truth = np.argmin(apart, axis=0) + 1
    scores = instance_scores(truth, rng)[None, :, None]
    expected = decode(scores[0], INSTANCES)
    for core in (40, 64, 97):
        labels, count = stitched(tmp_path, scores, INSTANCES, ObjectSettings(), (1, core, core), (1, 24, 24))
        assert count == expected.max() == len(centres)
        same = np.unique(np.stack([labels[0].ravel(), expected.ravel()]), axis=1, return_counts=True)
        assert same[1].max() < truth.size and same[1][same[0][0] == same[0][1]].sum() > 0.999 * truth.size


def test_each_region_is_numbered_on_and_decoded_on_its_own(tmp_path):
    scores = np.zeros((2, 1, 3, 20, 20), np.float32)
    scores[:, :, :, 4:8, 4:16] = 1
    chosen = ObjectSettings(connected=True)
    regions = [(t, (slice(z, z + 1), slice(0, 20), slice(0, 20))) for t in range(2) for z in range(3)]
    labels, count = stitched(tmp_path, scores, BINARY, chosen, (1, 8, 8), (1, 2, 2), regions=regions)
    assert count == 6
    assert labels[:, :, 5, 5].ravel().tolist() == [1, 2, 3, 4, 5, 6]
    labels, count = stitched(tmp_path, scores, BINARY, chosen, (2, 8, 8), (1, 2, 2))
    assert count == 2
    part = [(1, (slice(0, 3), slice(2, 20), slice(6, 13)))]
    labels, count = stitched(tmp_path, scores, BINARY, chosen, (2, 8, 8), (1, 2, 2), regions=part)
    assert count == 1 and labels.astype(bool).sum() == 3 * 4 * 7


def test_large_images_are_kept_on_the_disk_meanwhile(tmp_path, monkeypatch):
    """The same with every temporary array in a Zarr."""
    monkeypatch.setattr(agreement, "_IN_MEMORY", 0)
    rng = np.random.default_rng(5)
    for shape in ((1, 90, 80), (20, 40, 40)):
        truth = random_objects(rng, shape, 12, 9)
        scores = (instance_scores(truth[0], rng)[:, None] if shape[0] == 1 else instance_scores(truth, rng))[None]
        labels, _ = stitched(tmp_path, scores, INSTANCES, ObjectSettings(), (16, 32, 32), (8, 16, 16))
        np.testing.assert_array_equal(labels[0], decode(scores[0], INSTANCES))


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 255), (np.uint16, 65535)])
def test_too_many_objects_are_an_error(tmp_path, dtype, most):
    side = 2 * int(np.ceil(np.sqrt(most + 1)))
    scores = np.zeros((1, 1, 1, side, side), np.float32)
    scores[..., ::2, ::2] = 1
    chosen = ObjectSettings(connected=True, min_size=0)
    with pytest.raises(OutputError, match=f"more than {most}"):
        stitched(tmp_path, scores, BINARY, chosen, (1, 64, 64), (1, 1, 1), dtype=dtype)
    assert stitched(tmp_path, scores, BINARY, chosen, (1, 64, 64), (1, 1, 1))[1] == (side // 2) ** 2


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 24)] * 3), st.tuples(*[st.integers(5, 17)] * 3), st.tuples(*[st.integers(0, 12)] * 3))
def test_blocks_partition_the_region_along_the_grid(shape, core, margin):
    plan = BlockPlan([(0, whole(shape))], core, margin)
    covered = np.zeros(shape, int)
    for block in plan.blocks:
        covered[block.core] += 1
        assert all(span.start % size == 0 for span, size in zip(block.core, core, strict=True))
        seen = {other.index for other, _ in plan.earlier(block)}
        for other in plan.blocks[: block.index]:
            meets = all(a.start < b.stop and b.start < a.stop for a, b in zip(other.outer, block.outer, strict=True))
            assert meets == (other.index in seen)
    assert (covered == 1).all()
