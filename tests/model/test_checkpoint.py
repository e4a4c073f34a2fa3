import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from napari_unet.errors import CheckpointError, OutputError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_classes, load_checkpoint, read_header
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader, ClassInfo, Output
from napari_unet.model.weights import hash_tensors


def names(checkpoint):
    return [info.name for info in checkpoint.header.output.classes]


def classes(*wanted):
    return tuple(ClassInfo(name, "#112233") for name in wanted)


@pytest.mark.parametrize("ndim", [2, 3])
def test_save_and_load_give_the_same_scores_and_header(ndim, tmp_path):
    checkpoint = Checkpoint.from_config(
        UNetConfig(ndim=ndim, features=(4, 8), norm="group", groups=2),
        default_classes(4),
        name="été 1",
        normalization=Normalization("fixed", offset=(3.0,), scale=(2.0,), clip=(-1.0, 1.0)),
        voxel_size=(0.5,) * ndim,
    )
    checkpoint.header = replace(checkpoint.header, provenance={"scores": {"AP": 0.5}, "list": [1, None]}, parent="ab")
    path = checkpoint.save(tmp_path / "mein Modell.v2")
    assert path.name == "mein Modell.v2.safetensors"
    loaded = load_checkpoint(path)
    assert loaded.header == checkpoint.header == read_header(str(path))
    assert loaded.header.weights_hash == hash_tensors(checkpoint.network.state_dict())
    image = torch.rand(1, 1, *(8,) * ndim)
    assert torch.equal(loaded.network(image), checkpoint.network(image))
    assert not loaded.network.training
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_hash_is_of_the_weights_not_of_the_file(small, tmp_path):
    small.save(tmp_path / "a")
    renamed = Checkpoint(small.network, replace(small.header, name="another"))
    renamed.save(tmp_path / "b")
    assert renamed.header.weights_hash == small.header.weights_hash
    with torch.no_grad():
        next(renamed.network.parameters()).view(-1)[0] += 1
    renamed.save(tmp_path / "b")
    assert renamed.header.weights_hash != small.header.weights_hash


