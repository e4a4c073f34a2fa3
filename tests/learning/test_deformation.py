import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.learning import deformation
from napari_unet.learning.deformation import bent


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32))
def test_image_labels_and_masks_are_bent_alike(height, width, seed):
    rows, columns = np.indices((height, width))
    image = np.stack([rows, columns]).astype(np.float32)[:, None]
    found, row, column = bent(image, (rows[None], columns[None]), np.random.default_rng(seed))
    assert found.shape == (2, 1, height, width) and found.dtype == np.float32
    assert np.abs(found[0] - row).max() <= 0.5 + 1e-4
    assert np.abs(found[1] - column).max() <= 0.5 + 1e-4


def test_every_plane_is_bent_alike_and_smoothly():
    rows = np.indices((96, 96))[0].astype(np.float32)
    found, mask = bent(np.stack([rows, rows])[None], (np.ones((2, 96, 96), bool),), np.random.default_rng(1))
    assert np.array_equal(found[:, 0], found[:, 1]) and mask.all() and mask.dtype == bool
    shift = found[0, 0] - rows
    assert 0.5 < shift[8:-8, 8:-8].std() < 5
    assert np.abs(np.diff(shift[8:-8, 8:-8], axis=1)).max() < 1


def test_chance_comes_from_the_generator_alone(monkeypatch):
    image = np.random.default_rng(0).random((1, 1, 40, 50), dtype=np.float32)
    first, second, other = (bent(image, (), np.random.default_rng(seed))[0] for seed in (3, 3, 4))
    assert np.array_equal(first, second) and not np.array_equal(first, other)
    monkeypatch.setattr(deformation, "SHIFT", 0.0)
    assert bent(image, (), np.random.default_rng(3))[0] == pytest.approx(image, abs=1e-6)
