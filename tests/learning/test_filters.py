import numpy as np
import pytest
from scipy import ndimage

from napari_unet.learning.filters import eigenvalues, filter_features


@pytest.mark.parametrize("shape", [(40, 30), (20, 24, 22)])
def test_the_bank_responds_to_each_channel(shape):
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    one, both = filter_features(image[:1]), filter_features(image)
    assert one.dtype == np.float32 and both.shape == (2 * len(one), *shape)
    np.testing.assert_array_equal(both[: len(one)], one)
    np.testing.assert_array_equal(one[0], image[0])
    np.testing.assert_allclose(one[1], ndimage.gaussian_filter(image[0], 0.3, truncate=3), atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_eigenvalues_are_those_of_numpy(ndim):
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(50, ndim, ndim))
    matrices = matrices + matrices.transpose(0, 2, 1)
    entries = [matrices[:, a, b] for a in range(ndim) for b in range(a, ndim)]
    found = np.stack(eigenvalues(entries, ndim), 1)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(matrices)[:, ::-1], atol=1e-5)
