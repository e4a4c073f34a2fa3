"""Options of a prediction: what is refused, and that they reach what they are meant for."""

from __future__ import annotations

import pytest

from napari_unet.errors import UserError
from napari_unet.inference.options import PredictOptions


@pytest.mark.parametrize(
    "wrong", [{"memory_gb": 0}, {"memory_gb": -1.0}, {"memory_gb": float("nan")}, {"flips": "yes"}, {"rescale": 1}]
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="expected"):
        PredictOptions(**wrong)  # type: ignore[arg-type]


def test_memory_may_be_left_out_or_given() -> None:
    assert PredictOptions().memory_gb is None
    assert PredictOptions(memory_gb=0.5).memory_gb == 0.5


@pytest.mark.parametrize(
    ("ndim", "depth", "three_directions", "expected"),
    [(2, 1, False, 2), (2, 9, False, 2), (2, 1, True, 2), (2, 9, True, 3), (3, 9, False, 3), (3, 1, True, 3)],
)
def test_three_directions_of_a_stack_find_objects_in_3d(
    ndim: int, depth: int, three_directions: bool, expected: int
) -> None:
    assert PredictOptions(three_directions=three_directions).object_ndim(ndim, depth) == expected
