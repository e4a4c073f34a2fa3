from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from napari_unet import Predictor
from napari_unet.errors import CheckpointError, ConsentNeeded
from napari_unet.model import consent
from napari_unet.model.checkpoint import load_checkpoint

SCRIPT = "a4b0659a1b48454588b12179855ad0a0c9b69ccaa89b8bb06e6271e8f60b02fe"


@pytest.fixture(autouse=True)
def nobody_said_yes(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())


@pytest.fixture
def nuclei_broad(shared_data) -> Path:
    return shared_data / "weights" / "bioimageio_unet2d_nuclei_broad"


def zipped(folder: Path, target: Path, description: str) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.iterdir():
            if not file.name.endswith(".yaml"):
                archive.write(file, file.name)
        archive.write(folder / description, "rdf.yaml")
    return target


@pytest.mark.shared_data
@pytest.mark.parametrize("description", ["bioimageio.yaml", "v0_4_9.bioimageio.yaml", "v0_4_0.bioimageio.yaml"])
def test_nuclei_broad_reproduces_its_test_values_in_every_version(nuclei_broad, description, tmp_path):
    package = zipped(nuclei_broad, tmp_path / "nuclei.zip", description)
    for path in (package, nuclei_broad / description):
        with pytest.raises(ConsentNeeded) as asked:
            load_checkpoint(path)
        assert asked.value.sha256 == SCRIPT == hashlib.sha256((nuclei_broad / "weights.pt").read_bytes()).hexdigest()
        checkpoint = load_checkpoint(path, run_code=SCRIPT)
        consent._named.clear()
        header = checkpoint.header
        assert "reproduced" in header.provenance["checked"]
        assert header.normalization.method == "zscore" and header.output.activation == "sigmoid"
        assert header.program.sizes.minimum == (512, 512) and header.program.sizes.halo == (32, 32)


@pytest.mark.shared_data
def test_nuclei_broad_finds_nuclei_in_a_real_image(nuclei_broad, shared_data, tmp_path):
    checkpoint = load_checkpoint(nuclei_broad, run_code=SCRIPT)
    checkpoint = load_checkpoint(checkpoint.save(tmp_path / "ours"))
    image = imread(shared_data / "dsb2018" / "images" / "0287e7ee5b00.png")
    truth = imread(shared_data / "dsb2018" / "labels" / "0287e7ee5b00.tif") > 0
    image = image[..., 0] if image.ndim == 3 else image
    predictor = Predictor(checkpoint, device="cpu", precision="float32", threads=1)
    found = predictor.predict(image, axes="YX")[0] > 0.5
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    wide = np.tile(image, (1, 3))  # wider than the only size that the network takes
    assert predictor.predict(wide, axes="YX").shape == (1, *wide.shape)


@pytest.mark.shared_data
def test_weights_that_are_not_those_described_are_refused(nuclei_broad, tmp_path):
    folder = tmp_path / "package"
    shutil.copytree(nuclei_broad, folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    (folder / "weights.pt").write_bytes((folder / "weights.onnx").read_bytes())
    with pytest.raises(CheckpointError, match="not the file"):
        load_checkpoint(folder)


@pytest.mark.shared_data
def test_a_description_that_does_not_fit_is_found_out_by_the_test_values(nuclei_broad, tmp_path):
    folder = tmp_path / "package"
    shutil.copytree(nuclei_broad, folder)
    folder.chmod(0o755)
    description = folder / "bioimageio.yaml"
    description.chmod(0o644)
    description.write_text(description.read_text().replace("zero_mean_unit_variance", "scale_range"))
    with pytest.raises(CheckpointError, match="does not reproduce"):
        load_checkpoint(folder, run_code=SCRIPT)


@pytest.mark.shared_data
def test_a_package_without_its_code_is_told_by_its_weights(shared_data):
    checkpoint = load_checkpoint(shared_data / "weights" / "bioimageio_unet2d_fixed_shape")
    header = checkpoint.header
    assert header.config is not None and header.family == "torch-em" and header.program is None
    assert "reproduced" in header.provenance["checked"]
    assert header.provenance["package_license"] == "CC-BY-4.0"
    image = imread(shared_data / "dsb2018" / "images" / "0287e7ee5b00.png")
    image = image[..., 0] if image.ndim == 3 else image
    scores = Predictor(checkpoint, device="cpu", precision="float32", threads=1).predict(image[:100, :130], axes="YX")
    assert scores.shape == (1, 100, 130) and scores.std() > 0.01


@pytest.mark.shared_data
def test_a_volume_network_saved_on_a_gpu_runs_on_a_real_volume(shared_data):
    checkpoint = load_checkpoint(shared_data / "weights" / "platelet_unet3d" / "unet-210913-zyxmc.pt")
    (file,) = sorted((shared_data / "cellseg3d_mesospim").rglob("*.tif"))[:1]
    volume = imread(file)[:8, :64, :64]
    predictor = Predictor(checkpoint, device="cpu", precision="float32", threads=1)
    scores = predictor.predict(volume.astype(np.float32) / volume.max(), axes="ZYX")
    assert scores.shape == (5, *volume.shape) and np.isfinite(scores).all() and scores.std() > 0
