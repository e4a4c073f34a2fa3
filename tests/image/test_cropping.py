"""A crop reads what the whole image holds at that place, whatever the order of its axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image.boxes import as_box
from napari_unet.image.cropping import CroppedArray, crop_source
from napari_unet.image.source import ImageSource

LENGTHS = {"T": 3, "C": 2, "Z": 5, "Y": 7, "X": 9}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), axes=st.permutations("TCZYX"), t=st.integers(0, 2))
def test_a_crop_reads_what_the_whole_holds(data: st.DataObject, axes: list[str], t: int) -> None:
    array = np.random.default_rng(0).integers(0, 99, [LENGTHS[letter] for letter in axes])
    start = [data.draw(st.integers(0, LENGTHS[letter] - 1)) for letter in "ZYX"]
    stop = [data.draw(st.integers(a + 1, LENGTHS[letter])) for a, letter in zip(start, "ZYX", strict=True)]
    source = ImageSource(array, "".join(axes), channels=(1,), level=2, levels=4)
    crop = crop_source(source, t, as_box(start, stop))
    assert crop.shape == (1, *(b - a for a, b in zip(start, stop, strict=True)))
    assert (crop.level, crop.levels, crop.channels, crop.axes) == (0, 1, (1,), source.axes)
    np.testing.assert_array_equal(crop.read(0), source.read(t, as_box(start, stop)))


@pytest.mark.parametrize("key", [(0, 1), (-1, slice(None)), (slice(1, 3), slice(-2, None)), (...,), (slice(2, 1), 0)])
def test_it_is_indexed_like_an_array(key: tuple[object, ...]) -> None:
    array = np.arange(48).reshape(6, 8)
    crop = CroppedArray(array, (slice(1, 5), slice(3, 8)))
    np.testing.assert_array_equal(crop[key], array[1:5, 3:8][key])
    np.testing.assert_array_equal(np.asarray(crop), array[1:5, 3:8])
    assert crop.ndim == 2 and crop.dtype == array.dtype


def test_beyond_the_crop_there_is_nothing() -> None:
    crop = CroppedArray(np.arange(48).reshape(6, 8), (slice(1, 5), slice(3, 8)))
    for key in ((4, 0), (0, 5), (-5, 0)):
        with pytest.raises(IndexError, match="out of bounds"):
            crop[key]
