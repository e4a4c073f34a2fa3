"""A small file or folder of each format that is fuzzed: what is opened, and what of it is damaged."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig
from napari_unet.model.consent import allow
from napari_unet.model.exporting.about import About
from napari_unet.model.exporting.writing import export_checkpoint
from napari_unet.model.families import monai_basic, torchem
from napari_unet.model.families.residual3d import ResidualUNet

Writer = Callable[[Path], tuple[Path, Path]]


def own(folder: Path) -> tuple[Path, Path]:
    """Write one of our own files; return what is opened and what is damaged."""
    checkpoint = Checkpoint.from_config(UNetConfig(features=(2, 4)), default_classes(2), name="x")
    path = checkpoint.save(folder / "m.safetensors")
    return path, path


def plain_safetensors(folder: Path) -> tuple[Path, Path]:
    """Write weights without our header."""
    path = folder / "m.safetensors"
    save_file(_weights(), path)
    return path, path


def torch_file(folder: Path) -> tuple[Path, Path]:
    """Write what a trainer writes: containers, settings, an optimizer."""
    path = folder / "best.pt"
    init = {"model_class": "torch_em.model.unet.UNet2d", "model_kwargs": {"in_channels": 1, "out_channels": 2}}
    optimizer = torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict()
    torch.save({"model_state": _weights(), "init": init, "epoch": 3, "optimizer_state": optimizer}, path)
    return path, path


def described(folder: Path) -> tuple[Path, Path]:
    """Write a folder whose YAML is damaged."""
    state = ResidualUNet(2, 1, 2, [2, 4], "gcr", 8).state_dict()
    torch.save({"model_state_dict": state}, folder / "best_checkpoint.pytorch")
    lines = ["model: &m", "  name: UNet2D", "  layer_order: gcr", "  num_groups: 8", "  f_maps: [2, 4]", "loaders:"]
    lines += ["  val: {transformer: {raw: [{name: PercentileNormalizer, pmin: 1, pmax: 99.5}]}}", "same: *m"]
    document = folder / "config_train.yml"
    document.write_text("\n".join(lines))
    return folder, document


def bundled(folder: Path) -> tuple[Path, Path]:
    """Write a MONAI bundle whose configuration is damaged."""
    for name in ("configs", "models"):
        (folder / name).mkdir()
    widths = (2, 2, 2, 2, 2)
    config = UNetConfig(features=widths, norm="instance", activation="leaky_relu", slope=0.1, bias=True)
    state = monai_basic.pack(Checkpoint.from_config(config, default_classes(2), name="x"))
    torch.save(dict(state), folder / "models" / "model.pt")
    network = {"_target_": "BasicUNet", "act": ["LeakyReLU", {"negative_slope": 0.2}]}
    step = {"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1, "clip": True}
    document = folder / "configs" / "inference.json"
    document.write_text(json.dumps({"network_def": network, "preprocessing": {"transforms": [step]}}))
    return folder, document


def packaged(folder: Path) -> tuple[Path, Path]:
    """Write a bioimage.io package."""
    checkpoint = Checkpoint.from_config(UNetConfig(features=(2, 4)), default_classes(2), name="packed")
    example = ImageSource(np.random.default_rng(0).random((24, 24), np.float32), "YX", "example")
    path = folder / "package.zip"
    export_checkpoint(checkpoint, path, example=example, about=About(("Somebody",), "MIT"))
    return path, path


def unpacked(folder: Path) -> tuple[Path, Path]:
    """Write a package as a folder whose description is damaged; our own notes in it are left out."""
    path, _ = packaged(folder)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    path.unlink()
    described = yaml.safe_load((folder / "rdf.yaml").read_text())
    del described["config"]
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described))
    allow(described["weights"]["torchscript"]["sha256"])
    return folder, folder / "rdf.yaml"


def scripted(folder: Path) -> tuple[Path, Path]:
    """Write a TorchScript program; each mutation is allowed to run."""
    path = folder / "net.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 8, 8)).save(str(path))
    return path, path


def graph(folder: Path) -> tuple[Path, Path]:
    """Write an ONNX graph with free sizes."""
    path = folder / "net.onnx"
    export_checkpoint(Checkpoint.from_config(UNetConfig(features=(2, 4)), default_classes(2), name="x"), path)
    return path, path


FORMATS: dict[str, Writer] = {
    "our .safetensors": own,
    "plain .safetensors": plain_safetensors,
    "torch.save": torch_file,
    "pickle in torch.save": torch_file,
    "YAML beside": described,
    "JSON beside": bundled,
    "bioimage.io package": packaged,
    "its description": unpacked,
    "TorchScript": scripted,
    "code in TorchScript": scripted,
    "ONNX": graph,
}


def _weights() -> dict[str, torch.Tensor]:
    config = UNetConfig(features=(2, 4), order="nca", upsampling="interpolate", project=True, bias=True)
    return dict(torchem.pack(Checkpoint.from_config(config, default_classes(2), name="x")))
