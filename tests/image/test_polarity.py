"""Images of the other polarity are inverted where the model asks for it, and that is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization, apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.inference.predictor import Predictor
from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig

IMAGE, TRUTH = nuclei_2d((96, 120), seed=2)
NEGATIVE = (IMAGE.max() - IMAGE + 50).astype(np.uint16)


@pytest.mark.parametrize("method", ["percentile", "zscore"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_negative_looks_like_the_image(method, dtype):
    bright = Normalization(method, 0.0, 100.0, polarity="bright")
    unit = (IMAGE - IMAGE.min()) / np.ptp(IMAGE)
    seen = []
    for negative in (False, True):
        array = np.round(250 * (1 - unit if negative else unit)).astype(dtype)
        statistics = measure(ImageSource.from_array(array, "YX"), bright)
        seen.append(apply(array[np.newaxis], statistics, bright)[0])
        assert bool(statistics.note) == negative
    np.testing.assert_allclose(seen[0], seen[1], atol=0.05)
    dark = replace(bright, polarity="dark")
    assert measure(ImageSource.from_array(IMAGE, "YX"), dark).note
    assert not measure(ImageSource.from_array(NEGATIVE, "YX"), replace(bright, polarity="any")).note


def test_each_channel_has_its_own_polarity():
    both = np.stack([IMAGE, NEGATIVE])
    found = measure(ImageSource.from_array(both, "CYX"), Normalization(polarity="bright"))
    assert [scale < 0 for scale in found.scale] == [False, True]
    assert "channels" in found.note


def test_what_is_not_clear_stays():
    even = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    assert not measure(ImageSource.from_array(even, "YX"), Normalization(polarity="bright")).note
    assert not measure(ImageSource.from_array(np.zeros((9, 9)), "YX"), Normalization(polarity="bright")).note


def test_a_prediction_says_that_the_image_was_inverted_and_is_that_of_the_negative():
    made = Checkpoint.from_config(UNetConfig(features=(4, 8), out_channels=2), default_classes(2), name="x", seed=1)
    header = replace(made.header, normalization=Normalization("percentile", 0.0, 100.0, polarity="bright"))
    one = Predictor(replace(made, header=header), "cpu", "float32", threads=1)
    expected = one.predict(IMAGE, "YX")
    assert not any("inverted" in note for note in one.notes)
    np.testing.assert_allclose(one.predict(NEGATIVE, "YX"), expected, atol=1e-4)
    assert any("The image is inverted" in note for note in one.notes)


def test_a_header_cannot_ask_for_anything_else():
    with pytest.raises(CheckpointError, match="polarity"):
        Normalization.from_dict({"polarity": "sideways"})
    assert Normalization.from_dict(Normalization(polarity="dark").to_dict()).polarity == "dark"
