import itertools
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.unet import UNet

POOLING = {2: ((2, 2), (1, 2)), 3: ((1, 2, 2), (2, 2, 2))}


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("norm", ["batch", "group", "instance", "none"])
@pytest.mark.parametrize("order", ["cna", "nca", "acn", "can"])
def test_output_has_the_inputs_size_and_every_weight_learns(ndim, norm, order):
    options = itertools.product(("transpose", "interpolate"), (True, False), (True, False))
    for upsampling, residual, narrow in options:
        config = UNetConfig(
            ndim=ndim,
            in_channels=3,
            out_channels=5,
            features=(4, 8, 16),
            groups=4,
            norm=norm,
            order=order,
            upsampling=upsampling,
            residual=residual,
            narrow_decoder=narrow,
            pooling=POOLING[ndim],
            dropout=0.1,
            activation="silu" if residual else "leaky_relu",
        )
        network = UNet(config)
        image = torch.randn(2, 3, *(8,) * ndim)
        before = image.clone()
        logits = network(image)
        logits.square().sum().backward()
        assert logits.shape == (2, 5, *(8,) * ndim)
        assert torch.equal(image, before)
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_channels_double_and_the_default_is_the_papers():
    network = UNet(UNetConfig(in_channels=1, features=(4, 8, 16, 32, 64)))
    widths = [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 2]
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in network.modules()) == 4


def test_residual_block_adds_its_input():
    config = UNetConfig(features=(3,), in_channels=3, norm="none", residual=True, bias=True)
    network = UNet(config)
    for parameter in network.bottleneck.parameters():
        nn.init.zeros_(parameter)
    image = torch.randn(1, 3, 5, 7)
    assert torch.equal(network.bottleneck(image), image)


def test_dropout_only_while_training():
    network = UNet(UNetConfig(features=(4, 8), dropout=0.5, norm="none")).eval()
    image = torch.randn(1, 1, 8, 8)
    assert torch.equal(network(image), network(image))
    network.train()
    assert not torch.equal(network(image), network(image))


@pytest.mark.parametrize(
    ("shape", "words"),
    [((1, 2, 8, 8), "C = 1"), ((1, 8, 8), "(N, C, Y, X)"), ((1, 1, 9, 8), "multiple"), ((1, 1, 0, 8), "multiple")],
)
def test_unfit_inputs_are_explained(shape, words):
    network = UNet(UNetConfig(features=(4, 8)))
    with pytest.raises(CheckpointError, match=r".") as error:
        network(torch.zeros(shape))
    assert words in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"in_channels": 10**9},
        {"features": (8,) * 60},
        {"features": (10**9,)},
        {"features": ()},
        {"convolutions": 0},
        {"convolutions": 10**6},
        {"bottleneck_convolutions": 1},
        {"pooling": ((3, 3),), "features": (4, 8)},
        {"pooling": ((2, 2, 2),), "features": (4, 8)},
        {"norm": "magic"},
        {"norm": "group", "groups": 5},
        {"order": "cn"},
        {"dropout": 2.0},
        {"dropout": float("nan")},
        {"ndim": True},
        {"bias": 1},
        {"unknown": 1},
        {"project": True},
        {"slope": 2.0},
        {"kernels": ((5, 5),) * 5},
        {"features": (4, 8), "widths": {"encoder": ((4, 4), (8, 8)), "rising": (4,)}},
        {"features": (4, 8), "widths": {"encoder": ((4, 4), (8, 9)), "rising": (4,), "decoder": ((4, 4),)}},
        {"features": (4, 8), "widths": {"encoder": ((4, 4), (8, 8)), "rising": (10**9,), "decoder": ((4, 4),)}},
        {"features": (4, 8), "widths": {"encoder": ((4,), (8, 8)), "rising": (4,), "decoder": ((4, 4),)}},
    ],
)
def test_configurations_out_of_bounds_are_refused(values):
    with pytest.raises(CheckpointError):
        UNetConfig.from_dict(values)


def test_configuration_round_trip():
    config = UNetConfig(ndim=3, features=(4, 8, 16), pooling=POOLING[3], norm="group", groups=2)
    widths = Widths(((2, 4), (5, 8), (16, 16)), (3, 7), ((6, 5), (8, 7)))
    for either in (config, replace(config, widths=widths, kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))):
        assert UNetConfig.from_dict(json.loads(json.dumps(either.to_dict()))) == either
