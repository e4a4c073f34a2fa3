"""What a checkpoint says about itself; readable without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from napari_unet.image.normalize import Normalization
from napari_unet.model.config import UNetConfig

SCHEMA_VERSION = 1

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

    @property
    def instances(self) -> bool:
        """Whether each label value is an object rather than a class."""
        return self.kind == "instances"


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

    @property
    def axes(self) -> str:
        """Axes of one network input, without the batch: ``"CYX"`` or ``"CZYX"``."""
        return "CYX" if self.ndim == 2 else "CZYX"

    def to_dict(self) -> dict[str, Any]:
        """Return the header as JSON types, with the schema version."""
        return {"schema": SCHEMA_VERSION, "axes": self.axes, **asdict(self)}
