"""Named axes: any array as T, C, Z, Y, X and back; asks when the meaning is unclear."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import AxesError

LETTERS = "TCZYX"
_MEANING = {"T": "time", "C": "channel", "Z": "plane", "Y": "row", "X": "column"}
_WORDS = {
    "T": ("t", "time", "times", "timepoint", "timepoints", "frame", "frames"),
    "C": ("c", "ch", "channel", "channels", "colour", "color", "rgb", "rgba", "s", "sample", "samples"),
    "Z": ("z", "plane", "planes", "depth", "slice", "slices", "section", "sections"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "column", "columns", "col", "cols", "width"),
}
_LETTER_OF = {word: letter for letter, words in _WORDS.items() for word in words}
# Most usual first; which of them fit is decided by the shape.
_USUAL = {
    3: ("ZYX", "TYX", "CYX", "YXC"),
    4: ("TZYX", "ZCYX", "CZYX", "TCYX", "CTYX", "ZYXC", "TYXC"),
    5: ("TZCYX", "TCZYX", "CTZYX", "TZYXC"),
}
_MANY_CHANNELS = 8  # a longer axis is hardly ever offered as channels


def parse_axes(axes: str, shape: Sequence[int]) -> str:
    """Check an axes string against a shape.

    Parameters
    ----------
    axes : str
        One letter of T, C, Z, Y, X per dimension; case does not matter.
    shape : sequence of int
        Shape of the array.

    Returns
    -------
    str
        The axes in upper case.

    Raises
    ------
    AxesError
        If a letter is unknown or repeated, Y or X is missing, or the length differs from the
        number of dimensions.

    Examples
    --------
    >>> parse_axes("zyx", (10, 64, 64))
    'ZYX'
    """
    letters = str(axes).strip().upper()
    expected = "Expected each of the letters T (time), C (channel), Z, Y, X at most once, Y and X always."
    candidates = candidate_axes(shape)
    if len(letters) != len(shape):
        raise AxesError(
            f"The axes {axes!r} name {len(letters)} dimensions, but the image has {len(shape)}: shape {tuple(shape)}.",
            f"Name every dimension, for example {candidates[0]!r}." if candidates else expected,
            candidates,
        )
    unknown = sorted(set(letters) - set(LETTERS))
    if unknown:
        raise AxesError(f"The axes {axes!r} contain {', '.join(unknown)}.", expected, candidates)
    if len(set(letters)) != len(letters):
        raise AxesError(f"The axes {axes!r} repeat a letter.", expected, candidates)
    if not {"Y", "X"} <= set(letters):
        raise AxesError(f"The axes {axes!r} lack Y or X.", expected, candidates)
    return letters


def candidate_axes(shape: Sequence[int], rgb: bool = False) -> tuple[str, ...]:
    """Return axes strings that would fit a shape, the likeliest first.

    Examples
    --------
    >>> candidate_axes((3, 512, 512))
    ('CYX', 'ZYX', 'TYX')
    """
    ndim = len(shape)
    if rgb:
        return tuple(f"{axes}C" for axes in candidate_axes(shape[:-1]) if "C" not in axes)
    if ndim == 2:
        return ("YX",)
    fitting = [axes for axes in _USUAL.get(ndim, ()) if "C" not in axes or shape[axes.index("C")] <= _MANY_CHANNELS]
    # A short axis is more likely channels than planes; stable, so the usual order decides the rest.
    return tuple(sorted(fitting, key=lambda axes: "C" not in axes or shape[axes.index("C")] > 4))


def infer_axes(shape: Sequence[int], axis_labels: Sequence[str] | None = None, rgb: bool = False) -> str:
    """Infer the axes where they are clear, and ask where they are not.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array, the colour axis of an RGB(A) image included.
    axis_labels : sequence of str, optional
        Names of the dimensions, such as ``"z"``, ``"plane"``, ``"time"`` or ``"channel"``; for an RGB
        image with or without the colour axis. Names without meaning (``"-3"``, ``"axis 0"``)
        count as absent.
    rgb : bool
        The last axis is colour.

    Returns
    -------
    str
        One letter per dimension.

    Raises
    ------
    AxesError
        If the meaning is unclear; `AxesError.candidates` holds the choices.

    Examples
    --------
    >>> infer_axes((512, 512))
    'YX'
    >>> infer_axes((5, 512, 512), ("plane", "y", "x"))
    'ZYX'
    >>> infer_axes((512, 512, 3), rgb=True)
    'YXC'
    """
    shape = tuple(int(n) for n in shape)
    if rgb:
        labels = axis_labels if axis_labels is None else list(axis_labels)[: len(shape) - 1]
        try:
            return infer_axes(shape[:-1], labels) + "C"
        except AxesError as error:
            coloured = tuple(f"{axes}C" for axes in error.candidates if "C" not in axes)
            raise AxesError(error.message, error.hint, coloured) from error
    ndim = len(shape)
    if not 2 <= ndim <= len(LETTERS):
        raise AxesError(
            f"The image has {ndim} dimensions, shape {shape}; expected 2 to 5 of time, channel, plane, row, column.",
            "Split the image along the dimensions that are none of these.",
        )
    named = [_LETTER_OF.get(str(label).strip().lower(), "") for label in axis_labels or ()]
    if len(named) != ndim or any(named.count(letter) > 1 for letter in named if letter):
        named = [""] * ndim
    if any(named) and not any(named[-2:]) and not {"Y", "X"} & set(named):
        named[-2:] = ["Y", "X"]
    if all(named) and {"Y", "X"} <= set(named):
        return "".join(named)
    # Whatever a leading dimension of length 1 is called, the same values are read.
    if not any(named) and all(n == 1 for n in shape[:-2]):
        return _USUAL.get(ndim, ("YX",))[0]
    orders = _orders(shape) if any(named) else candidate_axes(shape)
    fitting = [axes for axes in orders if all(n in ("", letter) for n, letter in zip(named, axes, strict=True))]
    if len(fitting) == 1 and (any(named) or ndim == 2):
        return fitting[0]
    choices = tuple(fitting) or candidate_axes(shape)
    raise AxesError(
        f"It is unclear what the {ndim} dimensions of the image mean: shape {shape}.",
        f"State the axes, for example {choices[0]!r} ({_spell(choices[0])})." if choices else "State the axes.",
        choices,
    )


def _orders(shape: Sequence[int]) -> tuple[str, ...]:
    """Return the usual orders for the shape, then the remaining ones that end in YX."""
    leading = len(shape) - 2
    rest = ["".join(letters) + "YX" for letters in permutations("TZC", leading)]
    return tuple(dict.fromkeys((*candidate_axes(shape), *_USUAL.get(len(shape), ("YX",)), *rest)))


def _spell(axes: str) -> str:
    return ", ".join(_MEANING[letter] for letter in axes)


def label_axes(axes: str) -> str:
    """Return the axes of a label image that belongs to an image: without C.

    Examples
    --------
    >>> label_axes("ZCYX")
    'ZYX'
    """
    return axes.replace("C", "")


def canonical_view(array: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """View a label-like array as (T, Z, Y, X), sharing memory.

    ::

        axes  Z  Y  X            Y  X
              │  │  │            │  │
        view  T=1 Z  Y  X    T=1 Z=1 Y  X

    Parameters
    ----------
    array : ndarray
        Any array without a channel axis.
    axes : str
        Its axes, in any order.

    Returns
    -------
    ndarray
        A view of shape (T, Z, Y, X); writing into it writes into `array`.

    Raises
    ------
    AxesError
        If `axes` does not fit or contains C.

    Examples
    --------
    >>> canonical_view(np.zeros((4, 5, 6)), "ZYX").shape
    (1, 4, 5, 6)
    """
    axes = _without_channels(axes, array.shape)
    present = [letter for letter in "TZYX" if letter in axes]
    view = array.transpose([axes.index(letter) for letter in present])
    return view[tuple(slice(None) if letter in axes else np.newaxis for letter in "TZYX")]


def from_canonical(tzyx: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """View a (T, Z, Y, X) array in another order of axes: the inverse of `canonical_view`.

    Parameters
    ----------
    tzyx : ndarray
        Shape (T, Z, Y, X).
    axes : str
        Wanted axes, without C; a missing T or Z must have length 1.

    Returns
    -------
    ndarray
        A view that shares memory.

    Raises
    ------
    AxesError
        If an axis longer than 1 would be dropped.
    """
    for letter, length in zip("TZYX", tzyx.shape, strict=True):
        if letter not in axes and length != 1:
            raise AxesError(
                f"The labels have {length} steps along {letter}, but the axes {axes!r} do not contain {letter}.",
                f"Add {letter} to the axes.",
            )
    view = tzyx[tuple(slice(None) if letter in axes else 0 for letter in "TZYX")]
    axes = _without_channels(axes, view.shape)
    present = [letter for letter in "TZYX" if letter in axes]
    return view.transpose([present.index(letter) for letter in axes])


def _without_channels(axes: str, shape: Sequence[int]) -> str:
    letters = parse_axes(axes, shape)
    if "C" in letters:
        raise AxesError(f"A label image has no channels, but its axes are {axes!r}.", "Leave C out.")
    return letters
