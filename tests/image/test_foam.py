"""Generated cells: every voxel belongs to one, walls are bright, the same seed gives the same image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import ImageError
from napari_unet.image.foam import cells


@settings(max_examples=20, deadline=None)
@given(
    shape=st.one_of(st.tuples(*[st.integers(1, 60)] * 2), st.tuples(*[st.integers(1, 24)] * 3)),
    seed=st.integers(0, 2**16),
    radius=st.floats(3, 20),
    z_spacing=st.floats(1, 4),
)
def test_cells_fill_the_space(shape: tuple[int, ...], seed: int, radius: float, z_spacing: float) -> None:
    image, labels = cells(shape, seed, radius=radius, z_spacing=z_spacing)
    assert image.shape == labels.shape == shape and image.dtype == labels.dtype == np.uint16
    np.testing.assert_array_equal(np.unique(labels), np.arange(1, labels.max() + 1))
    np.testing.assert_array_equal(cells(shape, seed, radius=radius, z_spacing=z_spacing)[0], image)


def test_walls_are_brighter_than_cells() -> None:
    image, labels = cells((24, 80, 80), 1, radius=12, photons=200)
    walls = np.zeros(labels.shape, bool)
    walls[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    assert image[walls].mean() > 1.5 * image[~walls].mean()
    volumes = np.bincount(labels.ravel())[1:]
    assert 0.2 < np.median(volumes) / (4 / 3 * np.pi * 12**3) < 2


@pytest.mark.parametrize("shape", [(5,), (0, 4), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape"):
        cells(shape)
