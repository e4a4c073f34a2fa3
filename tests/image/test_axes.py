"""Named axes: what is clear is inferred, what is not is asked, and views share memory."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import AxesError
from napari_unet.image.axes import candidate_axes, canonical_view, from_canonical, infer_axes, label_axes, parse_axes

LABEL_AXES = ["".join(order) for letters in ("YX", "ZYX", "TYX", "TZYX") for order in permutations(letters)]


@pytest.mark.parametrize(
    ("axes", "shape", "part"),
    [
        ("ZYX", (5, 6), "name 3 dimensions"),
        ("QYX", (4, 5, 6), "contain Q"),
        ("YYX", (4, 5, 6), "repeat"),
        ("TZX", (4, 5, 6), "lack Y or X"),
        ("", (5, 6), "name 0"),
    ],
)
def test_wrong_axes_are_refused_in_a_sentence(axes: str, shape: tuple[int, ...], part: str) -> None:
    with pytest.raises(AxesError, match=part) as caught:
        parse_axes(axes, shape)
    assert caught.value.hint


def test_axes_are_read_in_any_case() -> None:
    assert parse_axes(" zcyx ", (1, 2, 3, 4)) == "ZCYX"


@pytest.mark.parametrize(
    ("shape", "labels", "rgb", "expected"),
    [
        ((5, 6), None, False, "YX"),
        ((5, 6), ("-2", "-1"), False, "YX"),
        ((1, 5, 6), None, False, "ZYX"),
        ((1, 1, 5, 6), None, False, "TZYX"),
        ((9, 5, 6), ("z", "y", "x"), False, "ZYX"),
        ((9, 5, 6), ("Time", "row", "column"), False, "TYX"),
        ((9, 5, 6), ("plane", "-2", "-1"), False, "ZYX"),
        ((9, 3, 5, 6), ("depth", "channel", "height", "width"), False, "ZCYX"),
        ((9, 3, 4, 5, 6), ("t", "-4", "z", "y", "x"), False, "TCZYX"),
        ((50, 60, 3), None, True, "YXC"),
        ((50, 60, 4), ("y", "x"), True, "YXC"),
        ((7, 50, 60, 3), ("z", "y", "x"), True, "ZYXC"),
    ],
)
def test_clear_axes_are_inferred(
    shape: tuple[int, ...], labels: tuple[str, ...] | None, rgb: bool, expected: str
) -> None:
    assert infer_axes(shape, labels, rgb) == expected


@pytest.mark.parametrize(
    ("shape", "labels", "rgb", "first"),
    [
        ((30, 50, 60), None, False, "ZYX"),
        ((3, 50, 60), None, False, "CYX"),
        ((50, 60, 3), None, False, "YXC"),
        ((30, 50, 60), ("-3", "-2", "-1"), False, "ZYX"),
        ((30, 50, 60), ("axis -3", "y", "x"), False, "ZYX"),
        ((8, 9, 50, 60), None, False, "TZYX"),
        ((8, 50, 60, 3), None, True, "ZYXC"),
    ],
)
def test_unclear_axes_are_asked_with_the_likeliest_first(
    shape: tuple[int, ...], labels: tuple[str, ...] | None, rgb: bool, first: str
) -> None:
    with pytest.raises(AxesError) as caught:
        infer_axes(shape, labels, rgb)
    assert caught.value.candidates[0] == first
    assert all(parse_axes(candidate, shape) == candidate for candidate in caught.value.candidates)


@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4, 5, 6, 7), (2, 2, 2, 2, 2, 5, 6)])
def test_too_few_and_too_many_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AxesError, match="dimensions"):
        infer_axes(shape)


def test_candidates_never_offer_a_long_axis_as_channels() -> None:
    assert all("C" not in axes for axes in candidate_axes((100, 50, 60)))


@given(st.sampled_from(LABEL_AXES), st.data())
def test_canonical_view_and_its_inverse_share_memory(axes: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in axes)
    array = np.arange(np.prod(shape)).reshape(shape)
    view = canonical_view(array, axes)
    lengths = dict(zip(axes, shape, strict=True))
    assert view.shape == tuple(lengths.get(letter, 1) for letter in "TZYX")
    back = from_canonical(view, axes)
    np.testing.assert_array_equal(back, array)
    assert np.shares_memory(back, array)
    index = tuple(n - 1 for n in view.shape)
    view[index] = -7
    assert array[tuple(index["TZYX".index(letter)] for letter in axes)] == -7


def test_an_axis_is_never_dropped_silently() -> None:
    with pytest.raises(AxesError, match="3 steps along Z"):
        from_canonical(np.zeros((1, 3, 4, 5)), "YX")


def test_labels_have_no_channels() -> None:
    assert label_axes("TCZYX") == "TZYX"
    with pytest.raises(AxesError, match="no channels"):
        canonical_view(np.zeros((2, 4, 5)), "CYX")
