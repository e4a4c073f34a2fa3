from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from napari_unet import Predictor
from napari_unet.errors import OutputError
from napari_unet.image.source import ImageSource
from napari_unet.model import consent
from napari_unet.model.checkpoint import Checkpoint, default_classes, load_checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.exporting import format_of
from napari_unet.model.exporting.about import About
from napari_unet.model.exporting.architecture import architecture_source
from napari_unet.model.exporting.writing import export_checkpoint
from napari_unet.model.packages.description import read_description
from napari_unet.model.packages.yamltext import read_yaml

ABOUT = About(("Somebody; An Institute",), "CC-BY-4.0", "Round things in noise.", ("A paper. 10.1000/182",))

FLAT = UNetConfig(features=(4, 8, 16))
STACK = UNetConfig(ndim=3, features=(4, 8), pooling=((1, 2, 2),), norm="instance", activation="elu")
OTHERS = (
    UNetConfig(features=(4, 8), upsampling="interpolate", align_corners=True, narrow_decoder=True, bias=True),
    UNetConfig(features=(8, 16), norm="group", groups=4, order="nca", activation="elu", residual=True, dropout=0.2),
    UNetConfig(ndim=3, features=(4, 8, 8), upsampling="interpolate", activation="leaky_relu"),
)


@pytest.fixture(autouse=True)
def nobody_said_yes(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())


def model(config: UNetConfig, classes: int = 3) -> Checkpoint:
    made = Checkpoint.from_config(config, default_classes(classes), name="a model", voxel_size=(0.5,) * config.ndim)
    with torch.no_grad():
        for tensor in made.network.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(torch.rand(tensor.shape) * 0.3)
    return made


def image(ndim: int) -> ImageSource:
    size = (90, 70) if ndim == 2 else (12, 40, 44)
    values = (np.random.default_rng(0).random(size) * 900 + 100).astype(np.uint16)
    return ImageSource(values, "ZYX"[3 - ndim :], "example")


