"""Foreign state dicts by names and shapes, made here without the packages that they come from.

Whether scores are those of the packages themselves is compared in tests/families, which needs the packages.
"""

import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output, load_checkpoint
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.families import bioimageunet, monai_basic, pytorch3dunet, torchem
from napari_unet.model.families.platelet import PlateletUNet
from napari_unet.model.families.regions import RegionScores
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.origin import Blueprint
from napari_unet.model.reach import measure_reach
from napari_unet.model.returning import write_original
from napari_unet.model.unet import UNet

FIVE = (4, 6, 8, 10, 12)
REMAPPED = {
    "pytorch-3dunet": (
        pytorch3dunet,
        UNetConfig(
            ndim=3,
            out_channels=1,
            features=(8, 16),
            norm="group",
            order="nca",
            upsampling="nearest",
            widths=Widths(((4, 8), (8, 16)), (16,), ((8, 8),)),
        ),
    ),
    "pytorch-3dunet 2D": (
        pytorch3dunet,
        UNetConfig(
            features=(4, 8, 12),
            order="cna",
            upsampling="nearest",
            widths=Widths(((2, 4), (4, 8), (8, 12)), (8, 12), ((4, 4), (8, 8))),
        ),
    ),
    "BasicUNet": (
        monai_basic,
        UNetConfig(
            features=FIVE,
            norm="instance",
            activation="leaky_relu",
            slope=0.1,
            bias=True,
            widths=Widths(tuple((f, f) for f in FIVE), (6, 4, 5, 6), ((5, 5), (6, 6), (8, 8), (10, 10))),
        ),
    ),
    "torch-em": (
        torchem,
        UNetConfig(
            features=(4, 8, 16),
            norm="instance",
            affine=False,
            order="nca",
            upsampling="interpolate",
            project=True,
            bias=True,
        ),
    ),
    "torch-em anisotropic": (
        torchem,
        UNetConfig(
            ndim=3,
            features=(4, 8, 16),
            pooling=((1, 2, 2), (2, 2, 2)),
            kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
            order="nca",
            upsampling="interpolate",
            project=True,
            bias=True,
        ),
    ),
    "bio-image-unet": (
        bioimageunet,
        UNetConfig(features=(4, 8, 16, 32, 64), out_channels=1, activation="leaky_relu", slope=0.1, bias=True),
    ),
    "bio-image-unet 3D": (
        bioimageunet,
        UNetConfig(
            ndim=3,
            features=(4, 8, 16),
            activation="leaky_relu",
            slope=0.1,
            upsampling="interpolate",
            bias=True,
            widths=Widths(((2, 4), (4, 8), (8, 16)), (8, 16), ((4, 2), (8, 8))),
        ),
    ),
}


def network_of(config):
    torch.manual_seed(0)
    network = UNet(config).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network


def state_of(family, config):
    """Return a network of ours and its weights under a family's names."""
    header = CheckpointHeader(
        "made here", config, Normalization(), default_output(config.out_channels), ndim=config.ndim,
        in_channels=config.in_channels, out_channels=config.out_channels,
    )  # fmt: skip
    network = network_of(config)
    return network, dict(family.pack(Checkpoint(network, header)))


def image_of(config):
    return torch.randn(1, config.in_channels, *(32,) * config.ndim)


@pytest.mark.parametrize("name", REMAPPED)
def test_plain_unets_become_ours_and_go_back(name, tmp_path):
    family, config = REMAPPED[name]
    network, state = state_of(family, config)
    torch.save(state, tmp_path / "model.pth")
    checkpoint = load_checkpoint(tmp_path / "model.pth")
    image = image_of(config)
    assert checkpoint.header.origin.family == family.NAME
    assert torch.equal(checkpoint.network(image), network(image))
    again = load_checkpoint(checkpoint.save(tmp_path / "own"))
    back = family.pack(again)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("name", REMAPPED)
def test_whatever_is_missing_is_named(name, tmp_path):
    family, config = REMAPPED[name]
    _, state = state_of(family, config)
    removed = next(key for key in reversed(state) if "dec" in key or "upcat" in key)
    del state[removed]
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path / "model.pth")
    assert removed.rpartition(".")[0] in str(error.value)


