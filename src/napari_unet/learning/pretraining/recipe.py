"""Recipes: what a built-in model is trained on, and how, as a TOML file. Free of torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from napari_unet.errors import CheckpointError, TrainingError
from napari_unet.image.normalize import Normalization
from napari_unet.learning.pretraining.augmentation import Augmentation
from napari_unet.learning.pretraining.filters import CHANNELS
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import COLORS, ClassInfo, Output

Kind = Literal["instances", "classes", "binary", "distance", "filters"]
T = TypeVar("T")


@dataclass(frozen=True)
class Head:
    """One answer of the network: some of its output channels, learned from the data sets that name it.

    Parameters
    ----------
    name : str
        Name in the recipe.
    kind : {"instances", "classes", "binary", "distance", "filters"}
        What is learned: see `Output`; ``distance`` is how far inside its object a voxel lies, 0 to 1; ``filters`` are
        responses of a filter bank, which need no labels.
    classes : tuple of str
        The background first; ``distance`` and ``filters`` do not use them.
    weight : float
        Of its loss.
    """

    name: str
    kind: Kind = "instances"
    classes: tuple[str, ...] = ("background", "object")
    weight: float = 1.0

    @property
    def channels(self) -> int:
        """How many output channels it has."""
        return {"instances": 3, "binary": 1, "distance": 1, "filters": CHANNELS}.get(self.kind, len(self.classes))

    @property
    def output(self) -> Output:
        """What its channels mean in a checkpoint."""
        infos = tuple(ClassInfo(name, COLORS[n % len(COLORS)]) for n, name in enumerate(self.classes))
        if self.kind == "instances":
            return Output("instances", "softmax", ("background", "interior", "boundary"), infos)
        if self.kind == "binary":
            return Output("binary", "sigmoid", ("foreground",), infos)
        return Output("classes", "softmax", self.classes, infos)


@dataclass(frozen=True)
class DataSet:
    """Images with labels.

    Parameters
    ----------
    images, labels : str
        Patterns below the folder of the data; pairs have the same stem, or ``{}`` in `labels` stands for what the ``*``
        in `images` does. The names of a single pair may differ.
    head : str
        Which head learns from it; the first one when empty.
    share : float
        How often it is drawn, relative to the others.
    axes, channels, scale : str or None
        What the files do not say, as on the command line.
    crop : dict of str to (int, int)
        Which part is used along the axes Z, Y, X, in voxels; all of it when omitted.
    split : str
        A CSV beside the recipe with the columns ``id`` and ``part`` (train, validation, test), and perhaps ``cluster``:
        images of a large cluster come less often each. All images train when it is empty.
    select : dict of str to str
        Only rows of the split with these values.
    part : {"train", "validation", "test"}
        Of images without a split; those for testing are left alone.
    licence : str
        Of the data.
    """

    images: str
    labels: str
    head: str = ""
    share: float = 1.0
    axes: str | None = None
    channels: str | None = None
    scale: str | None = None
    crop: dict[str, tuple[int, int]] = field(default_factory=dict)
    split: str = ""
    select: dict[str, str] = field(default_factory=dict)
    part: Literal["train", "validation", "test"] = "train"
    licence: str = ""


@dataclass(frozen=True)
class Generated:
    """Images that are generated, with exact truth.

    Parameters
    ----------
    generator : {"nuclei_2d", "nuclei_3d", "cells"}
        See `napari_unet.image.synthetic` and `napari_unet.image.foam`.
    count : int
        How many.
    shape : tuple of int
        Of each.
    options : dict of str to (float, float)
        Ranges from which the generator's parameters are drawn.
    head : str
        See `DataSet`.
    share : float
        See `DataSet`.
    part : {"train", "validation"}
        What they are for.
    """

    generator: Literal["nuclei_2d", "nuclei_3d", "cells"]
    count: int
    shape: tuple[int, ...]
    options: dict[str, tuple[float, float]] = field(default_factory=dict)
    head: str = ""
    share: float = 1.0
    part: Literal["train", "validation"] = "train"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast is trained.

    Parameters
    ----------
    steps : int
        Optimization steps.
    patch : tuple of int
        ([Z], Y, X) in voxels.
    batch : int
        Patches a step.
    rate : float
        Highest learning rate, of AdamW.
    weight_decay, clip : float
        Of AdamW, and the largest norm of a gradient.
    average : float
        Largest decay of the running average of the weights, which is what is kept.
    seed : int
        Of weights, patches and augmentation.
    score_every : int
        Steps between two looks at the validation images.
    """

    steps: int
    patch: tuple[int, ...]
    batch: int = 8
    rate: float = 2e-3
    weight_decay: float = 1e-3
    clip: float = 1.0
    average: float = 0.997
    seed: int = 7
    score_every: int = 500


