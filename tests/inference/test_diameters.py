"""Bringing objects to the size that a model knows: typed, or found by a first coarse pass, in 2D and 3D."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from napari_unet.errors import CheckpointError, UserError
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.inference.coarse import SCALES, Votes, elect
from napari_unet.inference.diameters import UNKNOWN_TO_MODEL, equivalent_diameters, rescaling_by_diameter
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.evaluation import match_objects
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint
from napari_unet.model.header import ClassInfo, Output

KNOWN = 18.0


class Bright(nn.Module):
    """Calls bright voxels foreground, at any scale."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 20 * (x - 0.4)


def bright(ndim: int, diameter: float | None = 10.0, size: tuple[float, ...] | None = None) -> Checkpoint:
    output = Output(
        "binary", "sigmoid", ("foreground",), (ClassInfo("background", "#000000"), ClassInfo("ball", "#ffffff"))
    )
    made = Checkpoint.from_module(Bright(), ndim=ndim, in_channels=1, out_channels=1, output=output, name="bright")
    return replace(made, header=replace(made.header, object_diameter=diameter, voxel_size=size))


def balls(shape: tuple[int, ...], diameter: float, gap: float = 1.8) -> np.ndarray[Any, Any]:
    """Return bright balls on a grid."""
    step = int(diameter * gap)
    image = np.zeros(shape, np.float32)
    grid = np.meshgrid(*(np.arange(step // 2, n - step // 2, step) for n in shape), indexing="ij")
    image[tuple(part.ravel() for part in grid)] = 1
    return (ndimage.distance_transform_edt(image == 0) <= diameter / 2).astype(np.float32)


@lru_cache(1)
def nuclei() -> Predictor:
    built_in = load_checkpoint("nuclei-2d")
    known = replace(built_in, header=replace(built_in.header, object_diameter=KNOWN))
    return Predictor(known, "cpu", "float32", threads=1)


def source(image: Any, **more: Any) -> ImageSource:
    return ImageSource.from_array(image, "TZYX"[-image.ndim :], **more)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_nuclei_at_other_magnifications(zoom: float) -> None:
    image, truth = nuclei_2d((200, 240), seed=5)
    image = ndimage.zoom(image.astype(np.float32), zoom, order=1)
    truth = ndimage.zoom(truth, zoom, order=0)
    diameter = np.median(equivalent_diameters(np.bincount(truth.ravel())[1:], 2))
    one = nuclei().with_options(PredictOptions(find_size=True))
    found = one.sizes.of(one, source(image))
    assert found is not None
    assert found.diameter == pytest.approx(diameter, rel=0.25)
    labels = one.segment(source(image))
    assert labels.shape == image.shape
    assert match_objects(truth, labels).f1 > 0.8
    said = " ".join(one.notes)
    assert f"about {found.diameter:.3g} pixels wide" in said
    assert ("the model sees the image" in said) == (not 1 / 1.25 <= KNOWN / found.diameter <= 1.25)


@pytest.mark.parametrize("zoom", [0.5, 1, 2])
def test_balls_in_3d_at_other_magnifications(zoom: float) -> None:
    image = balls((40, 90, 90), 10 * zoom)
    one = Predictor(bright(3), "cpu", "float32", threads=1, options=PredictOptions(find_size=True))
    found = one.sizes.of(one, source(image))
    assert found is not None
    assert found.diameter == pytest.approx(10 * zoom, rel=0.15)
    rescaling = one.route(source(image)).rescaling
    assert (rescaling is None) == (zoom == 1)
    scores = one.predict(image, "ZYX")
    assert scores.shape == (1, 40, 90, 90)
    assert np.mean((scores[0] > 0.5) == (image > 0.5)) > 0.98


def test_a_planes_model_leaves_z_and_a_volumes_model_keeps_the_ratio() -> None:
    image = source(np.zeros((8, 40, 60), np.float32))
    flat, _ = rescaling_by_diameter(image, bright(2).header, 20.0)
    assert flat is not None
    assert flat.network == (8, 20, 30)
    solid, note = rescaling_by_diameter(image, bright(3).header, 5.0)
    assert solid is not None
    assert solid.network == (16, 80, 120)
    assert "2 times larger" in note
    sized = source(np.zeros((8, 40, 60), np.float32), scale=(4.0, 1.0, 1.0))
    turned, _ = rescaling_by_diameter(sized, bright(2).header, 20.0, isotropic=True)
    assert turned is not None
    assert turned.network == (16, 20, 30)


def test_what_is_typed_wins_then_voxel_sizes_then_the_estimate() -> None:
    image = source(balls((100, 100), 20.0), scale=(1.0, 1.0))
    model = bright(2, size=(4.0, 4.0))

    def network(checkpoint: Checkpoint, **options: Any) -> Any:
        one = Predictor(checkpoint, "cpu", "float32", threads=1, options=PredictOptions(**options))
        rescaling = one.route(image).rescaling
        return None if rescaling is None else rescaling.network[2]

    assert network(model, diameter=40.0, find_size=True) == 25
    assert network(model, find_size=True) == 25
    assert network(model, find_size=True, rescale=False) == pytest.approx(50, abs=1)
    assert network(bright(2), find_size=True) == pytest.approx(50, abs=1)
    assert network(bright(2)) is None
    assert network(model, diameter=10.0) is None, "that is what the model knows"


def test_models_that_do_not_know_a_size_say_so() -> None:
    image = source(balls((60, 60), 20.0))
    one = Predictor(bright(2, None), "cpu", threads=1, options=PredictOptions(diameter=20.0, find_size=True))
    assert one.route(image).rescaling is None
    assert UNKNOWN_TO_MODEL in one.route(image).notes
    assert one.sizes.of(one, image) is None


def test_an_empty_image_is_left_as_it_is() -> None:
    one = Predictor(bright(2), "cpu", threads=1, options=PredictOptions(find_size=True))
    image = source(np.zeros((50, 50), np.float32))
    assert one.route(image).rescaling is None
    assert any("could not be told" in note for note in one.route(image).notes)


def test_a_mistaken_diameter_is_refused() -> None:
    image = source(np.zeros((50, 50), np.float32))
    found, note = rescaling_by_diameter(image, bright(2).header, 1000.0)
    assert found is None
    assert "nothing was rescaled" in note
    for wrong in (0, -3.0, float("nan")):
        with pytest.raises(UserError, match="above 0"):
            PredictOptions(diameter=wrong)
    with pytest.raises(CheckpointError, match="object diameter"):
        replace(bright(2).header, object_diameter=-1.0)


@settings(deadline=None, max_examples=50)
@given(st.floats(10, 50), st.integers(0, 1000))
def test_objects_that_agree_across_scales_win_over_pieces_and_blobs(diameter: float, seed: int) -> None:
    """At each scale some true objects, where the network can see them, and as many of the size that it knows."""
    rng = np.random.default_rng(seed)
    votes = []
    for scale in SCALES:
        seen = diameter * scale / KNOWN
        true = diameter * rng.normal(1, 0.08, 20) if 0.4 < seen < 2.5 else np.empty(0)
        false = KNOWN / scale * np.exp(rng.normal(0, 0.3, 20))
        share = np.concatenate([np.full(true.size, 0.01), np.full(20, 0.005)])
        votes.append(Votes(scale, np.concatenate([true, false]), share))
    found = elect(votes, KNOWN, "a sample").diameter
    assert found == pytest.approx(diameter, rel=0.2)


def test_every_piece_of_an_image_counts_once() -> None:
    """The estimate is made once per image, whatever is asked for afterwards."""
    looked = 0

    def count() -> None:
        nonlocal looked
        looked += 1

    one = Predictor(bright(2), "cpu", threads=1, options=PredictOptions(find_size=True))
    image = source(balls((100, 100), 20.0))
    first = one.sizes.of(one, image, between=count)
    before = looked
    other = one.with_options(PredictOptions(find_size=True, flips=True))
    assert other.sizes.of(other, image, between=count) is first
    assert looked == before > 0
