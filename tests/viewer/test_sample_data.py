"""Sample data become layers that lie on one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_unet.viewer import sample_data


@pytest.mark.parametrize(
    ("load", "axes", "scale"),
    [
        (sample_data.nuclei_2d, ("y", "x"), [0.5, 0.5]),
        (sample_data.nuclei_3d, ("z", "y", "x"), [1, 0.5, 0.5]),
        (sample_data.nuclei_time, ("t", "y", "x"), [1, 0.5, 0.5]),
    ],
)
def test_generated_nuclei_come_with_their_truth(
    load: Callable[[], list[Any]], axes: tuple[str, ...], scale: list[float]
) -> None:
    image, truth = (Layer.create(*layer) for layer in load())
    assert isinstance(image, Image)
    assert isinstance(truth, Labels)
    assert image.data.shape == truth.data.shape
    for layer in (image, truth):
        assert layer.axis_labels == axes
        assert layer.scale.tolist() == scale
        assert f"{layer.units[-1]:~P}" == "µm"
    assert np.unique(truth.data).size > 20


def test_the_real_image_is_colour() -> None:
    (layer,) = (Layer.create(*data) for data in sample_data.immunohistochemistry())
    assert isinstance(layer, Image)
    assert layer.rgb
    assert layer.data.shape == (512, 512, 3)
