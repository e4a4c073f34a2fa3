"""Units of length, as microscopes' files spell them."""

from __future__ import annotations

# Spelling → (canonical name, micrometres).
_LENGTHS: dict[str, tuple[str, float]] = {}
for _name, _factor, *_spellings in (
    ("pm", 1e-6, "picometer", "picometre"),
    ("Å", 1e-4, "angstrom", "å", "\u212b"),
    ("nm", 1e-3, "nanometer", "nanometre"),
    # Micro sign, Greek mu, plain letters, and ImageJ's escapes.
    ("µm", 1.0, "\u03bcm", "um", "micron", "microns", "micrometer", "micrometre", "micro meter", "\\u00b5m"),
    ("mm", 1e3, "millimeter", "millimetre"),
    ("cm", 1e4, "centimeter", "centimetre"),
    ("m", 1e6, "meter", "metre"),
    ("inch", 25400.0, "in", "inches"),
):
    for _spelling in (_name, *_spellings):
        _LENGTHS[_spelling.lower()] = (str(_name), float(_factor))


def canonical_unit(unit: object) -> str | None:
    """Return the short name of a unit of length, or None if it is none (``"pixel"``, ``""``).

    Parameters
    ----------
    unit : object
        A name or anything that prints as one (a pint unit).

    Examples
    --------
    >>> canonical_unit("micrometer"), canonical_unit("pixel")
    ('µm', None)
    """
    found = _lookup(unit)
    return None if found is None else found[0]


def micrometres(unit: object) -> float | None:
    """Return how many micrometres a unit is, or None if it is no unit of length.

    Examples
    --------
    >>> micrometres("nm")
    0.001
    """
    found = _lookup(unit)
    return None if found is None else found[1]


def _lookup(unit: object) -> tuple[str, float] | None:
    name = str(unit).strip().strip("\0").lower()
    return _LENGTHS.get(name) or _LENGTHS.get(name.removesuffix("s"))