@dataclass(frozen=True)
class Recipe:
    """Everything that a model is made of.

    Parameters
    ----------
    name : str
        Of the model.
    config : UNetConfig
        Architecture, with as many output channels as all heads have.
    normalization : Normalization
        Of the images.
    heads : tuple of Head
        What is learned; the checkpoint gets the first one.
    data, generated : tuple
        What it is learned from.
    schedule : Schedule
        How long and how fast.
    augmentation : Augmentation
        How patches are varied.
    repeat_gray : bool
        Gray images are repeated over the input channels.
    rehearsal : str
        See `CheckpointHeader`.
    voxel_size : tuple of float or None
        In µm, ([Z], Y, X), of the images that the model has learned from.
    object_diameter : float or None
        See `CheckpointHeader`.
    half : bool
        Store the weights in float16.
    """

    name: str
    config: UNetConfig
    normalization: Normalization
    heads: tuple[Head, ...]
    data: tuple[DataSet, ...]
    generated: tuple[Generated, ...]
    schedule: Schedule
    augmentation: Augmentation
    repeat_gray: bool = False
    rehearsal: Literal["", "nuclei_2d"] = ""
    voxel_size: tuple[float, ...] | None = None
    object_diameter: float | None = None
    half: bool = False

    def head_of(self, name: str) -> int:
        """Return the number of a head by its name; the first one for an empty name."""
        return [head.name for head in self.heads].index(name) if name else 0

    def channels_of(self, head: int) -> slice:
        """Return which output channels belong to a head."""
        start = sum(one.channels for one in self.heads[:head])
        return slice(start, start + self.heads[head].channels)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    TrainingError
        If the file cannot be read, or a field is unknown, missing or out of range.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        return _recipe(values)
    except OSError as error:
        raise TrainingError(f"The recipe {str(path)!r} cannot be read: {error.strerror}.", "Check the path.") from error
    except (tomllib.TOMLDecodeError, TypeError, ValueError, KeyError, CheckpointError) as error:
        raise TrainingError(
            f"The recipe {str(path)!r} cannot be used: {error}.", "See docs/models.md for what a recipe holds."
        ) from error


def _recipe(values: dict[str, Any]) -> Recipe:
    model = dict(values.pop("model"))
    heads = tuple(_built(Head, one, "head") for one in values.pop("head", [{"name": "objects"}]))
    names = [head.name for head in heads]
    data = tuple(_built(DataSet, one, "data") for one in values.pop("data", []))
    generated = tuple(_built(Generated, one, "generated") for one in values.pop("generated", []))
    schedule = _built(Schedule, values.pop("schedule"), "schedule")
    augmentation = _built(Augmentation, values.pop("augmentation", {}), "augmentation")
    if values:
        raise ValueError(f"it holds {', '.join(values)}")
    unknown = {name for name in (*(one.head for one in data), *(one.head for one in generated)) if name} - set(names)
    if unknown:
        raise ValueError(f"there is no head {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not data and not generated:
        raise ValueError("there is nothing to learn from")
    network = {name: _tuples(value) for name, value in dict(model.pop("network")).items()}
    config = UNetConfig(**network, out_channels=sum(head.channels for head in heads))
    if len(schedule.patch) != config.ndim or schedule.steps < 1 or schedule.batch < 1:
        raise ValueError(f"the schedule is {schedule}")
    normalization = Normalization.from_dict(dict(model.pop("normalization", {})))
    size = model.pop("voxel_size", None)
    return Recipe(
        config=config,
        normalization=normalization,
        heads=heads,
        data=data,
        generated=generated,
        schedule=schedule,
        augmentation=augmentation,
        voxel_size=None if size is None else tuple(size),
        **model,
    )


def _built(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a table; lists become tuples."""
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = set(values) - known
    if unknown:
        raise ValueError(
            f"the table {where!r} holds {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
        )
    return kind(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    return {name: _tuples(one) for name, one in value.items()} if isinstance(value, dict) else value