def test_headers_are_read_without_torch(small_file):
    code = (
        "import sys; import napari_unet.model.header, napari_unet.model.config, napari_unet.model.geometry;"
        "from napari_unet.model.checkpoint import read_header, builtin_names;"
        "from napari_unet.model.geometry import geometry_of; builtin_names();"
        f"print(geometry_of(read_header({str(small_file)!r})).halo, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(10, 10) False"


def test_nothing_is_left_where_writing_fails(small, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        small.save(tmp_path / "missing" / "model")
    folder = tmp_path / "model.safetensors"
    folder.mkdir()
    with pytest.raises(OutputError):
        small.save(folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_diverged_weights_are_not_saved(small, tmp_path):
    path = small.save(tmp_path / "good")
    before = path.read_bytes()
    with torch.no_grad():
        next(small.network.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(CheckpointError, match="NaN"):
        small.save(path)
    assert path.read_bytes() == before


def test_unknown_names_are_explained(tmp_path):
    with pytest.raises(CheckpointError, match="Built in"):
        load_checkpoint("no-such-model")
    for name in ("a" * 5000, "nul\0byte", ""):
        with pytest.raises(CheckpointError):
            read_header(name)
    with pytest.raises(CheckpointError, match="folder"):
        load_checkpoint(tmp_path)


def test_foreign_modules_run_but_are_not_saved(tmp_path):
    checkpoint = Checkpoint.from_module(torch.nn.Conv2d(1, 1, 3, padding=1), ndim=2, in_channels=1, out_channels=1)
    assert checkpoint.header.output.kind == "binary"
    with pytest.raises(CheckpointError, match="cannot be saved"):
        checkpoint.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is not one of ours"):
        checkpoint.with_classes(default_classes(2))


def test_grown_shrunk_renamed_and_moved_classes_keep_their_weights(small):
    image = torch.rand(1, 1, 8, 8)
    small = small.with_classes(classes("background", "cell", "rim"))
    logits = small.network(image)
    with torch.no_grad():
        small.network.head.weight.normal_()
    logits = small.network(image)
    cases = {
        ("background", "cell", "rim", "debris"): [0, 1, 2, None],
        ("background", "rim"): [0, 2],
        ("background", "nucleus", "rim"): [0, 1, 2],
        ("background", "rim", "cell"): [0, 2, 1],
        ("outside", "cell", "rim", "a", "b"): [0, 1, 2, None, None],
    }
    for wanted, sources in cases.items():
        child = small.with_classes(classes(*wanted))
        assert names(child) == list(wanted)
        assert child.header.out_channels == child.header.config.out_channels == len(wanted)
        after = child.network(image)
        for index, source in enumerate(sources):
            if source is not None:
                assert torch.allclose(after[:, index], logits[:, source], atol=1e-5)
    assert small.network(image).shape[1] == 3  # the parent is untouched
    assert torch.equal(small.network(image), logits)


def test_new_classes_do_not_show_before_they_are_learned(small, tmp_path):
    small.save(tmp_path / "parent")
    grown = small.with_classes(classes("background", "class 1", "class 2", "new"))
    scores = grown.network(torch.rand(1, 1, 16, 16)).softmax(1)
    assert scores[:, 3].mean().item() < 0.2
    assert grown.header.parent == small.header.weights_hash
    assert grown.header.weights_hash == ""
    reloaded = load_checkpoint(grown.save(tmp_path / "child"))
    assert names(reloaded) == ["background", "class 1", "class 2", "new"]


def test_a_binary_head_becomes_two_classes_with_the_same_scores():
    network = Checkpoint.from_config(UNetConfig(features=(4, 8)), default_classes(2), name="x").network
    network.head = torch.nn.Conv2d(4, 1, 1)
    network.config = replace(network.config, out_channels=1)
    binary = Checkpoint.from_module(network, ndim=2, in_channels=1, out_channels=1)
    child = binary.with_classes(classes("background", "cell"))
    image = torch.rand(1, 1, 8, 8)
    assert torch.allclose(child.network(image).softmax(1)[:, 1:], network(image).sigmoid(), atol=1e-6)


def test_an_instance_head_is_replaced_by_a_fresh_one(small):
    output = Output("instances", "softmax", ("background", "interior", "boundary"), default_classes(2))
    parent = Checkpoint(small.network, replace(small.header, output=output))
    child = parent.with_classes(classes("background", "tumour"))
    assert child.header.output.kind == "classes"
    scores = child.network(torch.rand(1, 1, 8, 8)).softmax(1)
    assert float((scores - 0.5).abs().max()) < 0.3
    body = dict(small.network.bottleneck.state_dict())
    assert all(torch.equal(value, body[name]) for name, value in child.network.bottleneck.state_dict().items())


@pytest.mark.parametrize("wanted", [(), ("background",), ("background", "a", "a"), ("background", "")])
def test_impossible_classes_are_refused(small, wanted):
    with pytest.raises(CheckpointError):
        small.with_classes(classes(*wanted))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("axes", "CZYX"),
        ("ndim", 3),
        ("in_channels", 2),
        ("out_channels", 10**9),
        ("name", 5),
        ("name", ""),
        ("config", {"in_channels": 10**9}),
        ("config", []),
        ("normalization", {"method": "magic"}),
        ("normalization", None),
        ("output", {"kind": "classes"}),
        ("output", 3),
        ("voxel_size", [1.0]),
        ("voxel_size", [-1.0, 1.0]),
        ("voxel_size", 3),
        ("provenance", []),
        ("repeat_gray", "yes"),
        ("extra", 1),
    ],
)
def test_headers_that_do_not_fit_are_refused(small, field, value):
    values = {**small.header.to_dict(), field: value}
    with pytest.raises(CheckpointError):
        CheckpointHeader.from_dict(values)


def test_a_missing_field_is_named(small):
    values = small.header.to_dict()
    del values["output"]
    with pytest.raises(CheckpointError, match="'output'"):
        CheckpointHeader.from_dict(values)
