"""The precision is checked against float32 once, and what was measured is remembered."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_unet.image.source import ImageSource
from napari_unet.inference.network.devices import Device, choose_device
from napari_unet.inference.network.remembered import MOST_ENTRIES, Remembered
from napari_unet.inference.network.selfcheck import checked_part, differing, machine_key
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles.tiling import plan_tiles
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import geometry_of
from napari_unet.model.unet import UNet


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("napari_unet.inference.network.devices.fast_bfloat16", lambda device: True)
    return tmp_path / "cache" / "measured.json"


class Touchy(UNet):
    """Decides by differences too small for bfloat16."""

    def forward(self, x):
        y = super().forward(x)
        first = y[:, :1].float()
        return torch.cat((100 + first * 1e-2, torch.full_like(first, 100.0)), 1).to(y.dtype)


def image():
    return ImageSource.from_array(np.random.default_rng(0).normal(size=(90, 110)), "YX")


def test_a_network_that_agrees_keeps_the_short_type(make_checkpoint, cache):
    checkpoint = make_checkpoint()
    predictor = Predictor(checkpoint, "cpu", threads=1)
    assert predictor.engine.dtype == torch.bfloat16
    predictor.engine._agrees = None
    predictor.predict(image())
    assert predictor.engine._agrees is not None
    if checkpoint.header.weights_hash:
        assert cache.exists()


def test_a_network_that_differs_falls_back_and_says_so(make_checkpoint):
    checkpoint = make_checkpoint(Touchy, out_channels=2)
    predictor = Predictor(checkpoint, "cpu", threads=1)
    scores = predictor.predict(image())
    assert predictor.engine.dtype == torch.float32
    assert "Computes in float32: in bfloat16" in " ".join(predictor.notes)
    exact = Predictor(checkpoint, "cpu", "float32", threads=1)
    np.testing.assert_allclose(scores, exact.predict(image()), atol=1e-5)
    assert not exact.notes
    asked = Predictor(checkpoint, "cpu", "bfloat16", threads=1)
    asked.predict(image())
    assert asked.engine.dtype == torch.bfloat16, "who asks for a type gets it"


def test_it_is_measured_once(make_checkpoint, cache, monkeypatch):
    checkpoint = make_checkpoint(Touchy, out_channels=2)
    object.__setattr__(checkpoint.header, "weights_hash", "c0ffee")
    Predictor(checkpoint, "cpu", threads=1).predict(image())
    assert json.loads(cache.read_text())["version"] == 1
    again = Predictor(checkpoint, "cpu", threads=1)
    monkeypatch.setattr(again.engine, "check", lambda *_: pytest.fail("measured again"))
    again.predict(image())
    assert again.engine.dtype == torch.float32 and again.notes


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0}', '{"version": 1, "measured": 3}'])
def test_a_spoilt_file_counts_as_empty(cache, text):
    cache.parent.mkdir(parents=True)
    cache.write_text(text)
    remembered = Remembered()
    assert remembered.get("a") == {}
    remembered.put("a", {"differs": 0.5})
    remembered.put("a", {"more": 1})
    assert Remembered().get("a") == {"differs": 0.5, "more": 1}
    assert [path.name for path in cache.parent.iterdir()] == ["measured.json"]


def test_the_file_stays_small_and_may_be_missing(tmp_path):
    remembered = Remembered(tmp_path / "measured.json")
    remembered.path.write_text(
        json.dumps({"version": 1, "measured": {str(i): {"n": i} for i in range(MOST_ENTRIES + 7)}})
    )
    remembered.put("new", {"n": -1})
    assert remembered.get("new") and not remembered.get("3")
    (tmp_path / "file").write_text("")
    Remembered(tmp_path / "file" / "measured.json").put("a", {"n": 1})  # no folder can be made there


def test_what_is_looked_at_lies_on_the_grid():
    geometry = geometry_of(UNetConfig(features=(4, 8, 8)))
    plan = plan_tiles((1, 3, 700, 41), geometry)
    for tile in plan.tiles:
        z, y, x = checked_part(plan, tile)
        assert z == tile.inner[0]
        assert y.start % 4 == x.start % 4 == (y.stop - y.start) % 4 == (x.stop - x.start) % 4 == 0
        assert 0 <= y.start < y.stop <= plan.padded[1] and 0 <= x.start < x.stop <= plan.padded[2]


def test_labels_are_compared_as_they_are_made():
    first, second = np.zeros((1, 2, 1, 4), np.float32), np.zeros((1, 2, 1, 4), np.float32)
    first[0, 1, 0, :2], second[0, 1, 0, 1:3] = 0.6, 0.6
    assert differing(first, second, independent=True) == 0.5
    assert differing(first, second, independent=False) == 0.5


def test_the_key_knows_the_instructions(monkeypatch):
    before = machine_key(choose_device("cpu"))
    assert before == machine_key(Device("cpu", "in other words"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert machine_key(choose_device("cpu")) != before
