"""Classes of networks that other packages define: added and removed where the last layer allows it."""

import pytest
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.header import COLORS, ClassInfo

monai = pytest.importorskip("monai.networks.nets")
smp = pytest.importorskip("segmentation_models_pytorch")

SIZES = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3}
STAGES = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16]}


def classes(*names):
    return tuple(ClassInfo(name, COLORS[index]) for index, name in enumerate(names))


@pytest.mark.parametrize(
    "build",
    [
        lambda: monai.UNet(channels=(8, 16, 32), strides=(2, 2), **SIZES),
        lambda: monai.DynUNet(deep_supervision=True, **STAGES, **SIZES),
        lambda: monai.BasicUNet(features=(8, 8, 16, 32, 64, 8), **SIZES),
        lambda: smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=3),
    ],
    ids=["UNet", "DynUNet", "BasicUNet", "smp"],
)
@torch.no_grad()
def test_kept_classes_keep_their_scores(build, tmp_path):
    torch.save(build().eval().state_dict(), tmp_path / "model.pt")
    parent = load_checkpoint(tmp_path / "model.pt").with_classes(classes("background", "cell", "rim"))
    image = torch.randn(1, 1, 64, 64)
    before = parent.network(image)
    more = parent.with_classes(classes("background", "cell", "rim", "debris"))
    assert torch.allclose(more.network(image)[:, :3], before, atol=1e-5)
    fewer = more.with_classes(classes("background", "rim"))
    assert torch.allclose(fewer.network(image), before[:, [0, 2]], atol=1e-5)
    saved = load_checkpoint(fewer.save(tmp_path / "fewer.safetensors"))
    assert torch.equal(saved.network(image), fewer.network(image))


def test_where_more_than_the_last_layer_follows_their_number_a_sentence_says_so(tmp_path):
    network = monai.UNet(channels=(8, 16, 32), strides=(2, 2), num_res_units=2, **SIZES)
    torch.save(network.eval().state_dict(), tmp_path / "model.pt")
    parent = load_checkpoint(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="more than its last layer"):
        parent.with_classes(classes("a", "b", "c", "d"))
    renamed = parent.with_classes(classes("background", "cell", "rim"))
    assert renamed.header.output.channels == ("background", "cell", "rim")