def test_a_network_among_other_parts_is_found_under_its_prefix(tmp_path):
    family, config = REMAPPED["pytorch-3dunet 2D"]
    network, state = state_of(family, config)
    content = {f"segmenter.net.{key}": value for key, value in state.items()} | {"loss.weight": torch.ones(2)}
    hyper = {"lr": 1e-3, "layers": [1, 2]}
    torch.save(
        {"state_dict": content, "hyper_parameters": hyper, "optimizer_states": [{"state": {}}]}, tmp_path / "a.ckpt"
    )
    checkpoint = load_checkpoint(tmp_path / "a.ckpt")
    image = image_of(config)
    assert torch.equal(checkpoint.network(image), network(image))
    origin = checkpoint.header.origin
    assert (origin.container, origin.prefix) == (("state_dict",), "segmenter.net.")
    assert origin.beside == {"hyper_parameters": hyper}
    assert "loss.weight" in next(finding.value for finding in origin.findings if finding.what == "left out")
    assert "loss.weight" in write_original(checkpoint, tmp_path / "back.ckpt")[1]


def test_plain_safetensors_are_told_by_their_names(tmp_path):
    family, config = REMAPPED["BasicUNet"]
    network, state = state_of(family, config)
    save_file({f"model.{key}": value.contiguous() for key, value in state.items()}, tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    image = image_of(config)
    assert torch.equal(checkpoint.network(image), network(image))
    write_original(checkpoint, tmp_path / "back.safetensors")
    assert set(load_file(tmp_path / "back.safetensors")) == {f"model.{key}" for key in state}


def test_a_training_configuration_says_what_the_weights_do_not(tmp_path):
    family, config = REMAPPED["pytorch-3dunet"]
    config = replace(config, groups=4, activation="elu")
    network, state = state_of(family, config)
    torch.save({"model_state_dict": state, "num_epochs": 3}, tmp_path / "best_checkpoint.pytorch")
    lines = ["model:", "  name: UNet3D", "  layer_order: gce", "  num_groups: 4", "  final_sigmoid: false"]
    lines += ["loaders:", "  val:", "    transformer:", "      raw:"]
    lines += ["        - {name: PercentileNormalizer, pmin: 2, pmax: 98}"]
    (tmp_path / "config_train.yml").write_text("\n".join(lines))
    checkpoint = load_checkpoint(tmp_path)
    image = image_of(config)
    assert torch.equal(checkpoint.network(image), network(image))
    header = checkpoint.header
    assert (header.output.activation, header.normalization.low) == ("softmax", 2.0)
    assert {finding.how for finding in header.origin.findings} == {"file", "weights"}


@pytest.mark.parametrize(
    "lines",
    [
        ["model: {layer_order: gcr, num_groups: 1000000000}"],
        ["model: {}", "loaders: {val: {transformer: {raw: [{name: PercentileNormalizer, pmin: word}]}}}"],
        ["model: {}", "loaders: {val: {transformer: {raw: [{name: Standardize, mean: 0, std: 0}]}}}"],
    ],
)
def test_configurations_that_make_no_sense_are_refused_or_left_alone(lines, tmp_path):
    family, config = REMAPPED["pytorch-3dunet"]
    torch.save(state_of(family, config)[1], tmp_path / "best_checkpoint.pytorch")
    (tmp_path / "config_train.yml").write_text("\n".join(lines))
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def test_networks_built_here_survive_our_own_format(tmp_path):
    residual = ResidualUNet(2, 1, 2, [4, 8, 16], "gcr", 8).eval()
    platelet = PlateletUNet(1, 5, [4, 8, 8, 8, 8], [[1, 2, 2], [1, 2, 2], [1, 2, 2], [2, 2, 2]]).eval()
    for network, image in ((residual, torch.randn(1, 1, 32, 48)), (platelet, torch.randn(1, 1, 4, 32, 48))):
        torch.save(network.state_dict(), tmp_path / "model.pt")
        checkpoint = load_checkpoint(tmp_path / "model.pt")
        assert torch.equal(checkpoint.network(image), network(image))
        again = load_checkpoint(checkpoint.save(tmp_path / "own"))
        assert torch.equal(again.network(image), network(image))
        assert again.geometry == checkpoint.geometry
        assert again.header.weights_hash == checkpoint.header.weights_hash
        assert not again.geometry.exact


def names_of_monai_unet():
    names = ["0.conv.weight", "1.submodule.0.conv.weight", "1.submodule.1.submodule.conv.weight", "2.conv.weight"]
    return {f"model.{name}": torch.zeros(4, 1, 3, 3) for name in names}


FOREIGN = {
    "monai": names_of_monai_unet(),
    "dynamic_network_architectures": {
        "encoder.stages.0.0.convs.0.conv.weight": torch.zeros(4, 1, 3, 3),
        "encoder.stages.1.0.convs.0.conv.weight": torch.zeros(8, 4, 3, 3),
        "decoder.transpconvs.0.weight": torch.zeros(8, 4, 2, 2),
        "decoder.seg_layers.0.weight": torch.zeros(2, 4, 1, 1),
    },
    "segmentation_models_pytorch": {
        "encoder.conv1.weight": torch.zeros(64, 1, 7, 7),
        "decoder.blocks.0.conv1.0.weight": torch.zeros(16, 96, 3, 3),
        "segmentation_head.0.weight": torch.zeros(1, 16, 3, 3),
    },
}


@pytest.mark.parametrize("library", FOREIGN)
def test_a_missing_library_is_named_with_what_installs_it(library, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    torch.save(FOREIGN[library], tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="not installed") as error:
        load_checkpoint(tmp_path / "model.pt")
    assert "pip install 'napari-unet-interactive[" in error.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"arguments": {"features": [10**9]}},
        {"arguments": {"features": [4] * 10_000}},
        {"arguments": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}},
        {"arguments": {"x": float("nan")}},
        {"divisor": (10**9, 2)},
        {"reach": (-1, 2)},
    ],
)
def test_blueprints_out_of_bounds_are_refused(values):
    given = {"family": "MONAI UNet", "network": "UNet", "arguments": {}, "divisor": (2, 2), **values}
    with pytest.raises(CheckpointError):
        Blueprint.from_dict(given)


