"""The text that goes with a package. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Sequence

from napari_unet.model.exporting.about import About
from napari_unet.model.header import CheckpointHeader

SHOWN = 300  # characters of one value of the provenance


def documentation(header: CheckpointHeader, about: About, notes: Sequence[str]) -> str:
    """Return what a user of the package should read, as Markdown.

    Parameters
    ----------
    header : CheckpointHeader
        Of the model.
    about : About
        Authors, licence, description.
    notes : sequence of str
        What to know about this package, as sentences.
    """
    output = header.output
    lines = [f"# {header.name}", "", about.description or f"A {header.ndim}D U-Net for segmentation.", ""]
    lines += ["## Scores", "", f"{_MEANS[output.kind]} The activation is part of the network.", ""]
    lines += [f"- channel {n}: {name}" for n, name in enumerate(output.channels)]
    if output.kind != "binary":
        lines += ["", "Classes: " + ", ".join(f"{n} {info.name}" for n, info in enumerate(output.classes)) + "."]
    lines += ["", "## What to know", "", *(f"- {note}" for note in notes)]
    if header.voxel_size:
        lines.append(f"- Trained at a voxel size of {' × '.join(f'{n:g}' for n in header.voxel_size)} µm.")
    lines += ["", "## Training and validation", ""]
    lines += [f"- {key.replace('_', ' ')}: {_short(value)}" for key, value in header.provenance.items()] or [
        "Nothing is recorded about the training; check the model on images of your own."
    ]
    lines += ["", f"Weights SHA-256 {header.weights_hash or 'unknown'}, parent {header.parent or 'none'}.", ""]
    return "\n".join(lines)


_MEANS = {
    "binary": "One foreground score per voxel.",
    "classes": "One score per class and voxel; the highest one wins.",
    "instances": "Scores of the inside and the boundary of objects, from which touching objects are told apart.",
}


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
