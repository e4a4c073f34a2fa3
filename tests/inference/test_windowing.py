"""A window has the scores of the whole image at its place."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.image.boxes import as_box
from napari_unet.image.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles.windowing import Window
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import UNet


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_window_has_the_scores_of_the_whole_image(ndim: int) -> None:
    network = UNet(UNetConfig(ndim=ndim, features=(4, 8), out_channels=2))
    checkpoint = Checkpoint.from_module(network, ndim=ndim, in_channels=1, out_channels=2)
    predictor = Predictor(checkpoint, device="cpu", precision="float32", tile=16, threads=1)
    image = np.random.default_rng(0).normal(size=(2, 12, 50, 60)).astype(np.float32)
    source = ImageSource.from_array(image, "TZYX")
    window = Window(1, as_box((3, 13, 21), (9, 45, 60)))
    plan = window.plan(predictor.plan(source, **window.options))
    found = np.full((2, 6, 32, 39), np.nan, np.float32)
    for one in map(window.scores, predictor.stream(source, **window.options)):
        assert one.tile.t == 0 and one.tile in plan.tiles
        assert one.tile.z == (one.tile.inner[0].start if ndim == 2 else None)
        assert np.isnan(found[(slice(None), *one.tile.inner)]).all()
        found[(slice(None), *one.tile.inner)] = one.scores
    whole = predictor.predict(image, "TZYX")
    np.testing.assert_allclose(found, whole[1][(slice(None), *window.box)], atol=1e-5)
