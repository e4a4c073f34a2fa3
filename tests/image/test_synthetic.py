"""Generated nuclei: exact truth, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.errors import ImageError
from napari_unet.image.synthetic import nuclei_2d, nuclei_3d, nuclei_time

KINDS = [(nuclei_2d, (96, 128)), (nuclei_3d, (12, 64, 72)), (nuclei_time, (3, 80, 96))]


@pytest.mark.parametrize(("generate", "shape"), KINDS)
def test_a_seed_decides_everything(generate: Callable[..., Any], shape: tuple[int, ...]) -> None:
    image, labels = generate(shape, seed=4)
    again, same = generate(shape, seed=4)
    other, _ = generate(shape, seed=5)
    assert image.shape == labels.shape == shape
    assert image.dtype == labels.dtype == np.uint16
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels, same)
    assert (image != other).any()


@pytest.mark.parametrize(("generate", "shape"), KINDS[:2])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_nucleus_is_one_piece(generate: Callable[..., Any], shape: tuple[int, ...], seed: int) -> None:
    _, labels = generate(shape, seed=seed)
    numbers = np.unique(labels)[1:]
    assert numbers.size > 3
    for number in numbers:
        assert ndimage.label(labels == number, np.ones((3,) * labels.ndim))[1] == 1


def test_some_nuclei_touch_and_all_are_brighter_than_the_background() -> None:
    image, labels = nuclei_2d((256, 256), seed=0)
    touching = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    assert touching.sum() > 20
    assert 0.15 < (labels > 0).mean() < 0.4
    background = np.median(image[labels == 0])
    means = ndimage.mean(image, labels, np.unique(labels)[1:])
    assert (means > background).all()
    assert means.std() / means.mean() > 0.15


def test_without_touching_there_is_a_gap() -> None:
    _, labels = nuclei_2d((128, 128), seed=2, touching=0.0, density=0.15)
    assert ndimage.label(labels > 0)[1] == np.unique(labels).size - 1


def test_nuclei_keep_their_numbers_through_time() -> None:
    _, labels = nuclei_time((4, 96, 96), seed=1)
    for before, after in pairwise(labels):
        common = np.intersect1d(before[before > 0], after[after > 0])
        assert common.size > 3
        overlaps = [(before == n)[after == n].mean() for n in common]
        assert np.mean(overlaps) > 0.5
    assert (labels[0] != labels[-1]).any()


def test_tiny_and_impossible_shapes() -> None:
    image, labels = nuclei_2d((1, 1), seed=0)
    assert image.shape == labels.shape == (1, 1)
    with pytest.raises(ImageError, match="2 positive"):
        nuclei_2d((0, 5))
    with pytest.raises(ImageError, match="3 positive"):
        nuclei_3d((5, 5))
