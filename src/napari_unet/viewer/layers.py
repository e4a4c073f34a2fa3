"""A napari image layer as an `ImageSource`: its axes, channels and voxel size, asked for once where unclear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.errors import ImageError
from napari_unet.image.axes import infer_axes, parse_axes
from napari_unet.image.channels import stack_channels
from napari_unet.image.source import ImageSource
from napari_unet.image.units import micrometres
from napari_unet.viewer.levels import factors, level_data, levels_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer

METADATA_KEY = "napari_unet"


def remembered(layer: Layer) -> dict[str, Any]:
    """Return what was asked about a layer before; changes to it are kept with the layer.

    Parameters
    ----------
    layer : napari.layers.Layer
        Any layer.
    """
    answers = layer.metadata.get(METADATA_KEY)
    if not isinstance(answers, dict):
        answers = layer.metadata[METADATA_KEY] = {}
    return answers


def is_usable(layer: Layer) -> bool:
    """Tell whether a layer can be segmented: an image that the plugin did not make.

    Parameters
    ----------
    layer : napari.layers.Layer
        Any layer.
    """
    return type(layer).__name__ == "Image" and not remembered(layer).get("helper", False)


def axes_of(layer: Image) -> str:
    """Return the axes of a layer's data, the colour axis of an RGB image included.

    What the user answered before wins, then the layer's axis labels.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.

    Raises
    ------
    AxesError
        If the axes are unclear; its ``candidates`` are the choices to offer.
    """
    shape = _data(layer).shape
    answered = remembered(layer).get("axes")
    if answered is not None and len(answered) == len(shape):
        return parse_axes(answered, shape)
    return infer_axes(shape, layer.axis_labels, rgb=layer.rgb)


def source_of(layer: Image, channels: Sequence[int] | None = None) -> ImageSource:
    """Describe a layer for the session; nothing is read.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer; of a multiscale one, the level that was chosen for it (`remember_level`), else the finest.
    channels : sequence of int, optional
        Which channels feed the model, in order; all by default.

    Returns
    -------
    ImageSource
        With the voxel size from the layer, else from its file, else as the user told, else unknown.

    Raises
    ------
    AxesError
        If the axes are unclear.
    ImageError
        If the layer holds no image that can be used.
    """
    axes, level = axes_of(layer), level_of(layer)
    scale, origin = voxel_size(layer, axes, level)
    return ImageSource(
        data=level_data(layer, level),
        axes=axes,
        name=layer.name,
        scale=scale,
        units="µm",
        scale_origin=origin,
        rgb=bool(layer.rgb),
        channels=None if channels is None else tuple(channels),
        path=_path(layer),
        level=level,
        levels=levels_of(layer),
    )


def level_of(layer: Image) -> int:
    """Return which level of a multiscale layer a model sees; 0 for others."""
    chosen = remembered(layer).get("level", 0)
    return int(chosen) if 0 <= int(chosen) < levels_of(layer) else 0


def remember_level(layer: Image, level: int, by_user: bool) -> None:
    """Keep which level of a layer a model sees.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    level : int
        0 is the finest.
    by_user : bool
        Another model does not change it.
    """
    remembered(layer)["level"], remembered(layer)["level_by_user"] = level, by_user


def level_sizes(layer: Image) -> list[tuple[float, float, float] | None]:
    """Return the voxel size (z, y, x) in µm of each level of a layer, the finest first; None where unknown."""
    axes = axes_of(layer)
    return [voxel_size(layer, axes, level)[0] for level in range(levels_of(layer))]


def source_of_layers(layers: Sequence[Image], channels: Sequence[int] | None = None) -> ImageSource:
    """Describe one layer, or several as the channels of one image.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        Layers of one shape.
    channels : sequence of int, optional
        Of a single layer: which channels feed the model.

    Raises
    ------
    AxesError, ImageError
        See `source_of`; also if the layers do not lie on one another.
    """
    if len(layers) == 1:
        return source_of(layers[0], channels)
    first = layers[0]
    for other in layers[1:]:
        if tuple(other.translate) != tuple(first.translate) or tuple(other.scale) != tuple(first.scale):
            raise ImageError(
                f"The layers {first.name!r} and {other.name!r} lie at different places or have different scales.",
                "Choose layers of the same scale and translation as channels.",
            )
    return stack_channels([source_of(layer) for layer in layers])


def voxel_size(layer: Image, axes: str, level: int = 0) -> tuple[tuple[float, float, float] | None, str]:
    """Return a layer's voxel size (z, y, x) in µm and where it was read from.

    A scale of 1 pixel everywhere is napari's default and says nothing. A scale other than 1 without
    a unit is taken as µm: most readers write it so.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    axes : str
        Its axes.
    level : int
        Of a multiscale layer.

    Returns
    -------
    tuple of float or None
        None when unknown.
    str
        "layer", "file", "user" or "unknown".
    """
    spatial = [letter for letter in axes if letter in "ZYX"]
    displayed = axes[:-1] if layer.rgb else axes
    values: dict[str, float] = {}
    told = False
    wider = dict(zip(displayed, factors(layer, level), strict=True))
    for letter in spatial:
        index = displayed.index(letter)
        length = micrometres(layer.units[index])
        scale = abs(float(layer.scale[index]))
        told = told or length is not None or scale != 1
        values[letter] = scale * wider[letter] * (1.0 if length is None else length)
    if told:
        return (values.get("Z", 1.0), values["Y"], values["X"]), "layer"
    answered = remembered(layer).get("voxel_size")
    if answered is not None:
        z, y, x = (float(value) * wider.get(letter, 1.0) for value, letter in zip(answered, "ZYX", strict=True))
        return (z, y, x), str(remembered(layer).get("voxel_size_origin", "user"))
    return None, "unknown"


def read_file_scale(layer: Image) -> None:
    """Look once for the voxel size in the layer's file; napari drops it for plain TIFF files.

    The answer, also that there is none, is remembered with the layer.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    """
    answers = remembered(layer)
    path = _path(layer)
    if path is None or "voxel_size" in answers or answers.get("file_read"):
        return
    answers["file_read"] = True
    from napari_unet.io.images import read_scale

    scale = read_scale(path)
    if scale is not None:
        answers["voxel_size"], answers["voxel_size_origin"] = scale, "file"


def remember_axes(layer: Image, axes: str) -> None:
    """Keep the user's answer about a layer's axes.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    axes : str
        One letter per dimension.

    Raises
    ------
    AxesError
        If they do not fit the layer.
    """
    remembered(layer)["axes"] = parse_axes(axes, _data(layer).shape)


def remember_voxel_size(layer: Image, size: Sequence[float] | None) -> None:
    """Keep the user's answer about a layer's voxel size.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    size : sequence of float or None
        (z, y, x) in µm; None forgets it.
    """
    answers = remembered(layer)
    if size is None:
        answers.pop("voxel_size", None)
        return
    answers["voxel_size"], answers["voxel_size_origin"] = tuple(float(value) for value in size), "user"


def with_name(source: ImageSource, name: str) -> ImageSource:
    """Return the same image under another name.

    Parameters
    ----------
    source : ImageSource
        The image.
    name : str
        Its new name.
    """
    return replace(source, name=name)


def _data(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _path(layer: Image) -> str | None:
    path = layer.source.path or remembered(layer).get("path")  # of a layer that a project brought back
    return None if path is None else str(path)
