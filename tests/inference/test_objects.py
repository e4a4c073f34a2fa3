"""Scores to labels: classes, binary, connected objects, touching instances."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.errors import UserError
from napari_unet.inference.labels import splitting
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.model.header import COLORS, ClassInfo, Output

PAIR = (ClassInfo("background", COLORS[0]), ClassInfo("object", COLORS[1]))
INSTANCES = Output("instances", "softmax", ("background", "interior", "boundary"), PAIR)
BINARY = Output("binary", "sigmoid", ("foreground",), PAIR)


def disks(shape, centres, radius):
    """Return labels of round objects, each pixel given to the nearest centre."""
    grid = np.indices(shape)
    apart = [np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))) for centre in centres]
    nearest = np.argmin(apart, axis=0)
    return np.where(np.min(apart, axis=0) <= radius, nearest + 1, 0)


def instance_scores(labels):
    """Return soft background, interior and boundary scores of an exact label image."""
    low = ndimage.minimum_filter(labels, 3)
    high = ndimage.maximum_filter(labels, 3)
    boundary = (labels > 0) & (low != high)
    hard = np.stack([labels == 0, (labels > 0) & ~boundary, boundary]).astype(np.float32)
    return 0.9 * hard + 0.1 / 3


@pytest.mark.parametrize("ndim", [2, 3])
def test_touching_objects_come_apart(ndim):
    shape = (50, 60) if ndim == 2 else (24, 40, 50)
    middle = (25,) if ndim == 2 else (12, 20)
    centres = [(*middle, 15), (*middle, 32)]
    truth = disks(shape, centres, 9)
    found = decode(instance_scores(truth), INSTANCES)
    assert found.dtype == np.uint32 and found.shape == shape
    assert found.max() == 2
    assert (found > 0).sum() == (truth > 0).sum()
    assert (found == truth)[truth > 0].mean() > 0.98
    assert decode(instance_scores(truth), INSTANCES, ObjectSettings(split=0)).max() == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(40, 50), (10, 24, 30)]))
def test_numbers_follow_the_raster_and_nothing_depends_on_the_run(seed, shape):
    rng = np.random.default_rng(seed)
    centres = [tuple(rng.integers(0, n) for n in shape) for _ in range(6)]
    noise = rng.normal(0, 0.15, (3, *shape)).astype(np.float32)
    scores = np.clip(instance_scores(disks(shape, centres, 6)) + noise, 0, 1)
    found = decode(scores, INSTANCES)
    ids, first = np.unique(found, return_index=True)
    ids, first = ids[ids > 0], first[ids > 0]
    assert list(ids) == list(range(1, len(ids) + 1))
    assert (np.diff(first) > 0).all()
    assert (np.bincount(found.ravel())[1:] >= 20).all()
    np.testing.assert_array_equal(found, decode(scores, INSTANCES))
    for label in ids:
        assert ndimage.label(found == label, np.ones((3,) * len(shape)))[1] == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_splitting_more_eagerly_never_joins(seed):
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(rng.normal(size=(3, 48, 48)), (0, 2, 2)).astype(np.float32) * 12
    scores = np.exp(soft) / np.exp(soft).sum(axis=0)
    counts = [
        decode(scores, INSTANCES, ObjectSettings(split=split, min_size=0, fill_holes=False)).max()
        for split in (0, 0.3, 0.5, 0.65, 0.8, 1)
    ]
    assert counts == sorted(counts)


def test_small_objects_go_and_holes_close_but_not_those_between_objects():
    mask = np.zeros((30, 40), bool)
    mask[2:12, 2:12] = True
    mask[5:8, 5:8] = False
    mask[20:22, 2:4] = True
    mask[0:9, 30:40] = True
    mask[0:4, 33:36] = False  # open at the border: a bay, no hole
    scores = mask[None].astype(np.float32)
    found = decode(scores, BINARY, ObjectSettings(connected=True))
    assert found.max() == 2
    assert found[6, 6] == found[3, 3] > 0
    assert found[21, 3] == 0 and found[1, 34] == 0
    kept = decode(scores, BINARY, ObjectSettings(connected=True, min_size=0, fill_holes=False))
    assert kept.max() == 3 and kept[6, 6] == 0
    ring = disks((60, 60), [(18, 30), (35, 20), (35, 40)], 11)
    ring[28:31, 28:32] = 0
    split = decode(instance_scores(ring), INSTANCES, ObjectSettings(min_size=0))
    assert split[29, 30] == 0, "a gap that several objects enclose belongs to none"


@pytest.mark.parametrize(("ndim", "least"), [(2, 20), (3, 65)])
def test_what_is_smaller_than_a_disc_or_a_ball_of_five_voxels_goes(ndim, least):
    mask = np.zeros((5,) * (ndim - 1) + (60,), bool)
    sizes = {0: least - 1, 30: least}
    for start, size in sizes.items():
        part = mask[..., start : start + 13].copy()
        part.ravel()[:size] = True
        mask[..., start : start + 13] = part
    labels = decode(mask[None].astype(np.float32), BINARY, ObjectSettings(connected=True, fill_holes=False))
    assert np.bincount(labels.ravel())[1:].tolist() == [least]
    assert ObjectSettings(min_size=7).least_size(ndim) == 7
    assert ObjectSettings().settled(ndim).min_size == least
    assert ObjectSettings(min_size=7, split=0.25).settled(ndim) == ObjectSettings(min_size=7, split=0.25)


def test_classes_binary_and_threshold():
    output = Output("classes", "softmax", ("background", "a", "b"), (*PAIR, ClassInfo("b", COLORS[2])))
    scores = np.array([[[0.4, 0.2, 0.3]], [[0.4, 0.3, 0.3]], [[0.2, 0.5, 0.4]]])
    assert decode(scores, output).tolist() == [[0, 2, 2]]
    assert decode(np.array([[[0.4, 0.6]]]), BINARY).tolist() == [[0, 1]]
    assert decode(np.array([[[0.4, 0.6]]]), BINARY, ObjectSettings(threshold=0.3)).tolist() == [[1, 1]]


def test_a_plane_with_a_z_axis_and_empty_scores():
    truth = disks((40, 50), [(20, 15), (20, 32)], 9)
    scores = instance_scores(truth)
    np.testing.assert_array_equal(decode(scores[:, None], INSTANCES)[0], decode(scores, INSTANCES))
    empty = np.zeros((3, 1, 1), np.float32)
    empty[0] = 1
    assert decode(empty, INSTANCES).tolist() == [[0]]


def test_interior_and_boundary_without_background():
    output = Output("instances", "sigmoid", ("boundary", "interior"), PAIR)
    truth = disks((40, 50), [(20, 15), (20, 32)], 9)
    scores = instance_scores(truth)
    np.testing.assert_array_equal(decode(scores[[2, 1]], output), decode(scores, INSTANCES))


def test_what_does_not_fit_is_said():
    with pytest.raises(UserError, match="expected \\(3, \\[Z\\], Y, X\\)"):
        decode(np.zeros((2, 4, 4)), INSTANCES)
    with pytest.raises(UserError, match="threshold.*expected 0 to 1"):
        ObjectSettings(threshold=2)
    with pytest.raises(UserError, match="minimum size"):
        ObjectSettings(min_size=-1)


def test_what_the_panel_imports_is_free_of_torch():
    modules = "labels.objects", "tiles.tiling", "tiles.blending", "channels", "tiles.normalized"
    imports = "; ".join(f"import napari_unet.inference.{module}" for module in modules)
    code = f"import sys; {imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_specks_of_boundary_are_no_objects_even_if_all_sizes_are_kept() -> None:
    rng = np.random.default_rng(0)
    boundary = rng.uniform(0.3, 0.55, (60, 60))
    interior = rng.uniform(0, 0.05, (60, 60))
    interior[20:23, 20:23], boundary[20:23, 20:23] = 0.9, 0.05
    interior[19, 19:24] = interior[23, 19:24] = 0.05
    scores = np.stack([1 - boundary - interior, interior, boundary]).astype(np.float32)
    labels = decode(scores, INSTANCES, ObjectSettings(min_size=0))
    assert labels[21, 21] == 1 and labels.max() == 1


@given(st.integers(0, 10_000), st.sampled_from([(40, 50), (9, 20, 24)]))
@settings(max_examples=25, deadline=None)
def test_what_lies_deep_in_a_seed_changes_nothing(seed, shape):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    ridge = np.clip(noise / np.abs(noise).max(), -1, 1).astype(np.float32)
    everywhere = np.ones(shape, np.int32)
    found = splitting.parted(everywhere, 1, ridge, splitting.LEVELS[:5], 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "_surrounded", np.zeros_like)
        plain = splitting.parted(everywhere, 1, ridge, splitting.LEVELS[:5], 2)
    assert found[1] == plain[1]
    np.testing.assert_array_equal(found[0], plain[0])
