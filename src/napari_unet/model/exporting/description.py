"""The description of a package that we write: bioimage.io model format 0.5. Free of torch."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from napari_unet.image.normalize import Normalization
from napari_unet.model.exporting.about import About
from napari_unet.model.header import CheckpointHeader

FORMAT = "0.5.4"
UNIT = "micrometer"


def describe(
    header: CheckpointHeader,
    about: About,
    normalization: Normalization,
    steps: tuple[int, ...],
    minimum: tuple[int, ...],
    halo: tuple[int, ...],
    weights: Mapping[str, Any],
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    """Return the description as JSON types.

    Parameters
    ----------
    header : CheckpointHeader
        Of the model.
    about : About
        Authors, licence, references.
    normalization : Normalization
        What the package does to an image first.
    steps, minimum, halo : tuple of int
        Legal sizes (step 0: only the minimum), and the margin of a tile that does not count, per spatial axis.
    weights : mapping
        The part on weights, ready.
    hashes : mapping of str to str
        SHA-256 of the files by name.
    """
    letters = "zyx"[3 - header.ndim :]
    size = header.voxel_size or (None,) * header.ndim
    scale = [{} if um is None else {"scale": _short_float(um), "unit": UNIT} for um in size]
    inputs = [{"type": "batch"}, {"type": "channel", "channel_names": _names(header.in_channels, "channel")}]
    outputs: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": output_names(header)}]
    for letter, step, least, margin, known in zip(letters, steps, minimum, halo, scale, strict=True):
        legal = {"min": least, "step": step} if step else least
        inputs.append({"type": "space", "id": letter, "size": legal, **known})
        reference = {"tensor_id": "image", "axis_id": letter, "offset": 0}
        outputs.append({"type": "space", "id": letter, "size": reference, "halo": margin, **known})
    provenance = {key: value for key, value in header.provenance.items() if _small(value)}
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": _title(header.name),
        "description": about.description or f"A {header.ndim}D U-Net made with napari-unet.",
        "authors": [_author(text) for text in about.authors],
        "license": about.license,
        "cite": [_reference(text) for text in about.cite] or [_reference(text) for text in _CITED[header.ndim]],
        "documentation": "documentation.md",
        "covers": ["cover.png"],
        "tags": sorted({"unet", f"{header.ndim}d", "segmentation", "napari-unet", *about.tags}),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "inputs": [
            {
                "id": "image",
                "description": "Raw intensities.",
                "axes": inputs,
                "data": {"type": "float32"},
                "test_tensor": {"source": "test_input.npy", "sha256": hashes["test_input.npy"]},
                "preprocessing": preprocessing(normalization, header),
            }
        ],
        "outputs": [
            {
                "id": "scores",
                "description": f"Scores from 0 to 1: {', '.join(header.output.channels)}."[:1000],
                "axes": outputs,
                "data": {"type": "float32"},
                "test_tensor": {"source": "test_output.npy", "sha256": hashes["test_output.npy"]},
                "postprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}],
            }
        ],
        "weights": dict(weights),
        "config": {
            "napari-unet": {
                "header": json.loads(json.dumps({**header.to_dict(), "provenance": provenance}, allow_nan=False)),
                "weights_sha256": header.weights_hash,
                "parent_sha256": header.parent,
            }
        },
    }


def preprocessing(normalization: Normalization, header: CheckpointHeader) -> list[dict[str, Any]]:
    """Return a normalization as preprocessing steps."""
    axes = ["channel", *"zyx"[3 - header.ndim :]]
    measured = {"axes": axes[1:] if normalization.per_channel else axes, "eps": 1e-6}
    found: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    if normalization.method == "percentile":
        kwargs = {**measured, "min_percentile": normalization.low, "max_percentile": normalization.high}
        found.append({"id": "scale_range", "kwargs": kwargs})
    elif normalization.method == "zscore":
        found.append({"id": "zero_mean_unit_variance", "kwargs": measured})
    elif normalization.method == "fixed":
        found.append({"id": "fixed_zero_mean_unit_variance", "kwargs": _fixed(normalization, header.in_channels)})
    if normalization.clip is not None:
        found.append({"id": "clip", "kwargs": {"min": normalization.clip[0], "max": normalization.clip[1]}})
    return [*found, {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]


def output_names(header: CheckpointHeader) -> list[str]:
    """Return names of the output channels that the format allows: words, each once."""
    names: list[str] = []
    for n, channel in enumerate(header.output.channels):
        shown = header.output.classes[1].name if header.output.kind == "binary" else channel
        name = re.sub(r"\W+", "_", shown, flags=re.ASCII).strip("_").lower() or f"channel{n}"
        name = f"channel_{name}" if not name.isidentifier() or name in _KEYWORDS else name
        names.append(name if name not in names else f"{name}_{n}")
    return names


_KEYWORDS = frozenset({"and", "as", "class", "def", "del", "for", "from", "if", "in", "is", "not", "or", "with"})
_CITED = {
    2: ("Ronneberger et al., U-Net, MICCAI 2015. 10.1007/978-3-319-24574-4_28",),
    3: ("Çiçek et al., 3D U-Net, MICCAI 2016. 10.1007/978-3-319-46723-8_49",),
}


def _fixed(normalization: Normalization, channels: int) -> dict[str, Any]:
    offset, scale = (
        list(values) * (channels if len(values) == 1 else 1) for values in (normalization.offset, normalization.scale)
    )
    if channels == 1:
        return {"mean": offset[0], "std": scale[0]}
    return {"mean": offset, "std": scale, "axis": "channel"}


def _author(text: str) -> dict[str, str]:
    name, _, affiliation = (part.strip() for part in text.partition(";"))
    return {"name": name, **({"affiliation": affiliation} if affiliation else {})}


def _reference(text: str) -> dict[str, str]:
    body, _, last = text.strip().rpartition(" ")
    link = {"url": last} if last.startswith("http") else {"doi": last}
    return {"text": body or last, **link}


def _names(count: int, what: str) -> list[str]:
    return [f"{what}{n}" for n in range(count)]


def _title(name: str) -> str:
    """Return a name of 5 to 128 letters, digits and simple signs, as the collection wants it."""
    plain = re.sub(r"[^A-Za-z0-9 _+\-()]", " ", name).strip() or "model"
    return plain[:128] if len(plain) >= 5 else f"U-Net {plain}"


def _short_float(value: float) -> float:
    """Return a number of 40 binary digits, so that a halo times it, divided by it, is the halo again.

    The format's checker computes that, and refuses 24.000000000000004 voxels.
    """
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2**40), exponent - 40)


def _small(value: Any) -> bool:
    return len(json.dumps(value)) < 20_000
