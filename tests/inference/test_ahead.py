"""Computing one step ahead, as on a GPU: the same scores, errors in their place, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from napari_unet.errors import ImageError
from napari_unet.image.source import ImageSource
from napari_unet.inference.network.engine import Engine
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles import normalized
from napari_unet.jobs.ahead import ahead
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import UNet


def test_the_next_item_is_computed_while_this_one_is_used() -> None:
    started = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for n, event in enumerate(started):
            event.set()
            yield n

    for n in ahead(items()):
        if n < 2:
            assert started[n + 1].wait(10)


def test_an_error_comes_after_what_was_computed_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ImageError("The file ends too early.")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(ImageError, match="too early"):
        next(coming)


def test_a_caller_that_stops_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    coming = ahead(items())
    assert next(coming) == 1
    coming.close()
    assert closed.is_set() and not [
        thread for thread in threading.enumerate() if thread.name.startswith("napari-unet-ahead")
    ]


@pytest.mark.parametrize("ndim", [2, 3])
def test_scores_are_the_same(monkeypatch: pytest.MonkeyPatch, ndim: int) -> None:
    config = UNetConfig(ndim=ndim, features=(4, 8), out_channels=2)
    checkpoint = Checkpoint.from_module(UNet(config), ndim=ndim, in_channels=1, out_channels=2)
    predictor = Predictor(checkpoint, device="cpu", precision="float32", tile=32)
    shape = (1, 300, 70) if ndim == 2 else (40, 60, 50)
    source = ImageSource.from_array(np.random.default_rng(0).random(shape, np.float32), axes="ZYX")
    expected = predictor.predict(source)
    monkeypatch.setattr(Engine, "overlaps", True)
    monkeypatch.setattr(normalized, "KEPT_VALUES", 5000 if ndim == 2 else 80_000)
    monkeypatch.setattr(normalized, "STRIPE", 64)
    read = ImageSource.read
    threads = set()

    def noted(self: ImageSource, *args: object) -> object:
        threads.add(threading.current_thread().name.partition("_")[0])
        return read(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageSource, "read", noted)
    np.testing.assert_array_equal(predictor.predict(source), expected)
    assert "napari-unet-reader" in threads


def test_an_unreadable_stripe_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = UNetConfig(features=(4, 8), out_channels=2)
    checkpoint = Checkpoint.from_module(UNet(config), ndim=2, in_channels=1, out_channels=2)
    predictor = Predictor(checkpoint, device="cpu", precision="float32", tile=32)
    source = ImageSource.from_array(np.zeros((300, 70), np.float32), axes="YX")
    statistics = predictor.measure(source)
    monkeypatch.setattr(Engine, "overlaps", True)
    monkeypatch.setattr(normalized, "KEPT_VALUES", 5000)
    monkeypatch.setattr(normalized, "STRIPE", 64)
    read = ImageSource.read

    def broken(self: ImageSource, t: int, box: tuple[slice, slice, slice]) -> object:
        if box[1].stop > 200:
            raise ImageError("The file ends too early.")
        return read(self, t, box)

    monkeypatch.setattr(ImageSource, "read", broken)
    with pytest.raises(ImageError, match="too early"):
        list(predictor.stream(source, statistics))
