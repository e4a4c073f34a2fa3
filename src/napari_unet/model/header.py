"""What a checkpoint says about itself; readable without torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.config import UNetConfig
from napari_unet.model.origin import Blueprint, Origin
from napari_unet.model.program import Program

SCHEMA_VERSION = 1
MAX_NAME = 512
MAX_PROVENANCE = 1_000_000  # characters of JSON

NEWER = "The file may be damaged or come from a newer version of napari-unet; update and try again."

# Okabe and Ito's palette, legible with every kind of colour vision.
COLORS = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)


@dataclass(frozen=True)
class ClassInfo:
    """One class of a segmentation: label value = position, 0 is the background."""

    name: str
    color: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= MAX_NAME:
            raise CheckpointError(f"A class is named {self.name!r:.80}.", f"Names have 1 to {MAX_NAME} characters.")
        if not isinstance(self.color, str) or not re.fullmatch("#[0-9a-fA-F]{6}", self.color):
            raise CheckpointError(f"Class {self.name!r} has the colour {self.color!r:.80}.", "Expected #rrggbb.")


@dataclass(frozen=True)
class Output:
    """What the channels of a network mean.

    Parameters
    ----------
    kind : {"binary", "classes", "instances"}
        ``binary``: one foreground channel. ``classes``: one channel per class.
        ``instances``: channels named background, interior and boundary; objects are decoded.
    activation : {"sigmoid", "softmax", "none"}
        What turns logits into scores in 0 to 1; ``none`` when the network already does it.
    channels : tuple of str
        Meaning of each output channel, in order.
    classes : tuple of ClassInfo
        The label classes, the background first; label value = position.
    """

    kind: Literal["binary", "classes", "instances"]
    activation: Literal["sigmoid", "softmax", "none"]
    channels: tuple[str, ...]
    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        problem = _output_problem(self)
        if problem:
            raise CheckpointError(f"The checkpoint's output cannot be used: {problem}.", NEWER)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Output:
        """Build an output from JSON types; raises CheckpointError if a field does not fit."""
        with _fields("output"):
            classes = tuple(ClassInfo(**info) for info in values["classes"])
            return cls(**{**values, "channels": tuple(values["channels"]), "classes": classes})

    @property
    def instances(self) -> bool:
        """Whether each label value is an object rather than a class."""
        return self.kind == "instances"

    def numbered(self, connected: bool) -> bool:
        """Whether labels are numbered objects: always for instances; of one foreground channel if `connected`."""
        return self.instances or (self.kind == "binary" and connected)


@dataclass(frozen=True)
class CheckpointHeader:
    """Everything about a checkpoint but its weights.

    Parameters
    ----------
    name : str
        Name to show.
    config : UNetConfig or None
        Architecture; None for a foreign module.
    normalization : Normalization
        How the input is normalized.
    output : Output
        What the output channels mean.
    voxel_size : tuple of float or None
        Voxel size of the training images in µm, in ([Z], Y, X) order.
    parent : str or None
        Weights hash of the checkpoint that this one was trained from.
    provenance : dict
        JSON values: data, licence, recipe, scores, date, versions.
    family : str
        Which family recognized the file: ``"napari-unet"``, ``"milesial"``, …
    weights_hash : str
        SHA-256 of the tensor bytes, hexadecimal; empty until saved or loaded.
    repeat_gray : bool
        A one-channel image is repeated over all input channels (models trained on RGB and gray).
    rehearsal : {"", "nuclei_2d"}
        Generated images of the kind that the model knows, to be rehearsed when it learns something new.
    object_diameter : float or None
        Typical diameter of the objects that it learned from, in voxels along x: of the disc (2D) or ball (3D) of
        their area or volume.
    blueprint : Blueprint or None
        How a network that a library defines is built; None for a `UNet`.
    origin : Origin or None
        The foreign format that the weights came in, and how what is known of them is known.
    program : Program or None
        A network that comes as a program, which lies beside the weights; None otherwise.
    """

    name: str
    config: UNetConfig | None
    normalization: Normalization
    output: Output
    voxel_size: tuple[float, ...] | None = None
    parent: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    family: str = "napari-unet"
    weights_hash: str = ""
    repeat_gray: bool = False
    ndim: Literal[2, 3] = 2
    in_channels: int = 1
    out_channels: int = 2
    rehearsal: Literal["", "nuclei_2d"] = ""
    object_diameter: float | None = None
    blueprint: Blueprint | None = None
    origin: Origin | None = None
    program: Program | None = None

    def __post_init__(self) -> None:
        problem = _header_problem(self)
        if problem:
            raise CheckpointError(f"The checkpoint's header cannot be used: {problem}.", NEWER)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CheckpointHeader:
        """Build a header from JSON types, as `to_dict` returns them.

        Raises
        ------
        CheckpointError
            If the schema version is another one, a field is missing, unknown, of the wrong type or out of bounds.
        """
        with _fields("header"):
            known = dict(values)
            schema, axes = known.pop("schema"), known.pop("axes")
            if schema != SCHEMA_VERSION:
                raise CheckpointError(f"The checkpoint has schema {schema!r}, expected {SCHEMA_VERSION}.", NEWER)
            known["config"] = None if known["config"] is None else UNetConfig.from_dict(known["config"])
            known["normalization"] = Normalization.from_dict(known["normalization"])
            known["output"] = Output.from_dict(known["output"])
            if known.get("blueprint") is not None:
                known["blueprint"] = Blueprint.from_dict(known["blueprint"])
            if known.get("origin") is not None:
                known["origin"] = Origin.from_dict(known["origin"])
            if known.get("program") is not None:
                known["program"] = Program.from_dict(known["program"])
            if known.get("voxel_size") is not None:
                known["voxel_size"] = tuple(known["voxel_size"])
            header = cls(**known)
        if axes != header.axes:
            raise CheckpointError(f"The checkpoint has axes {axes!r}, expected {header.axes!r}.", NEWER)
        return header

    @property
    def axes(self) -> str:
        """Axes of one network input, without the batch: ``"CYX"`` or ``"CZYX"``."""
        return "CYX" if self.ndim == 2 else "CZYX"

    def to_dict(self) -> dict[str, Any]:
        """Return the header as JSON types, with the schema version."""
        return {"schema": SCHEMA_VERSION, "axes": self.axes, **asdict(self)}


class _fields:
    """Turn what a malformed mapping raises into a sentence."""

    def __init__(self, part: str) -> None:
        self.part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError):
            raise CheckpointError(f"The checkpoint's {self.part} lacks the field {error}.", NEWER) from error
        if isinstance(error, TypeError | ValueError | AttributeError):
            raise CheckpointError(f"The checkpoint's {self.part} cannot be read: {error}.", NEWER) from error


def _output_problem(output: Output) -> str:
    """Return what is wrong with an output, or nothing."""
    channels, classes = output.channels, output.classes
    if output.kind not in ("binary", "classes", "instances"):
        return f"its kind is {output.kind!r:.80}, expected binary, classes or instances"
    if output.activation not in ("sigmoid", "softmax", "none"):
        return f"its activation is {output.activation!r:.80}, expected sigmoid, softmax or none"
    if not channels or any(not isinstance(name, str) or not 0 < len(name) <= MAX_NAME for name in channels):
        return "a channel has no name"
    if len(classes) < 2:
        return f"it has {len(classes)} classes, expected the background and at least one more"
    if output.kind == "classes" and len(classes) != len(channels):
        return f"it has {len(channels)} channels for {len(classes)} classes"
    if output.kind == "binary" and len(channels) != 1:
        return f"it has {len(channels)} channels, expected one foreground channel"
    if output.kind == "instances" and not {"interior", "boundary"} <= set(channels):
        return f"its channels are {channels!r:.80}, expected background, interior and boundary"
    if len({info.name for info in classes}) != len(classes):
        return "two classes have the same name"
    return ""


def _header_problem(header: CheckpointHeader) -> str:
    """Return what is wrong with a header, or nothing."""
    config, output = header.config, header.output
    texts = (header.name, header.family, header.weights_hash, header.parent or "")
    if not all(isinstance(text, str) and len(text) <= MAX_NAME for text in texts) or not header.name:
        return f"its name, family or a hash is no text of up to {MAX_NAME} characters"
    counts = (header.ndim, header.in_channels, header.out_channels)
    if any(not isinstance(count, int) or isinstance(count, bool) or count < 1 for count in counts):
        return f"its dimensions and channels are {counts}, expected whole numbers"
    if header.ndim not in (2, 3):
        return f"ndim is {header.ndim}, expected 2 or 3"
    if config is not None and counts != (config.ndim, config.in_channels, config.out_channels):
        return f"its dimensions and channels {counts} differ from the network's"
    if header.blueprint is not None and (config is not None or len(header.blueprint.divisor) != header.ndim):
        return "it describes two networks, or one of other dimensions"
    program = header.program
    if program is not None and (config or header.blueprint or len(program.sizes.minimum) != header.ndim):
        return "it describes two networks, or one of other dimensions"
    if len(output.channels) != header.out_channels:
        return f"it names {len(output.channels)} output channels, the network has {header.out_channels}"
    size = header.voxel_size
    if size is not None and (
        len(size) != header.ndim
        or not all(isinstance(length, int | float) and 0 < length < math.inf for length in size)
    ):
        return f"its voxel size is {size!r:.80}, expected {header.ndim} positive numbers"
    diameter = header.object_diameter
    if diameter is not None and not (isinstance(diameter, int | float) and 0 < diameter < math.inf):
        return f"its object diameter is {diameter!r:.80}, expected a positive number"
    if not isinstance(header.repeat_gray, bool):
        return f"repeat_gray is {header.repeat_gray!r:.80}, expected true or false"
    if header.rehearsal not in ("", "nuclei_2d"):
        return f"it rehearses {header.rehearsal!r:.80}, expected nuclei_2d or nothing"
    return _provenance_problem(header.provenance)


def _provenance_problem(provenance: object) -> str:
    if not isinstance(provenance, dict):
        return f"its provenance is of type {type(provenance).__name__}, expected a mapping"
    try:
        text = json.dumps(provenance, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its provenance is no JSON ({error})"
    return "" if len(text) <= MAX_PROVENANCE else f"its provenance has {len(text)} characters"
