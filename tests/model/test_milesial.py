"""A network with milesial's layout, names and layer settings, written out here as the reference."""

import pytest
import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import load_checkpoint, read_header
from napari_unet.model.returning import write_original


class DoubleConv(nn.Module):
    def __init__(self, channels, out, middle=None):
        super().__init__()
        middle = middle or out
        layers = []
        for first, last in ((channels, middle), (middle, out)):
            layers += [nn.Conv2d(first, last, 3, padding=1, bias=False), nn.BatchNorm2d(last), nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(channels, out))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, channels, out, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(channels, out, channels // 2)
        else:
            self.up = nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
            self.conv = DoubleConv(channels, out)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], 1))


class OutConv(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1)

    def forward(self, x):
        return self.conv(x)


class Reference(nn.Module):
    def __init__(self, channels, n_classes, bilinear, base=4):
        super().__init__()
        factor = 2 if bilinear else 1
        self.inc = DoubleConv(channels, base)
        for level in (1, 2, 3):
            setattr(self, f"down{level}", Down(base * 2 ** (level - 1), base * 2**level))
        self.down4 = Down(base * 8, base * 16 // factor)
        for level in (1, 2, 3):
            width = base * 2 ** (5 - level)
            setattr(self, f"up{level}", Up(width, width // 2 // factor, bilinear))
        self.up4 = Up(base * 2, base, bilinear)
        self.outc = OutConv(base, n_classes)

    def forward(self, x):
        skips = [self.inc(x)]
        for level in (1, 2, 3, 4):
            skips.append(getattr(self, f"down{level}")(skips[-1]))
        x = skips.pop()
        for level in (1, 2, 3, 4):
            x = getattr(self, f"up{level}")(x, skips.pop())
        return self.outc(x)


def reference(channels=3, n_classes=2, bilinear=False):
    torch.manual_seed(0)
    network = Reference(channels, n_classes, bilinear)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize(("channels", "n_classes"), [(3, 2), (1, 1), (1, 4)])
def test_scores_are_the_references(bilinear, channels, n_classes, tmp_path):
    network = reference(channels, n_classes, bilinear)
    path = tmp_path / "CP_epoch5.pth"
    torch.save({**network.state_dict(), "mask_values": [0, 255]}, path)
    checkpoint = load_checkpoint(path)
    header = checkpoint.header
    assert (header.family, header.in_channels, header.out_channels) == ("milesial", channels, n_classes)
    assert header.output.activation == ("sigmoid" if n_classes == 1 else "softmax")
    assert header.config.upsampling == ("interpolate" if bilinear else "transpose")
    assert checkpoint.geometry.exact is not bilinear
    image = torch.rand(2, channels, 48, 32)
    with torch.no_grad():
        assert torch.allclose(checkpoint.network(image), network(image), atol=1e-6)
    assert read_header(path) == header


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"model": {"state_dict": {f"_orig_mod.module.{key}": value for key, value in state.items()}}},
    ],
)
def test_containers_and_prefixes(wrap, tmp_path):
    network = reference()
    torch.save(wrap(dict(network.state_dict())), tmp_path / "last.ckpt")
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(load_checkpoint(tmp_path / "last.ckpt").network(image), network(image), atol=1e-6)


def test_saved_as_our_own_it_stays_the_same(tmp_path):
    torch.save(reference(bilinear=True).state_dict(), tmp_path / "foreign.pth")
    foreign = load_checkpoint(tmp_path / "foreign.pth")
    weights_hash = foreign.header.weights_hash
    own = load_checkpoint(foreign.save(tmp_path / "own"))
    assert own.header.weights_hash == weights_hash
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(own.network(image), foreign.network(image))


class OldBlock(nn.Module):
    """A block of the versions until 2019: biases, and other names."""

    def __init__(self, channels, out):
        super().__init__()
        layers = []
        for first in (channels, out):
            layers += [nn.Conv2d(first, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.conv(x)


class OldIn(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.conv = OldBlock(channels, out)

    def forward(self, x):
        return self.conv(x)


class OldDown(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.mpconv = nn.Sequential(nn.MaxPool2d(2), OldBlock(channels, out))

    def forward(self, x):
        return self.mpconv(x)


class OldUp(nn.Module):
    def __init__(self, channels, out, bilinear):
        super().__init__()
        half = channels // 2
        upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.up = upsample if bilinear else nn.ConvTranspose2d(half, half, 2, stride=2)
        self.conv = OldBlock(channels, out)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], 1))


class OldReference(Reference):
    def __init__(self, bilinear, base=4):
        nn.Module.__init__(self)
        widths = [base, base * 2, base * 4, base * 8, base * 8]
        self.inc = OldIn(1, base)
        for level in (1, 2, 3, 4):
            setattr(self, f"down{level}", OldDown(widths[level - 1], widths[level]))
        for level, out in zip((1, 2, 3, 4), (base * 4, base * 2, base, base), strict=True):
            setattr(self, f"up{level}", OldUp(2 * widths[4 - level], out, bilinear))
        self.outc = OutConv(base, 2)


@pytest.mark.parametrize("bilinear", [False, True])
def test_saves_of_the_first_versions(bilinear, tmp_path):
    torch.manual_seed(0)
    network = OldReference(bilinear).eval()
    torch.save(network.state_dict(), tmp_path / "MODEL.pth")
    checkpoint = load_checkpoint(tmp_path / "MODEL.pth")
    image = torch.rand(1, 1, 32, 48)
    with torch.no_grad():
        assert torch.allclose(checkpoint.network(image), network(image), atol=1e-6)
    write_original(load_checkpoint(checkpoint.save(tmp_path / "own")), tmp_path / "back.pth")
    network.load_state_dict(torch.load(tmp_path / "back.pth", weights_only=True))


def change(state, name, tensor):
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    return state


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("up2.up.bias", None, "up2.up.bias is missing"),
        ("extra.weight", torch.zeros(2), "extra.weight is not part of it"),
        ("up4.conv.double_conv.0.weight", torch.zeros(4, 9, 3, 3), "has shape (4, 9, 3, 3), expected (4, 8, 3, 3)"),
        ("outc.conv.weight", torch.zeros(3), "not two-dimensional"),
        ("inc.double_conv.0.weight", torch.zeros(4, 2000, 3, 3), "in_channels is 2000"),
    ],
)
def test_weights_that_do_not_fit_are_named(name, tensor, words, tmp_path):
    torch.save(change(dict(reference().state_dict()), name, tensor), tmp_path / "model.pth")
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path / "model.pth")
    assert words in str(error.value)


def test_no_more_than_five_differences_are_listed(tmp_path):
    state = {key: value for key, value in reference().state_dict().items() if "up" not in key}
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"and [0-9]+ more") as error:
        load_checkpoint(tmp_path / "model.pth")
    assert str(error.value).count("is missing") == 5
