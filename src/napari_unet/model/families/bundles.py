"""What a MONAI bundle says about its network: class, arguments, channels, preparation of images. Free of torch.

A bundle's configuration may hold expressions (``$...``) and references (``@...``), which are code; only plain
values are taken from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from napari_unet.image.normalize import Normalization
from napari_unet.model.header import COLORS, ClassInfo, Output
from napari_unet.model.origin import Finding, How
from napari_unet.model.outputs import class_output, classes_finding, default_output

CONFIGURATIONS = ("configs/inference.json", "configs/train.json")
ACTIVATIONS = ("softmax", "sigmoid")
BY_RANGE = ("ScaleIntensityRange", "ScaleIntensityRanged")


@dataclass(frozen=True)
class Bundle:
    """What was found; empty where there is no bundle.

    Parameters
    ----------
    network : str
        The class, without its module.
    arguments : dict
        Of its constructor, as far as they are plain values.
    channels : dict
        Index of an output channel, as a text → its name.
    transforms : list of dict
        How images are prepared.
    afterwards : list of dict
        What is done with the network's values.
    """

    network: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    transforms: list[dict[str, Any]] = field(default_factory=list)
    afterwards: list[dict[str, Any]] = field(default_factory=list)

    def output(self, count: int) -> tuple[Output, tuple[Finding, ...]]:
        """Return what the channels of a network with so many mean, and how that is known."""
        names = [self.channels.get(str(index), "") for index in range(count)]
        output = default_output(count)
        how: How = "assumed"
        if count > 1 and all(names) and len(set(names)) == count:
            infos = (ClassInfo(name, COLORS[index % len(COLORS)]) for index, name in enumerate(names))
            output, how = class_output(tuple(infos)), "file"
        stated = next((name for step in self.afterwards for name in ACTIVATIONS if step.get(name) is True), None)
        if stated is not None:
            output = replace(output, activation=cast(Any, stated))
        activation = Finding("activation", output.activation, "assumed" if stated is None else "file")
        return output, (activation, *((classes_finding(output, how),) if count > 1 else ()))

    def normalization(self) -> tuple[Normalization, How]:
        """Return how images are prepared, and how that is known."""
        for step in self.transforms:
            name = str(step.get("_target_", "")).rpartition(".")[2]
            numbers = [step.get(key) for key in ("a_min", "a_max", "b_min", "b_max")]
            if name in BY_RANGE and all(isinstance(number, int | float) for number in numbers):
                low, high, target, top = (float(number) for number in numbers if number is not None)
                scale = (high - low) / ((top - target) or 1.0)
                clip = (target, top) if step.get("clip") is True else None
                return Normalization("fixed", offset=(low - target * scale,), scale=(scale,), clip=clip), "file"
            if name in ("NormalizeIntensity", "NormalizeIntensityd"):
                return Normalization("zscore", per_channel=step.get("channel_wise") is True), "file"
            if name in ("ScaleIntensity", "ScaleIntensityd"):
                return Normalization("percentile", low=0, high=100, per_channel=False), "file"
        return Normalization(), "assumed"


def bundle_of(documents: dict[str, Any]) -> Bundle:
    """Read the documents of a bundle."""
    network: dict[str, Any] = {}
    transforms: list[dict[str, Any]] = []
    afterwards: list[dict[str, Any]] = []
    for name in CONFIGURATIONS:
        document = documents.get(name)
        if not isinstance(document, dict):
            continue
        network = network or next(_networks(document), {})
        transforms = transforms or _steps(document.get("preprocessing"))
        afterwards = afterwards or _steps(document.get("postprocessing"))
    target = str(network.get("_target_", "")).rpartition(".")[2]
    arguments = {key: value for key, value in network.items() if not key.startswith("_") and _is_plain(value)}
    return Bundle(target, arguments, _channels(documents.get("configs/metadata.json")), transforms, afterwards)


def _steps(composed: Any) -> list[dict[str, Any]]:
    steps = composed.get("transforms") if isinstance(composed, dict) else None
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _networks(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("network_def", "network", "net", "model"):
        value = document.get(key)
        if isinstance(value, dict) and isinstance(value.get("_target_"), str):
            yield value


def _is_plain(value: Any, depth: int = 6) -> bool:
    """Whether there is neither an expression nor a reference in a value."""
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return True


def _channels(metadata: Any) -> dict[str, str]:
    for key in ("network_data_format", "outputs", "pred", "channel_def"):
        metadata = metadata.get(key) if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict):
        return {}
    return {str(key): value for key, value in metadata.items() if isinstance(value, str) and 0 < len(value) < 200}
