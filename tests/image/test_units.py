"""Units of length in the spellings that files use."""

from __future__ import annotations

import pytest

from napari_unet.image.units import canonical_unit, micrometres


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("µm", 1),
        ("μm", 1),
        ("um", 1),
        ("micron", 1),
        ("microns", 1),
        ("micrometer", 1),
        ("\\u00B5m", 1),
        ("nm", 0.001),
        ("Nanometre", 0.001),
        ("mm", 1000),
        ("cm", 10000),
        ("inch", 25400),
        ("Å", 0.0001),
    ],
)
def test_lengths(unit: str, factor: float) -> None:
    assert micrometres(unit) == pytest.approx(factor)


@pytest.mark.parametrize("unit", ["pixel", "", "second", "None", None, "reference frame"])
def test_other_units_are_no_lengths(unit: str | None) -> None:
    assert micrometres(unit) is None
    assert canonical_unit(unit) is None