def test_regions_count_where_no_later_one_is_painted():
    class Given(nn.Module):
        def forward(self, x):
            return x

    logits = torch.randn(2, 3, 8, 8) * 3
    order = (2, 1, 3)
    painted = torch.zeros(2, 8, 8, dtype=torch.long)
    for index, value in enumerate(order):
        painted[torch.sigmoid(logits[:, index]) > 0.5] = value
    scores = RegionScores(Given(), order)(logits)
    assert torch.equal(scores.argmax(1), painted)
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize("norm", ["none", "instance", "group"])
def test_the_reach_is_where_the_gradient_is(norm):
    config = UNetConfig(features=(4, 8), out_channels=2, norm=norm, groups=2)
    torch.manual_seed(0)
    network = UNet(config).eval()
    reach = measure_reach(network, 1, 2, (2, 2), "made here")
    assert all(1 < one <= 10 for one in reach)  # ten voxels are what the convolutions can see


def test_a_network_that_returns_something_else_is_refused():
    with pytest.raises(CheckpointError, match="returns"):
        measure_reach(nn.Conv2d(1, 2, 3), 1, 2, (2, 2), "made here")
    with pytest.raises(CheckpointError, match="does not run"):
        measure_reach(nn.Conv2d(3, 2, 3, padding=1), 1, 2, (2, 2), "made here")


def test_weights_that_make_no_numbers_are_refused(tmp_path):
    family, config = REMAPPED["pytorch-3dunet 2D"]
    _, state = state_of(family, config)
    state = {name: value * 1e30 if name.endswith("conv.weight") else value for name, value in state.items()}
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="no numbers"):
        load_checkpoint(tmp_path / "model.pth")
