import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import geometry_of
from napari_unet.model.unet import UNet


@st.composite
def configs(draw, exact=False):
    ndim = draw(st.sampled_from((2, 3)))
    depth = draw(st.integers(0, 2 if ndim == 2 else 1))
    upsampling = draw(st.sampled_from(("transpose", "interpolate", "nearest")))
    narrow = draw(st.booleans())
    return UNetConfig(
        ndim=ndim,
        features=tuple(draw(st.lists(st.integers(1, 3), min_size=depth + 1, max_size=depth + 1))),
        convolutions=draw(st.integers(1, 2)),
        pooling=tuple(tuple(draw(st.sampled_from((1, 2))) for _ in range(ndim)) for _ in range(depth)),
        norm=draw(st.sampled_from(("batch", "none"))),
        order=draw(st.sampled_from(("cna", "nca", "acn"))),
        residual=draw(st.booleans()),
        upsampling=upsampling,
        align_corners=not exact and upsampling == "interpolate" and draw(st.booleans()),
        narrow_decoder=narrow,
        project=upsampling != "transpose" and not narrow and draw(st.booleans()),
        kernels=draw(st.none() | st.tuples(*[st.tuples(*[st.sampled_from((1, 3))] * ndim)] * (depth + 1))),
    )


def random_network(config, seed):
    torch.manual_seed(seed)
    network = UNet(config).double().eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network


def long_input(config, axis, length):
    """A random image, long along one axis and short along the others."""
    geometry = geometry_of(config)
    sizes = [2 * step for step in geometry.divisor]
    sizes[axis] = length
    return torch.randn(1, config.in_channels, *sizes, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(configs(), st.integers(0, 2), st.integers(0, 99), st.data())
@torch.no_grad()
def test_no_change_beyond_the_receptive_field_reaches_an_output(config, axis, seed, data):
    axis %= config.ndim
    geometry = geometry_of(config)
    radius, step = geometry.receptive_field[axis], geometry.divisor[axis]
    image = long_input(config, axis, step * -(-(2 * radius + 4 * step) // step))
    length = image.shape[2 + axis]
    cut = data.draw(st.integers(1, length - 1))
    network = random_network(config, seed)
    plain = network(image)
    for changed, kept in ((slice(None, cut), slice(cut + radius, None)), (slice(cut, None), slice(None, cut - radius))):
        if kept.stop is not None and kept.stop <= 0:
            continue
        other = image.clone()
        other.movedim(2 + axis, 0)[changed] += 3.0
        difference = (network(other) - plain).movedim(2 + axis, 0)[kept]
        assert difference.numel() == 0 or float(difference.abs().max()) < 1e-9


@settings(max_examples=25, deadline=None)
@given(configs(exact=True), st.integers(0, 2), st.integers(0, 99), st.data())
@torch.no_grad()
def test_a_tile_with_its_halo_equals_the_whole(config, axis, seed, data):
    axis %= config.ndim
    geometry = geometry_of(config)
    assert geometry.exact
    step, halo = geometry.divisor[axis], geometry.halo[axis]
    inner = step * data.draw(st.integers(1, 3))
    image = long_input(config, axis, inner + 2 * halo + step * data.draw(st.integers(0, 4)))
    start = step * data.draw(st.integers(0, (image.shape[2 + axis] - inner) // step))
    network = random_network(config, seed)
    low, high = max(0, start - halo), start + inner + halo
    tile = network(image.movedim(2 + axis, 0)[low:high].movedim(0, 2 + axis)).movedim(2 + axis, 0)
    whole = network(image).movedim(2 + axis, 0)
    assert torch.allclose(tile[start - low : start - low + inner], whole[start : start + inner], atol=1e-9)


@pytest.mark.parametrize("upsampling", ["transpose", "interpolate"])
@pytest.mark.parametrize("features", [(1,), (1, 1), (1, 1, 1), (1, 1, 1, 1)])
@torch.no_grad()
def test_the_receptive_field_is_no_larger_than_needed(upsampling, features):
    config = UNetConfig(features=features, norm="none", upsampling=upsampling)
    network = UNet(config).double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)  # all positive: whatever can pass does
    radius, step = geometry_of(config).receptive_field[1], geometry_of(config).divisor[1]
    length = step * (2 * radius // step + 4)
    reach = 0
    for middle in range(radius, radius + step):
        image = torch.zeros(1, 1, step, length, dtype=torch.float64)
        plain = network(image)
        image[..., middle] = 1.0
        touched = ((network(image) - plain)[0, 0].abs().sum(0) > 0).nonzero()
        reach = max(reach, int((touched - middle).abs().max()))
    assert reach == radius


def test_what_is_not_exact():
    assert not geometry_of(UNetConfig(norm="instance")).exact
    assert not geometry_of(UNetConfig(norm="group")).exact
    assert not geometry_of(UNetConfig(upsampling="interpolate", align_corners=True)).exact
    assert geometry_of(UNetConfig(upsampling="interpolate")).exact


class Foreign(nn.Module):
    """A little network with a functional pooling."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        x = self.first(x)
        low = nn.functional.interpolate(self.second(nn.functional.avg_pool2d(x, 4)), scale_factor=4)
        return self.head(torch.cat((x, low), 1))


def test_a_foreign_network_is_measured():
    checkpoint = Checkpoint.from_module(Foreign(), ndim=2, in_channels=2, out_channels=3)
    geometry = checkpoint.geometry
    assert geometry.divisor == (4, 4)
    assert geometry.receptive_field[0] in range(5, 9)
    assert not geometry.exact
    with pytest.raises(CheckpointError, match="does not run"):
        _ = Checkpoint.from_module(Foreign(), ndim=2, in_channels=1, out_channels=3).geometry
    with pytest.raises(CheckpointError, match="foreign"):
        geometry_of(checkpoint.header)
