"""The first tile is small, lies in the view, and what it leaves is cut into few pieces."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image.boxes import as_box, overlap, volume
from napari_unet.image.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles.starting import small_first
from napari_unet.inference.tiles.tiling import plan_tiles
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import geometry_of
from napari_unet.model.unet import UNet

GEOMETRY = geometry_of(UNetConfig(features=(4, 8)))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(20, 300), st.integers(20, 300)),
    corner=st.tuples(st.integers(0, 280), st.integers(0, 280)),
    tile=st.integers(16, 300),
    voxels=st.integers(100, 40_000),
)
def test_the_pieces_are_a_partition_and_the_first_is_in_view(
    size: tuple[int, int], corner: tuple[int, int], tile: int, voxels: int
) -> None:
    y, x = (min(c, n - 10) for c, n in zip(corner, size, strict=True))
    view = (0, as_box((0, y, x), (1, min(y + 40, size[0]), min(x + 40, size[1]))))
    before = plan_tiles((1, 1, *size), GEOMETRY, tile=tile, view=view)
    after = small_first(before, view, voxels)
    covered = np.zeros((1, *size), int)
    for n, one in enumerate(after.tiles):
        assert one.index == n and one.outer == after.outer(one.inner, one.z)
        covered[one.inner] += 1
    assert (covered == 1).all()
    assert overlap(after.tiles[0].inner, view[1]) is not None
    first = after.tiles[0]
    smallest = min(volume(half.outer) for half in (after.halves(first) or (0, first, first))[1:])
    assert volume(first.outer) <= max(voxels, smallest * 2)
    assert sum(volume(one.outer) for one in after.tiles) <= 3 * sum(volume(one.outer) for one in before.tiles)


def test_scores_stay_what_they_were() -> None:
    network = UNet(UNetConfig(features=(4, 8), out_channels=2))
    checkpoint = Checkpoint.from_module(network, ndim=2, in_channels=1, out_channels=2)
    predictor = Predictor(checkpoint, device="cpu", precision="float32", threads=1)
    image = np.random.default_rng(0).normal(size=(700, 640)).astype(np.float32)
    source = ImageSource.from_array(image, "YX")
    whole = predictor.predict(image, "YX")
    view = (0, as_box((0, 300, 300), (1, 400, 400)))
    plan = predictor.plan(source, view=view)
    found = np.full_like(whole, np.nan)
    sizes = []
    for one in predictor.stream(source, view=view):
        found[(slice(None), *one.tile.inner[1:])] = one.scores[:, 0]
        sizes.append(volume(one.tile.outer))
    assert len(sizes) == len(plan.tiles) > 1 and sizes[0] <= 2**18
    np.testing.assert_allclose(found, whole, atol=1e-4)
