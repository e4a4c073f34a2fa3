"""What nnU-Net's plans and ``dataset.json`` say: architecture, voxel size, normalization, labels. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.header import COLORS, ClassInfo, Output
from napari_unet.model.origin import Finding
from napari_unet.model.outputs import class_output, default_output

MILLIMETRES = (".nii", ".nii.gz", ".nrrd", ".mha")  # formats whose voxel size is in millimetres
FIXED = {"CTNormalization", "RGBTo01Normalization", "NoNormalization"}
OLD_BLOCKS = {"PlainConvUNet": "n_conv_per_stage", "ResidualEncoderUNet": "n_blocks_per_stage"}


@dataclass(frozen=True)
class Plans:
    """One configuration of nnU-Net; empty where a file carries none.

    Parameters
    ----------
    file : str
        Of the weights, for messages.
    name : str
        Of the configuration: ``"2d"``, ``"3d_fullres"``, …
    configuration : dict
        As in the plans, with what it inherits.
    plans, dataset : dict
        The documents.
    """

    file: str
    name: str = ""
    configuration: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> dict[str, Any]:
        """Class and arguments of the network, also from plans of before version 2.4."""
        found = self.configuration.get("architecture")
        if isinstance(found, dict):
            return found
        old = self.configuration
        kind, encoder = old.get("UNet_class_name"), old.get("n_conv_per_stage_encoder")
        if kind not in OLD_BLOCKS or not isinstance(encoder, list):
            return {}
        base, most = old.get("UNet_base_num_features", 32), old.get("unet_max_num_features", 320)
        ndim = len(old.get("patch_size", ()))
        arguments = {
            "n_stages": len(encoder),
            "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
            "conv_op": f"Conv{ndim}d",
            "kernel_sizes": old.get("conv_kernel_sizes"),
            "strides": old.get("pool_op_kernel_sizes"),
            OLD_BLOCKS[kind]: encoder,
            "n_conv_per_stage_decoder": old.get("n_conv_per_stage_decoder"),
            "conv_bias": True,
            "norm_op": f"InstanceNorm{ndim}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }
        return {"network_class_name": kind, "arch_kwargs": arguments}

    def order(self, ndim: int) -> tuple[int, ...]:
        """Return, for each axis of the image, which axis of the network it is."""
        forward = self.plans.get("transpose_forward")
        if ndim != 3 or not isinstance(forward, list) or sorted(forward) != [0, 1, 2]:
            return tuple(range(ndim))
        return tuple(forward.index(axis) for axis in range(3))

    def voxel_size(self, ndim: int, order: tuple[int, ...]) -> tuple[float, ...] | None:
        """Return the voxel size of the training images in µm; None where it is not known.

        TIFFs state no unit: a size of 1 means that nobody gave one, others are taken for µm.
        """
        spacing = self.configuration.get("spacing")
        if not isinstance(spacing, list) or len(spacing) != ndim:
            return None
        if not all(isinstance(length, int | float) and length > 0 for length in spacing):
            return None
        ending = self.dataset.get("file_ending")
        if ending not in MILLIMETRES and all(length == 1 for length in spacing):
            return None
        factor = 1000.0 if ending in MILLIMETRES else 1.0
        return tuple(float(spacing[axis]) * factor for axis in order)

    def normalization(self) -> tuple[Normalization, Finding]:
        """Return how images are prepared, and how that is known."""
        schemes = self.configuration.get("normalization_schemes")
        if not isinstance(schemes, list) or not schemes:
            return Normalization("zscore"), Finding("normalization", "mean 0, standard deviation 1", "assumed")
        said = ", ".join(dict.fromkeys(map(str, schemes)))
        if set(schemes) == {"ZScoreNormalization"}:
            return Normalization("zscore"), Finding("normalization", said, "file")
        if set(schemes) == {"RescaleTo01Normalization"}:
            return Normalization("percentile", low=0, high=100), Finding("normalization", said, "file")
        if set(schemes) <= FIXED:
            return self._fixed(schemes, said)
        value = f"{said} is not known here for each channel; mean 0, standard deviation 1 instead"
        return Normalization("zscore"), Finding("normalization", value, "assumed")

    def _fixed(self, schemes: list[str], said: str) -> tuple[Normalization, Finding]:
        """Return offsets and scales per channel; a clip only where it is the same for all."""
        clips: set[tuple[float, float] | None] = set()
        offsets, scales = [], []
        for channel, scheme in enumerate(schemes):
            found = self.plans.get("foreground_intensity_properties_per_channel", {}).get(str(channel), {})
            if scheme == "CTNormalization":
                mean, deviation, low, high = (
                    float(found[name]) for name in ("mean", "std", "percentile_00_5", "percentile_99_5")
                )
                deviation = max(deviation, 1e-8)
                offsets.append(mean)
                scales.append(deviation)
                clips.add(((low - mean) / deviation, (high - mean) / deviation))
            else:
                offsets.append(0.0)
                scales.append(255.0 if scheme.startswith("RGB") else 1.0)
                clips.add(None)
        clip = clips.pop() if len(clips) == 1 else None
        if clips:
            said += "; not clipped, because the channels have different ranges"
        return Normalization("fixed", offset=tuple(offsets), scale=tuple(scales), clip=clip), Finding(
            "normalization", said, "file"
        )

    def output(self, channels: int) -> tuple[Output, tuple[int, ...]]:
        """Return what the channels mean, and for regions the labels that they are painted with.

        Raises
        ------
        CheckpointError
            If regions are given without the order in which they are painted.
        """
        labels = self.dataset.get("labels")
        if not isinstance(labels, dict):
            return default_output(channels), ()
        named = {str(name): value for name, value in labels.items() if name != "ignore" and value not in (0, [0])}
        if any(isinstance(value, list) and len(value) > 1 for value in named.values()):
            order = self.dataset.get("regions_class_order")
            if not isinstance(order, list) or sorted(order) != list(range(1, channels + 1)) or len(named) != channels:
                raise CheckpointError(
                    f"{self.file} has {channels} regions, which are painted in the order {order!r:.80}.",
                    f"Expected the labels 1 to {channels}, each once, in regions_class_order of dataset.json.",
                )
            by_value = dict(zip(order, named, strict=True))
            output = class_output(_infos([by_value[value] for value in sorted(by_value)]))
            return Output("classes", "none", output.channels, output.classes), tuple(order)
        ordered = sorted(named, key=lambda name: _label(named[name]))
        if len(ordered) + 1 != channels:
            return default_output(channels), ()
        return class_output(_infos(ordered)), ()

    def findings(self, ndim: int) -> tuple[Finding, ...]:
        """Return what else is known."""
        found = []
        if self.name:
            found.append(Finding("configuration", self.name, "file"))
        inputs = self.dataset.get("channel_names")
        if isinstance(inputs, dict):
            found.append(Finding("input channels", ", ".join(map(str, inputs.values())), "file"))
        patch = self.configuration.get("patch_size")
        if isinstance(patch, list):
            found.append(Finding("patch", " × ".join(map(str, patch)), "file"))
        if self.order(ndim) != tuple(range(ndim)):
            found.append(Finding("axes", f"transposed by {self.plans.get('transpose_forward')}", "file"))
        if any(self.configuration.get("use_mask_for_norm") or ()):
            found.append(Finding("mask", "images were normalized inside a mask, which is not done here", "file"))
        how = "file" if isinstance(self.dataset.get("labels"), dict) else "assumed"
        found.append(Finding("classes", ", ".join(self.dataset.get("labels") or ()) or "one per channel", how))  # type: ignore[arg-type]
        return tuple(found)


def plans_of(beside: dict[str, Any], documents: dict[str, Any], file: str) -> Plans:
    """Find the plans beside a checkpoint, else inside of it.

    Raises
    ------
    CheckpointError
        If the configuration needs the result of another one.
    """
    given = beside.get("init_args")
    inside = given if isinstance(given, dict) else {}
    plans = _first_dict(documents.get("plans.json"), inside.get("plans"))
    dataset = _first_dict(documents.get("dataset.json"), inside.get("dataset_json"))
    configurations = _first_dict(plans.get("configurations"))
    name = str(inside.get("configuration") or (next(iter(configurations)) if len(configurations) == 1 else ""))
    configuration = _first_dict(configurations.get(name))
    for _ in range(len(configurations)):
        parent = configurations.get(str(configuration.get("inherits_from")))
        if not isinstance(parent, dict):
            break
        rest = {key: value for key, value in configuration.items() if key != "inherits_from"}
        configuration = {**parent, **rest}
    if configuration.get("previous_stage"):
        raise CheckpointError(
            f"{file} is the second stage of a cascade, which needs the labels of the first.",
            "Open the model of the configuration 3d_fullres or 3d_lowres.",
        )
    return Plans(file, name, configuration, plans, dataset)


def _first_dict(*values: object) -> dict[str, Any]:
    return next((value for value in values if isinstance(value, dict)), {})


def _label(value: object) -> int:
    value = value[0] if isinstance(value, list) and value else value
    return int(value) if isinstance(value, int | float | str) else 0


def _infos(names: list[str]) -> tuple[ClassInfo, ...]:
    every = ["background", *names]
    return tuple(ClassInfo(name[:500], COLORS[index % len(COLORS)]) for index, name in enumerate(every))
