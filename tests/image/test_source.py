"""ImageSource reads any axes order, type and lazy array as (C, Z, Y, X)."""

from __future__ import annotations

import pickle
from itertools import permutations
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import AxesError, ImageError
from napari_unet.image.channels import stack_channels
from napari_unet.image.source import ImageSource, three_numbers

ORDERS = [
    "".join(order)
    for letters in ("YX", "CYX", "ZYX", "TYX", "CZYX", "TCYX", "TCZYX")
    for order in permutations(letters)
]


class Shy:
    """An array that offers no more than the contract: shape, dtype, ndim and indexing by a tuple."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __getitem__(self, key: tuple[slice | int, ...]) -> npt.NDArray[Any]:
        if not isinstance(key, tuple) or not all(isinstance(k, int | slice) for k in key):
            raise TypeError(f"expected ints and slices, got {key!r}")
        return self.array[key]


@settings(max_examples=150)
@given(st.sampled_from(ORDERS), st.data())
def test_a_region_is_the_same_whatever_the_order_of_axes(axes: str, data: st.DataObject) -> None:
    lengths = {letter: data.draw(st.integers(1, 4), label=letter) for letter in "TCZYX"}
    shape = tuple(lengths[letter] if letter in axes else 1 for letter in "TCZYX")
    full = np.arange(np.prod(shape)).reshape(shape)
    present = [letter for letter in "TCZYX" if letter in axes]
    squeezed = full.reshape([lengths[letter] for letter in present])
    source = ImageSource(Shy(squeezed.transpose([present.index(letter) for letter in axes])), axes)
    assert source.shape == (shape[0], *shape[2:])
    t = data.draw(st.integers(0, shape[0] - 1))
    box = tuple(
        slice(start, data.draw(st.integers(start + 1, n)))
        for n in shape[2:]
        for start in [data.draw(st.integers(0, n - 1))]
    )
    np.testing.assert_array_equal(source.read(t, box), full[t][(slice(None), *box)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(source.read(t), full[t])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_channels_are_read_in_the_order_asked(channels: list[int]) -> None:
    array = np.random.default_rng(0).integers(0, 99, (4, 5, 6))
    source = ImageSource(array, "CYX", channels=tuple(channels))
    assert source.n_channels == len(channels)
    np.testing.assert_array_equal(source.read(0)[:, 0], array[channels])


@pytest.mark.parametrize(
    ("given_type", "read_type"),
    [
        ("?", "uint8"),
        ("u1", "uint8"),
        ("i1", "int8"),
        (">u2", "uint16"),
        (">i4", "int32"),
        ("u4", "uint32"),
        ("u8", "uint64"),
        (">i8", "int64"),
        ("f2", "float32"),
        (">f4", "float32"),
        (">f8", "float64"),
    ],
)
def test_every_type_is_read_in_native_order(given_type: str, read_type: str) -> None:
    array = np.array([[0, 1], [1, 1]], given_type)
    source = ImageSource(array, "YX")
    block = source.read(0)
    assert source.dtype == block.dtype == np.dtype(read_type)
    assert block.dtype.isnative
    np.testing.assert_array_equal(block[0, 0], array.astype(read_type))


@pytest.mark.parametrize(
    ("kind", "part"), [("c8", "complex"), ("O", "Python objects"), ("U3", "<U3"), ("M8[s]", "datetime64")]
)
def test_types_that_are_no_image_are_refused(kind: str, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        ImageSource(np.zeros((3, 4), kind), "YX")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (3, 0, 5)])
def test_an_empty_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="empty"):
        ImageSource(np.zeros(shape), "YX" if len(shape) == 2 else "ZYX")


def test_one_pixel_is_an_image() -> None:
    assert ImageSource.from_array(np.full((1, 1), 7)).read(0).tolist() == [[[[7]]]]


def test_transparency_is_dropped() -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (20, 30, 4)).astype(np.uint8)
    source = ImageSource.from_array(rgba)
    assert (source.axes, source.rgb, source.n_channels) == ("YXC", True, 3)
    np.testing.assert_array_equal(source.read(0)[:, 0], np.moveaxis(rgba[..., :3], -1, 0))


def test_rgb_needs_three_or_four_channels() -> None:
    with pytest.raises(ImageError, match="3 or 4"):
        ImageSource(np.zeros((20, 30, 2), np.uint8), "YXC", rgb=True)


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ImageError, match="Channel 3"):
        ImageSource(np.zeros((20, 30, 4), np.uint8), "YXC", rgb=True, channels=(3,))
    with pytest.raises(ImageError, match="No channel"):
        ImageSource(np.zeros((20, 30)), "YX", channels=())


def test_unclear_axes_are_asked() -> None:
    with pytest.raises(AxesError) as caught:
        ImageSource.from_array(np.zeros((30, 40, 50)))
    assert "ZYX" in caught.value.candidates


@pytest.mark.parametrize("box", [(slice(0, 2), slice(0, 4), slice(0, 4)), (slice(0, 1), slice(3, 3), slice(0, 4))])
def test_a_region_outside_is_refused(box: tuple[slice, slice, slice]) -> None:
    with pytest.raises(ImageError, match="outside"):
        ImageSource(np.zeros((4, 4)), "YX").read(0, box)


def test_a_time_outside_is_refused() -> None:
    with pytest.raises(ImageError, match="outside"):
        ImageSource(np.zeros((2, 4, 4)), "TYX").read(2)


def test_dask_that_raises_names_the_image_and_region() -> None:
    def fail(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        raise RuntimeError("disk gone")

    lazy = da.zeros((8, 8), chunks=4).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    source = ImageSource(lazy, "YX", name="slide")
    with pytest.raises(ImageError, match=r"'slide'.*y 0:4, x 4:8.*disk gone"):
        source.read(0, (slice(0, 1), slice(0, 4), slice(4, 8)))


def test_an_image_that_changed_its_shape_is_noticed() -> None:
    shy = Shy(np.zeros((8, 8)))
    source = ImageSource(shy, "YX")
    shy.array = np.zeros((8, 5))
    with pytest.raises(ImageError, match="changed"):
        source.read(0)


def test_zarr_and_dask_are_read_lazily(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 999, (3, 2, 20, 30)).astype(np.uint16)
    stored = zarr.create_array(str(tmp_path / "a.zarr"), data=array, chunks=(1, 1, 10, 10))
    box = (slice(0, 2), slice(5, 15), slice(7, 8))
    for lazy in (stored, da.from_array(array, chunks=(1, 1, 7, 7))):
        source = pickle.loads(pickle.dumps(ImageSource(lazy, "TZYX")))  # noqa: S301  our own bytes
        np.testing.assert_array_equal(source.read(2, box)[0], array[2][box])


@pytest.mark.parametrize("scale", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0)])
def test_a_wrong_voxel_size_is_refused(scale: tuple[float, ...]) -> None:
    with pytest.raises(ImageError, match="three positive"):
        ImageSource(np.zeros((4, 4)), "YX", scale=scale)


def test_the_voxel_size_in_micrometres() -> None:
    image = np.zeros((4, 4))
    assert ImageSource(image, "YX", scale=(1, 650, 650), units="nm").scale_um == pytest.approx((0.001, 0.65, 0.65))
    assert ImageSource(image, "YX", scale=(1, 2, 2), units="pixel").scale_um is None
    assert ImageSource(image, "YX").scale_um is None
    assert ImageSource.from_array(image, scale=(0.5, 0.4)).scale == (1.0, 0.5, 0.4)
    assert three_numbers((3, 1, 2), "XZY") == (1.0, 2.0, 3.0)
    with pytest.raises(ImageError, match="expected 3"):
        three_numbers((1.0,), "YX")


@given(st.sampled_from(["YX", "ZYX", "TYX", "TZYX", "ZTYX"]), st.data())
def test_layers_become_the_channels_of_one_image(axes: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in axes)
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 200, shape).astype(kind) for kind in (np.uint8, np.uint16, np.float32)]
    sources = [ImageSource(part, axes, name=str(i)) for i, part in enumerate(parts)]
    stacked = stack_channels(sources)
    assert (stacked.axes, stacked.n_channels, stacked.shape) == ("C" + axes, 3, sources[0].shape)
    t = data.draw(st.integers(0, stacked.n_times - 1))
    _, z, y, x = stacked.shape
    box = (slice(0, z), slice(y - 1, y), slice(0, x))
    expected = np.concatenate([source.read(t, box) for source in sources])
    np.testing.assert_array_equal(stacked.read(t, box), expected)


def test_stacked_channels_keep_their_order_and_choice() -> None:
    rng = np.random.default_rng(0)
    two, one = rng.integers(0, 9, (2, 5, 6)), rng.integers(0, 9, (5, 6))
    stacked = stack_channels([ImageSource(two, "CYX", channels=(1,)), ImageSource(one, "YX")])
    np.testing.assert_array_equal(stacked.read(0)[:, 0], [two[1], one])


def test_layers_that_do_not_match_are_refused() -> None:
    small, large = ImageSource(np.zeros((4, 5)), "YX"), ImageSource(np.zeros((4, 6)), "YX")
    with pytest.raises(ImageError, match="cannot be channels"):
        stack_channels([small, large])
    with pytest.raises(ImageError, match="No channels"):
        stack_channels([])
    fine = ImageSource(np.zeros((4, 5)), "YX", scale=(1, 0.5, 0.5))
    coarse = ImageSource(np.zeros((4, 5)), "YX", scale=(1, 0.6, 0.6))
    with pytest.raises(ImageError, match="voxel sizes"):
        stack_channels([fine, coarse])


def test_a_size_that_is_not_known_yet_is_refused() -> None:
    array = da.from_array(np.arange(12.0).reshape(4, 3))
    with pytest.raises(ImageError, match="is unknown"):
        ImageSource.from_array(array[array[:, 0] > 2], "YX")
    assert ImageSource.from_array(array[array[:, 0] > 2].compute_chunk_sizes(), "YX").shape == (1, 1, 3, 3)
