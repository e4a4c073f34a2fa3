"""How a model says that it is a final one, and what is left of that in the models made from it."""

from __future__ import annotations

from dataclasses import replace

from napari_unet.model.header import CheckpointHeader

KEY = "final"  # of the provenance
SUFFIX = " final"  # of the name
OF_ONE_MODEL = (KEY, "used_anyway", "agreement", "description", "made")  # what holds for one model, not for its heirs


def is_final(header: CheckpointHeader) -> bool:
    """Return whether a model is one that *Finalize* made."""
    return KEY in header.provenance


def final_name(header: CheckpointHeader) -> str:
    """Return the name of the final model that takes the place of this one."""
    return header.name if header.name.endswith(SUFFIX) else header.name + SUFFIX


def heir_name(header: CheckpointHeader) -> str:
    """Return the name of a model trained from this one, which is not final itself."""
    return header.name.removesuffix(SUFFIX) if is_final(header) else header.name


def as_heir(header: CheckpointHeader) -> CheckpointHeader:
    """Return the header of a model made from this one without what holds for this one alone."""
    provenance = {key: value for key, value in header.provenance.items() if key not in OF_ONE_MODEL}
    return replace(header, name=heir_name(header), provenance=provenance)
