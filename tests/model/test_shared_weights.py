"""Real files of other programs, on real images."""

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.image.normalize import apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.model.checkpoint import load_checkpoint


@pytest.mark.shared_data
def test_bare_weights_of_a_package_reproduce_its_test_values(shared_data):
    folder = shared_data / "weights" / "bioimageio_unet2d_fixed_shape"
    checkpoint = load_checkpoint(folder / "weights.pt")
    assert checkpoint.header.origin.family == "torch-em"
    values = np.load(folder / "test_input.npy")[0]
    how = checkpoint.header.normalization
    image = apply(values, measure(ImageSource.from_array(values, axes="CYX", name="test"), how), how)
    with torch.no_grad():
        scores = checkpoint.network(torch.from_numpy(image)[None]).numpy()
    expected = np.load(folder / "test_output.npy")
    assert np.abs(scores - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.shared_data
def test_a_file_saved_on_a_gpu_runs_on_a_real_volume(shared_data):
    checkpoint = load_checkpoint(shared_data / "weights" / "platelet_unet3d" / "unet-210913-zyxmc.pt")
    assert checkpoint.header.blueprint.divisor == (2, 16, 16)
    volume = tifffile.imread(next((shared_data / "cellseg3d_mesospim").rglob("*.tif")))[:7, :50, :70]
    scores = Predictor(checkpoint, device="cpu", threads=1).predict(volume, axes="ZYX")
    assert scores.shape == (5, 7, 50, 70)
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert scores.std() > 0