def test_the_architecture_needs_torch_and_nothing_else(tmp_path):
    saved, expected = [], []
    for config in (FLAT, STACK, *OTHERS):
        checkpoint = model(config)
        picture = torch.rand((1, 1, 16, 24) if config.ndim == 2 else (1, 1, 8, 16, 24))
        arguments = json.dumps(checkpoint.header.config.to_dict())
        saved.append({"weights": checkpoint.network.state_dict(), "image": picture, "arguments": arguments})
        expected.append(torch.softmax(checkpoint.network(picture), 1).detach())
    torch.save(saved, tmp_path / "saved.pt")
    (tmp_path / "architecture.py").write_text(architecture_source(), encoding="utf-8")
    (tmp_path / "run.py").write_text(
        "import json, sys, torch\n"
        "from architecture import Network\n"
        "torch.set_num_threads(1)\n"
        "scores = []\n"
        "for one in torch.load('saved.pt', weights_only=True):\n"
        "    network = Network(final_activation='softmax', **json.loads(one['arguments'])).eval()\n"
        "    network.load_state_dict(one['weights'], strict=True)\n"
        "    scores.append(network(one['image']).detach())\n"
        "torch.save(scores, 'scores.pt')\n"
        "assert not any(name.startswith('napari_unet') for name in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, timeout=300, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = torch.load(tmp_path / "scores.pt", weights_only=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("config", [FLAT, STACK])
@pytest.mark.parametrize("fixed", [False, True])
def test_a_package_comes_back_as_it_was(config, fixed, tmp_path):
    checkpoint, source = model(config), image(config.ndim)
    checkpoint.save(tmp_path / "ours")
    notes = export_checkpoint(checkpoint, tmp_path / "p.zip", example=source, about=ABOUT, fixed=fixed)
    assert any("normalized" in note for note in notes)
    again = load_checkpoint(tmp_path / "p.zip")
    assert again.header == checkpoint.header
    predictors = [Predictor(one, device="cpu", precision="float32", threads=1) for one in (checkpoint, again)]
    first, second = (one.predict(source) for one in predictors)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("config", [FLAT, STACK])
def test_without_our_own_notes_it_is_still_understood(config, tmp_path):
    checkpoint, source = model(config), image(config.ndim)
    export_checkpoint(checkpoint, tmp_path / "p.zip", example=source, about=ABOUT)
    folder = tmp_path / "foreign"
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        archive.extractall(folder)
    description = yaml.safe_load((folder / "rdf.yaml").read_text(encoding="utf-8"))
    del description["config"]
    (folder / "rdf.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    with pytest.raises(consent.ConsentNeeded) as asked:
        load_checkpoint(folder)
    foreign = load_checkpoint(folder, run_code=asked.value.sha256)
    header = foreign.header
    assert header.program is not None and header.program.kind == "torchscript"
    assert header.normalization.method == "fixed" and header.output.activation == "none"
    assert header.voxel_size == checkpoint.header.voxel_size
    assert [info.name for info in header.output.classes] == ["background", "class_1", "class_2"]
    code = description["weights"]["pytorch_state_dict"]["architecture"]["sha256"]
    consent._named.clear()
    python = load_checkpoint(folder, run_code=code)
    assert python.header.program.kind == "python"
    sizes = header.program.sizes
    values = torch.rand((1, 1, *(n + 2 * step for n, step in zip(sizes.minimum, sizes.step, strict=True))))
    with torch.inference_mode():
        expected = torch.softmax(checkpoint.network(values), 1)
        assert torch.allclose(python.network(values), expected, atol=1e-6)
        assert torch.allclose(foreign.network(values), expected, atol=1e-5)
    assert load_checkpoint(python.save(tmp_path / "kept")).header.program.arguments["features"] == list(config.features)


def test_the_description_says_what_the_model_is(tmp_path):
    checkpoint = model(STACK)
    export_checkpoint(checkpoint, tmp_path / "p.zip", example=image(3), about=ABOUT)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        values = read_yaml(archive.read("rdf.yaml"), "rdf.yaml")
        text = archive.read("documentation.md").decode()
        weights = archive.read("weights.pt")
        given = np.load(archive.open("test_input.npy"))
    described = read_description(values, "rdf.yaml")
    assert values["authors"] == [{"name": "Somebody", "affiliation": "An Institute"}]
    assert values["license"] == "CC-BY-4.0" and values["cite"][0]["doi"] == "10.1000/182"
    space = described.inputs[0].space
    assert [axis.step for axis in space] == [1, 2, 2]
    assert [axis.size_um for axis in space] == [0.5] * 3
    assert all(axis.minimum > 2 * out.halo for axis, out in zip(space, described.outputs[0].space, strict=True))
    assert all(n >= axis.minimum for n, axis in zip(given.shape[2:], space, strict=True))
    assert given.max() > 100  # raw intensities
    assert values["config"]["napari-unet"]["weights_sha256"] == checkpoint.header.weights_hash
    assert "same in every tile" in text and "What to know" in text
    (tmp_path / "weights.pt").write_bytes(weights)
    assert set(torch.load(tmp_path / "weights.pt", weights_only=True)) == set(checkpoint.network.state_dict())


def test_torchscript_runs_without_us_and_opens_again(tmp_path):
    checkpoint = model(FLAT)
    (note,) = export_checkpoint(checkpoint, tmp_path / "net.ts", format="torchscript")
    assert "normalize" in note
    with pytest.raises(consent.ConsentNeeded) as asked:
        load_checkpoint(tmp_path / "net.ts")
    opened = load_checkpoint(tmp_path / "net.ts", run_code=asked.value.sha256)
    assert opened.header.output.activation == "none"
    picture = torch.rand(1, 1, 36, 52)
    with torch.inference_mode():
        assert torch.allclose(opened.network(picture), torch.softmax(checkpoint.network(picture), 1), atol=1e-6)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    checkpoint = model(FLAT)
    for wrong in (
        {"path": "p.zip"},
        {"path": "p.zip", "about": ABOUT},
        {"path": "p.tiff"},
        {"path": "p.zip", "format": "keras"},
        {"path": "p.zip", "about": ABOUT, "example": ImageSource(np.zeros((3, 40, 40)), "CYX", "three")},
        {"path": "no/p.ts"},
    ):
        with pytest.raises(OutputError):
            export_checkpoint(checkpoint, tmp_path / wrong.pop("path"), **wrong)
    with pytest.raises(OutputError, match="stack"):
        export_checkpoint(model(STACK), tmp_path / "p.zip", about=ABOUT, example=image(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values", [((), "MIT"), (("",), "MIT"), (("A",), ""), (("A",), "all rights reserved"), (("A",), "MIT", "", ("x",))]
)
def test_authors_licence_and_references_are_needed(values):
    with pytest.raises(OutputError):
        About(*values)


def test_formats_follow_from_endings():
    assert [format_of(Path(f"x{ending}")) for ending in (".safetensors", ".ZIP", ".ts", ".onnx")] == [
        "safetensors",
        "bioimageio",
        "torchscript",
        "onnx",
    ]
    assert format_of(Path("x.pt"), "torchscript") == "torchscript"


@pytest.mark.parametrize("traced", [False, True])
def test_a_tuned_script_is_handed_on_with_its_new_weights(traced, tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(network, torch.zeros(1, 1, 8, 8)) if traced else torch.jit.script(network)
        made.save(str(tmp_path / "net.ts"))
    sha256 = hashlib.sha256((tmp_path / "net.ts").read_bytes()).hexdigest()
    tuned = load_checkpoint(tmp_path / "net.ts", run_code=sha256).copy()
    with torch.no_grad():
        for tensor in tuned.network.parameters():
            tensor.add_(0.1)
    export_checkpoint(tuned, tmp_path / "tuned.ts")
    export_checkpoint(tuned, tmp_path / "tuned.zip", example=image(2), about=ABOUT)
    picture = torch.rand(1, 1, 40, 44)
    with torch.inference_mode():
        expected = torch.softmax(tuned.network(picture), 1)
    for name in ("tuned.ts", "tuned.zip"):
        with pytest.raises(consent.ConsentNeeded) as asked:
            load_checkpoint(tmp_path / name)
        again = load_checkpoint(tmp_path / name, run_code=asked.value.sha256)
        with torch.inference_mode():
            assert torch.allclose(again.network(picture), expected, atol=1e-6)
