"""Packages that we write, under bioimageio.core's own `test_model`; and ONNX by onnxruntime.

They run in the tox environment ``families``; where the libraries are missing they are skipped.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from napari_unet import Predictor
from napari_unet.image.normalize import Normalization
from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint, default_classes, load_checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.exporting.about import About
from napari_unet.model.exporting.writing import export_checkpoint
from napari_unet.model.fitting import Fitted

ABOUT = About(("Somebody; An Institute",), "CC-BY-4.0", "Round things.", ("A paper. 10.1000/182",), ("nuclei",))
CONFIGS = {
    "flat": UNetConfig(features=(4, 8, 16)),
    "gray or colour": UNetConfig(in_channels=3, features=(4, 8)),
    "group": UNetConfig(features=(4, 8, 16), norm="group", groups=4, upsampling="interpolate", align_corners=True),
    "stack": UNetConfig(ndim=3, features=(4, 8, 16), pooling=((1, 2, 2), (2, 2, 2))),
    "instance stack": UNetConfig(ndim=3, features=(4, 8), norm="instance", upsampling="interpolate"),
}


def made(name: str) -> tuple[Checkpoint, ImageSource]:
    config = CONFIGS[name]
    size = (0.25, 0.2, 0.2)[3 - config.ndim :]
    normalization = Normalization("zscore", clip=(-3.0, 9.0)) if name == "group" else Normalization()
    checkpoint = Checkpoint.from_config(
        config, default_classes(3), name=f"a {name} model", normalization=normalization, voxel_size=size
    )
    shape = {2: (140, 150), 3: (24, 72, 80)}[config.ndim]
    values = np.random.default_rng(0).gamma(2.0, 300.0, (config.in_channels, *shape)).astype(np.uint16)
    return checkpoint, ImageSource(values, "CZYX" if config.ndim == 3 else "CYX", "example")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("fixed", [True, False])
def test_core_accepts_what_we_write_and_gets_our_scores(name: str, fixed: bool, tmp_path: Path) -> None:
    core = pytest.importorskip("bioimageio.core")
    checkpoint, example = made(name)
    target = tmp_path / "package.zip"
    export_checkpoint(checkpoint, target, example=example, about=ABOUT, fixed=fixed)
    formats = ["pytorch_state_dict", "torchscript"]
    if "weights.onnx" in str(core.load_description(str(target), format_version="latest").weights):
        formats.append("onnx")
    for weights in formats:
        summary = core.test_model(str(target), weight_format=weights)
        problems = [f"{detail.name}: {error.msg}" for detail in summary.details for error in detail.errors]
        assert summary.status == "passed", (weights, problems)


def test_core_computes_our_scores_for_an_image_it_has_not_seen(tmp_path: Path) -> None:
    core = pytest.importorskip("bioimageio.core")
    checkpoint, example = made("flat")
    export_checkpoint(checkpoint, tmp_path / "package.zip", example=example, about=ABOUT)
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        (fixed,) = [
            step["kwargs"]
            for step in yaml.safe_load(archive.read("rdf.yaml"))["inputs"][0]["preprocessing"]
            if step["id"] == "fixed_zero_mean_unit_variance"
        ]
    values = np.random.default_rng(1).gamma(2.0, 300.0, (1, 1, 128, 144)).astype(np.float32)
    with torch.inference_mode():
        expected = checkpoint.network(torch.from_numpy((values - fixed["mean"]).astype(np.float32) / fixed["std"]))
    expected = torch.softmax(expected, 1).numpy()[0]
    model = core.load_description(str(tmp_path / "package.zip"), format_version="latest")
    sample = core.digest_spec.create_sample_for_model(model, inputs={"image": values})
    found = core.predict(model=model, inputs=sample).members["scores"].data.to_numpy()[0]
    # Around the image core mirrors it, where our networks see zeros: beyond the halo both see the same.
    margin = checkpoint.geometry.halo[0]
    inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
    assert np.abs(found - expected)[inside].max() <= 1e-4


@pytest.mark.parametrize("name", ["flat", "stack", "instance stack"])
def test_onnx_has_free_sizes_and_our_scores(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    checkpoint, _ = made(name)
    export_checkpoint(checkpoint, tmp_path / "net.onnx")
    opened = load_checkpoint(tmp_path / "net.onnx")
    assert isinstance(opened.network, Fitted) and not opened.header.program.trainable
    assert (opened.header.ndim, opened.header.in_channels, opened.header.out_channels) == (checkpoint.header.ndim, 1, 3)
    for size in ((32, 48), (64, 16)) if checkpoint.header.ndim == 2 else ((8, 16, 24), (10, 32, 16)):
        image = torch.rand(2, 1, *size)
        with torch.inference_mode():
            expected = torch.softmax(checkpoint.network(image), 1)
            assert torch.allclose(opened.network(image), expected, atol=1e-5)
    again = load_checkpoint(opened.save(tmp_path / "ours"))
    assert again.header == opened.header


@pytest.mark.shared_data
def test_onnx_weights_of_a_package_need_no_code(shared_data: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = shared_data / "weights" / "bioimageio_unet2d_nuclei_broad"
    checkpoint = load_checkpoint(folder, run_code="never")
    assert checkpoint.header.program.kind == "onnx"
    assert "reproduced" in checkpoint.header.provenance["checked"]
    image = np.random.default_rng(0).random((300, 530)).astype(np.float32)
    assert Predictor(checkpoint, device="cpu").predict(image, axes="YX").shape == (1, 300, 530)


def test_onnx_with_weights_elsewhere_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    checkpoint, _ = made("flat")
    export_checkpoint(checkpoint, tmp_path / "net.onnx")
    model = onnx.load(str(tmp_path / "net.onnx"))
    onnx.save(model, str(tmp_path / "apart.onnx"), save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(Exception, match="another file"):
        load_checkpoint(tmp_path / "apart.onnx")
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "net.onnx").read_bytes()[:500])
    with pytest.raises(Exception, match=r"cut\.onnx"):
        load_checkpoint(tmp_path / "cut.onnx")
