"""What a layer's axes, channels and voxel size mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import Source  # type: ignore[import-not-found, unused-ignore]

from napari_unet.errors import AxesError, ImageError
from napari_unet.viewer import layers


def test_axes_come_from_labels_then_from_the_user() -> None:
    named = Image(np.zeros((4, 20, 30)), axis_labels=("z", "y", "x"))
    assert layers.source_of(named).axes == "ZYX"
    unnamed = Image(np.zeros((12, 20, 30)))
    with pytest.raises(AxesError) as caught:
        layers.source_of(unnamed)
    assert "TYX" in caught.value.candidates
    layers.remember_axes(unnamed, "tyx")
    assert layers.source_of(unnamed).axes == "TYX"
    with pytest.raises(AxesError):
        layers.remember_axes(unnamed, "ZZX")
    rgb = Image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    assert (layers.source_of(rgb).axes, layers.source_of(rgb).n_channels) == ("YXC", 3)


def test_voxel_size_in_micrometres_from_the_layer_or_the_user_else_unknown() -> None:
    layer = Image(np.zeros((4, 20, 30)), axis_labels=("z", "y", "x"), scale=(1000, 250, 250), units=("nm",) * 3)
    source = layers.source_of(layer)
    assert source.scale_um == pytest.approx((1, 0.25, 0.25))
    assert source.scale_origin == "layer"
    plain = Image(np.zeros((20, 30)))
    assert layers.source_of(plain).scale is None
    layers.remember_voxel_size(plain, (1, 0.5, 0.5))
    assert (layers.source_of(plain).scale_um, layers.source_of(plain).scale_origin) == ((1, 0.5, 0.5), "user")
    layers.remember_voxel_size(plain, None)
    assert layers.source_of(plain).scale is None


def test_voxel_size_from_the_file_that_napari_drops_it_from(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((20, 30), np.uint8), imagej=True, resolution=(4, 4), metadata={"unit": "um", "axes": "YX"}
    )
    layer = Image(tifffile.imread(path))
    layer._source = Source(path=str(path))
    layers.read_file_scale(layer)
    source = layers.source_of(layer)
    assert source.scale_um == pytest.approx((1, 0.25, 0.25))
    assert (source.scale_origin, source.path) == ("file", str(path))


def test_several_layers_are_channels_of_one_image() -> None:
    first, second = (Image(np.full((20, 30), value, np.uint8), name=str(value)) for value in (1, 2))
    source = layers.source_of_layers([first, second])
    assert source.n_channels == 2
    assert source.read(0)[:, 0, 0, 0].tolist() == [1, 2]
    second.translate = (5, 0)
    with pytest.raises(ImageError, match="different places"):
        layers.source_of_layers([first, second])


def test_the_finest_level_of_a_multiscale_layer_is_used() -> None:
    layer = Image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True)
    assert layers.source_of(layer).shape == (1, 1, 64, 64)
