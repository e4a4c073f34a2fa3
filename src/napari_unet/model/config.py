"""What a network is made of, as plain data: no torch, so that the panel can read it at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from napari_unet.errors import CheckpointError

Norm = Literal["batch", "group", "instance", "none"]
Activation = Literal["relu", "leaky_relu", "elu", "silu"]
Upsampling = Literal["transpose", "interpolate", "nearest"]

MAX_LEVELS = 8
MAX_FEATURES = 4096
MAX_CHANNELS = 1024
MAX_CONVOLUTIONS = 8


@dataclass(frozen=True)
class Widths:
    """Channels inside a U-Net, level by level from the input down, where they do not follow from its features.

    Parameters
    ----------
    encoder : tuple of tuple of int
        Channels after each convolution of the encoder, the bottleneck last.
    rising : tuple of int
        Channels that come up into each level from below.
    decoder : tuple of tuple of int
        Channels after each convolution of the decoder.
    """

    encoder: tuple[tuple[int, ...], ...]
    rising: tuple[int, ...]
    decoder: tuple[tuple[int, ...], ...]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Widths:
        """Build from JSON types; raises TypeError where they are others."""
        blocks = {name: tuple(tuple(level) for level in values[name]) for name in ("encoder", "decoder")}
        return cls(rising=tuple(values["rising"]), **blocks)


@dataclass(frozen=True)
class UNetConfig:
    r"""Architecture of a U-Net (Ronneberger et al. 2015; Çiçek et al. 2016).

    ::

        in ─ [conv]×n ─────────── concat ─ [conv]×n ─ 1×1 ─ out      level 0
               └ pool ─ [conv]×n ─ concat ─ up ┘                      level 1
                          └ pool ─ [conv]×m ─ up ┘                    bottleneck

    Parameters
    ----------
    ndim : {2, 3}
        Spatial dimensions.
    in_channels, out_channels : int
        Channels of the image and of the logits.
    features : tuple of int
        Channels per level, the bottleneck last; ``len(features) - 1`` poolings.
    convolutions : int
        3×3(×3) convolutions per level.
    bottleneck_convolutions : int
        Convolutions in the bottleneck, two or more.
    pooling : tuple of tuple of int, optional
        Pooling factors (1 or 2) per level and axis; all 2 when omitted. An anisotropic
        stack pools z later: ``((1, 2, 2), (2, 2, 2))``.
    norm : {"batch", "group", "instance", "none"}
        Normalization after each convolution.
    groups : int
        Groups of a group normalization; fewer channels than that are one group,
    split_few : bool
        or, if this is true, one group each.
    affine : bool
        Whether an instance normalization has weights.
    activation : {"relu", "leaky_relu", "elu", "silu"}
        Non-linearity.
    order : str
        Layer order inside a block: ``c``\ onvolution, ``n``\ ormalization, ``a``\ ctivation,
        each once, for example ``"cna"`` or ``"nca"``.
    residual : bool
        Add a block's (projected) input to its output.
    dropout : float
        Dropout probability after each block, 0 to 0.9.
    upsampling : {"transpose", "interpolate", "nearest"}
        How the decoder doubles the resolution: a transposed convolution, linear interpolation, or
        repeated voxels. The latter two do not halve the features before the skip connection
        joins, unless `project`.
    align_corners : bool
        Passed to the interpolation.
    bias : bool
        Whether the 3×3 convolutions have a bias.
    narrow_decoder : bool
        A decoder block ends with the channels of the level above it, its inner convolutions
        have half of the joined channels: the decoder of the bilinear milesial U-Net.
    slope : float
        Of a leaky ReLU for negative values.
    project : bool
        A 1×1 convolution before voxels are interpolated or repeated, to the channels that come up, where
        there are others below.
    kernels : tuple of tuple of int, optional
        Kernel sizes (1 or 3) per level and axis, the bottleneck last; all 3 when omitted.
    widths : Widths, optional
        Channels of each convolution; they follow from `features` when omitted.

    Raises
    ------
    CheckpointError
        If a value lies outside the bounds that keep a hostile file from sizing a network.
    """

    ndim: Literal[2, 3] = 2
    in_channels: int = 1
    out_channels: int = 2
    features: tuple[int, ...] = (16, 32, 64, 128, 256)
    convolutions: int = 2
    bottleneck_convolutions: int = 2
    pooling: tuple[tuple[int, ...], ...] | None = None
    norm: Norm = "batch"
    groups: int = 8
    activation: Activation = "relu"
    order: str = "cna"
    residual: bool = False
    dropout: float = 0.0
    upsampling: Upsampling = "transpose"
    align_corners: bool = False
    bias: bool = False
    narrow_decoder: bool = False
    split_few: bool = False
    affine: bool = True
    slope: float = 0.01
    project: bool = False
    kernels: tuple[tuple[int, ...], ...] | None = None
    widths: Widths | None = None

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise CheckpointError(
                f"The U-Net cannot be built: {problems[0]}.",
                "Check the configuration, or open the file with the program that wrote it.",
            )

    @property
    def poolings(self) -> tuple[tuple[int, ...], ...]:
        """Pooling factors per level and axis, with the default filled in."""
        if self.pooling is not None:
            return self.pooling
        return ((2,) * self.ndim,) * (len(self.features) - 1)

    @property
    def channels(self) -> Widths:
        """Channels after each convolution, with the default filled in."""
        if self.widths is not None:
            return self.widths
        features, depth = self.features, len(self.features) - 1
        narrow = [*features[:1], *features[:-1]] if self.narrow_decoder else [*features]
        rising, decoder = [], []
        for level in range(depth):
            below = narrow[level + 1] if level + 1 < depth else features[-1]
            rising.append(features[level] if self.upsampling == "transpose" or self.project else below)
            inner = (features[level] + rising[-1]) // 2 if self.narrow_decoder else features[level]
            decoder.append((*(inner,) * (self.convolutions - 1), narrow[level]))
        encoder = [(width,) * self.convolutions for width in features[:-1]]
        encoder.append((features[-1],) * self.bottleneck_convolutions)
        return Widths(tuple(encoder), tuple(rising), tuple(decoder))

    def kernel(self, level: int) -> tuple[int, ...]:
        """Return the kernel size of a level's convolutions; the last level is the bottleneck."""
        return (3,) * self.ndim if self.kernels is None else self.kernels[level]

    def margins(self, axis: int) -> tuple[int, ...]:
        """Return by how much a block of each level looks beyond its result along an axis, the bottleneck last."""
        counts = [self.convolutions] * (len(self.features) - 1) + [self.bottleneck_convolutions]
        return tuple(count * (self.kernel(level)[axis] // 2) for level, count in enumerate(counts))

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UNetConfig:
        """Build a configuration from JSON types.

        Raises
        ------
        CheckpointError
            If a field is unknown, of the wrong type or out of bounds.
        """
        known = dict(values)
        try:
            known["features"] = tuple(known.get("features", cls.features))
            for name in ("pooling", "kernels"):
                if known.get(name) is not None:
                    known[name] = tuple(tuple(level) for level in known[name])
            if known.get("widths") is not None:
                known["widths"] = Widths.from_dict(known["widths"])
            return cls(**known)
        except (TypeError, KeyError) as error:
            raise CheckpointError(
                f"The U-Net's configuration cannot be read: {error}.",
                "The file may come from a newer version of napari-unet; update and try again.",
            ) from error


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _problems(config: UNetConfig) -> Any:
    """Yield what is wrong with a configuration, as sentence parts."""
    if config.ndim not in (2, 3) or isinstance(config.ndim, bool):
        yield f"ndim is {config.ndim!r}, expected 2 or 3"
        return
    for name in ("in_channels", "out_channels"):
        if not _is_int(getattr(config, name), 1, MAX_CHANNELS):
            yield f"{name} is {getattr(config, name)!r}, expected 1 to {MAX_CHANNELS}"
    levels = config.features
    if not 1 <= len(levels) <= MAX_LEVELS or not all(_is_int(f, 1, MAX_FEATURES) for f in levels):
        yield f"features are {levels!r}, expected 1 to {MAX_LEVELS} numbers up to {MAX_FEATURES}"
        return
    if not _is_int(config.convolutions, 1, MAX_CONVOLUTIONS):
        yield f"convolutions is {config.convolutions!r}, expected 1 to {MAX_CONVOLUTIONS}"
    if not _is_int(config.bottleneck_convolutions, 2, MAX_CONVOLUTIONS):
        yield f"bottleneck_convolutions is {config.bottleneck_convolutions!r}, expected 2 to {MAX_CONVOLUTIONS}"
    pooling = config.poolings
    if len(pooling) != len(levels) - 1 or any(
        len(level) != config.ndim or any(factor not in (1, 2) for factor in level) for level in pooling
    ):
        yield f"pooling is {pooling!r}, expected {len(levels) - 1} times {config.ndim} of 1 or 2"
    if config.norm not in ("batch", "group", "instance", "none"):
        yield f"norm is {config.norm!r}, expected batch, group, instance or none"
    if not _is_int(config.groups, 1, MAX_FEATURES):
        yield f"groups is {config.groups!r}"
    elif config.norm == "group" and any(f % config.groups for f in levels if f >= config.groups):
        yield f"groups is {config.groups}, which does not divide the features {levels!r}"
    if config.activation not in ("relu", "leaky_relu", "elu", "silu"):
        yield f"activation is {config.activation!r}, expected relu, leaky_relu, elu or silu"
    if not isinstance(config.order, str) or sorted(config.order) != ["a", "c", "n"]:
        yield f"order is {config.order!r}, expected the letters c, n and a, each once"
    if not isinstance(config.dropout, int | float) or not 0 <= config.dropout <= 0.9:
        yield f"dropout is {config.dropout!r}, expected 0 to 0.9"
    if not isinstance(config.slope, int | float) or not 0 <= config.slope <= 1:
        yield f"slope is {config.slope!r}, expected 0 to 1"
    if config.upsampling not in ("transpose", "interpolate", "nearest"):
        yield f"upsampling is {config.upsampling!r}, expected transpose, interpolate or nearest"
    for name in ("residual", "align_corners", "bias", "narrow_decoder", "split_few", "affine", "project"):
        if not isinstance(getattr(config, name), bool):
            yield f"{name} is {getattr(config, name)!r}, expected true or false"
    if config.project and (config.upsampling == "transpose" or config.narrow_decoder):
        yield "project is true, which needs an upsampling without weights and a decoder that is not narrow"
    if config.kernels is not None and (
        len(config.kernels) != len(levels)
        or any(len(level) != config.ndim or any(size not in (1, 3) for size in level) for level in config.kernels)
    ):
        yield f"kernels are {config.kernels!r:.80}, expected {len(levels)} times {config.ndim} of 1 or 3"
    if config.widths is not None:
        yield from _width_problems(config, config.widths)


def _width_problems(config: UNetConfig, widths: Widths) -> Any:
    """Yield what is wrong with channels given one by one."""
    depth = len(config.features) - 1
    counts = (*(config.convolutions,) * depth, config.bottleneck_convolutions)
    shapes = tuple(len(level) for level in widths.encoder), tuple(len(level) for level in widths.decoder)
    if shapes != (counts, counts[:-1]) or len(widths.rising) != depth:
        yield "widths do not have one number for each convolution"
        return
    flat = [*widths.rising, *(width for level in (*widths.encoder, *widths.decoder) for width in level)]
    if not all(_is_int(width, 1, MAX_FEATURES) for width in flat):
        yield f"widths are {flat!r:.80}, expected numbers up to {MAX_FEATURES}"
        return
    if tuple(level[-1] for level in widths.encoder) != config.features:
        yield f"widths end with other channels than the features {config.features!r}"
    if config.upsampling != "transpose" and not config.project:
        below = [level[-1] for level in (*widths.decoder[1:], widths.encoder[-1])]
        if list(widths.rising) != below:
            yield f"widths rising are {widths.rising!r}, expected those below, {below!r}"
