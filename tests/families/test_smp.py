"""segmentation_models.pytorch: Unet over encoders, bare, in Lightning modules and as save_pretrained writes it."""

import pytest
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import load_checkpoint

smp = pytest.importorskip("segmentation_models_pytorch")

ENCODERS = ["resnet18", "resnet34", "resnet50", "resnext50_32x4d", "se_resnet50", "efficientnet-b0", "mobilenet_v2"]
ENCODERS += ["vgg11_bn", "densenet121", "mit_b0", "timm-efficientnet-b0", "tu-resnet18"]


def sigmoid_of(network):
    return lambda image: network(image).detach().sigmoid()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_encoder_is_told_by_names_and_shapes(encoder, used, tmp_path):
    network = used(smp.Unet(encoder, encoder_weights=None, in_channels=1), 1, (64, 64))
    torch.save(network.state_dict(), tmp_path / "model.pth")
    checkpoint = load_checkpoint(tmp_path / "model.pth")
    image = torch.randn(1, 1, 64, 96)
    expected = network(image).detach()
    assert torch.allclose(checkpoint.network(image), expected, atol=1e-5 * max(1, float(expected.abs().max())))
    assert checkpoint.header.blueprint.divisor == (32, 32)


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoder_name": "resnet18", "decoder_attention_type": "scse", "classes": 1},
        {"encoder_name": "resnet34", "encoder_depth": 4, "decoder_channels": (64, 32, 16, 8), "classes": 1},
    ],
)
def test_round_trip(arguments, round_trip, used, tmp_path):
    network = used(smp.Unet(encoder_weights=None, **arguments), 3, (64, 64))
    torch.save(
        {"state_dict": {f"net.{name}": value for name, value in network.state_dict().items()}}, tmp_path / "a.ckpt"
    )

    def again(path):
        other = smp.Unet(encoder_weights=None, **arguments).eval()
        state = torch.load(path, weights_only=True)["state_dict"]
        other.load_state_dict({name.removeprefix("net."): value for name, value in state.items()})
        return sigmoid_of(other)

    round_trip(tmp_path / "a.ckpt", torch.randn(1, 3, 64, 64), sigmoid_of(network), again)


@pytest.mark.parametrize("kind", ["Unet", "UnetPlusPlus"])
def test_save_pretrained(kind, round_trip, used, tmp_path):
    made = getattr(smp, kind)(
        "resnet18", encoder_weights=None, in_channels=1, classes=1, decoder_interpolation="bilinear"
    )
    network = used(made, 1, (64, 64))
    network.save_pretrained(tmp_path / "saved")

    def again(path):
        return sigmoid_of(smp.from_pretrained(path).eval())

    checkpoint = round_trip(tmp_path / "saved", torch.randn(1, 1, 64, 64), sigmoid_of(network), again)
    assert checkpoint.header.origin.variant == kind


def test_other_networks_are_refused_by_name(tmp_path):
    smp.FPN("resnet18", encoder_weights=None).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="save_pretrained"):
        load_checkpoint(tmp_path / "saved" / "model.safetensors")
