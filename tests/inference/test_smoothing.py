"""Smoothing: what it does to outlines, and that parts are smoothed as the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import UserError
from napari_unet.image.boxes import as_box
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.labels.smoothing import smoothed, smoothed_part
from napari_unet.model.header import ClassInfo, Output

CLASSES = (ClassInfo("background", "#000000"), ClassInfo("cell", "#e69f00"))
BINARY = Output("binary", "sigmoid", ("foreground",), CLASSES)
INSTANCES = Output("instances", "softmax", ("background", "interior", "boundary"), CLASSES)


def rough(seed: int = 0) -> np.ndarray:
    """A disk with frayed scores, of three channels that sum to one."""
    rows, columns = np.indices((60, 60))
    disk = (rows - 30) ** 2 + (columns - 30) ** 2 < 400
    interior = np.clip(disk + np.random.default_rng(seed).normal(0, 0.45, disk.shape), 0, 1).astype(np.float32)
    return np.stack([1 - interior, interior, np.zeros_like(interior)])


def outline(labels: np.ndarray) -> int:
    mask = labels > 0
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


@pytest.mark.parametrize("output", [BINARY, INSTANCES])
def test_outlines_become_smooth(output) -> None:
    scores = rough() if output is INSTANCES else rough()[1:2]
    lengths = [outline(decode(scores, output, ObjectSettings(smooth=radius, min_size=0))) for radius in (0, 2, 6)]
    assert lengths[0] > 2 * lengths[1] > lengths[2]
    plain = decode(scores, output, ObjectSettings(min_size=0))
    np.testing.assert_array_equal(decode(scores, output, ObjectSettings(min_size=0, smooth=0)), plain)


def test_a_stack_of_one_plane_is_smoothed_as_a_plane() -> None:
    scores, how = rough()[1:2], ObjectSettings(smooth=3)
    np.testing.assert_array_equal(decode(scores[:, None], BINARY, how)[0], decode(scores, BINARY, how))


def test_scores_that_sum_to_one_still_do() -> None:
    np.testing.assert_allclose(smoothed(rough(), 4).sum(axis=0), 1, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 6), st.booleans(), st.data())
def test_parts_are_smoothed_as_the_whole(radius, flat, data) -> None:
    shape = (1 if flat else 6, 20, 17)
    scores = np.random.default_rng(radius).random((2, 2, 8, 20, 17)).astype(np.float32)
    frame = as_box((1, 0, 0), (1 + shape[0], 20, 17))
    corner = [data.draw(st.integers(0, n - 1)) for n in shape]
    end = [data.draw(st.integers(c + 1, n)) for c, n in zip(corner, shape, strict=True)]
    box = as_box([1 + corner[0], *corner[1:]], [1 + end[0], *end[1:]])
    expected = smoothed_part(scores, 1, frame, frame, radius)
    here = (slice(None), slice(corner[0], end[0]), box[1], box[2])
    np.testing.assert_allclose(smoothed_part(scores, 1, box, frame, radius), expected[here], atol=1e-6)


@pytest.mark.parametrize("radius", [-1, 21])
def test_a_radius_out_of_range_is_refused(radius) -> None:
    with pytest.raises(UserError, match="smoothing radius"):
        ObjectSettings(smooth=radius)
