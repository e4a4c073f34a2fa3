import pytest
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint, default_classes, load_checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.gray import for_gray


def test_one_channel_gives_what_it_gives_repeated(tmp_path):
    parent = load_checkpoint("start-2d")
    gray = load_checkpoint(for_gray(parent).save(tmp_path / "gray"))
    assert gray.header.in_channels == 1 and parent.header.in_channels == 3
    image = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(gray.network(image), parent.network(image.repeat(1, 3, 1, 1)), atol=1e-4, rtol=1e-4)


def test_what_does_not_take_gray_is_refused():
    colour = Checkpoint.from_config(UNetConfig(in_channels=3, features=(4, 8)), default_classes(2), name="colour")
    with pytest.raises(CheckpointError, match="cannot be made one of gray images"):
        for_gray(colour)
