"""Options of `segment`: stacks, directions, mirrored versions, rescaling, channels, time points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.image.normalize import Normalization
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.io.labels import read_labels
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader, ClassInfo, Output
from napari_unet.model.unet import UNet

OUTPUT = Output(
    "instances",
    "softmax",
    ("background", "interior", "boundary"),
    (ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")),
)


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """A model of 1 µm pixels that calls voxels above 100 foreground; its file."""
    config = UNetConfig(in_channels=1, out_channels=3, features=(2, 2), convolutions=1, norm="none", bias=True)
    network = UNet(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, *_, last, head = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        first.weight[0, 0, 1, 1] = last.weight[0, 0, 1, 1] = 1
        head.weight[1, 0], head.bias[1], head.bias[2] = 20, -10, -20
    header = CheckpointHeader(
        name="bright",
        config=config,
        normalization=Normalization("fixed", offset=(0.0,), scale=(200.0,)),
        output=OUTPUT,
        voxel_size=(1.0, 1.0),
        out_channels=3,
    )
    return Checkpoint(network, header).save(tmp_path / "bright")


def slanted() -> np.ndarray:
    """Two slanted columns (Z, Y, X), numbered."""
    truth = np.zeros((4, 48, 64), np.uint8)
    rows, columns = np.indices(truth.shape[1:])
    for number, (y, x) in enumerate([(14, 14), (32, 40)], start=1):
        for z in range(4):
            truth[z][(rows - y) ** 2 + (columns - x - 2 * z) ** 2 < 70] = number
    return truth


def segmented(call, path: Path, model: Path | str, *options: object) -> tuple[np.ndarray, dict, str]:
    out = path.parent / "out"
    said = call("segment", path, "-m", model, "-o", out, "--device", "cpu", "--overwrite", *options)
    assert said.code == 0, said.err
    labels, _, _, provenance = read_labels(out / f"{path.name.partition('.')[0]}_labels.tif")
    return labels, provenance, " ".join(said.err.split())


def count(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels > 0]))


def test_objects_of_a_stack(call, bright, tmp_path) -> None:
    truth = slanted()
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, (truth > 0).astype(np.uint8) * 200, photometric="minisblack")
    options = ("--axes", "ZYX", "--scale", "1,1,1")
    joined, provenance, said = segmented(call, path, bright, *options)
    np.testing.assert_array_equal(joined, truth)
    assert "objects that overlap from plane to plane are joined" in said
    assert provenance["settings"]["options"] == {
        "flips": False,
        "join_z": True,
        "three_directions": False,
        "rescale": True,
        "diameter": None,
        "find_size": False,
    }
    apart, provenance, said = segmented(call, path, bright, *options, "--no-join-z")
    assert count(apart) == 8
    assert "objects are not joined across planes" in said
    assert not provenance["settings"]["options"]["join_z"]
    solid, _, said = segmented(call, path, bright, *options, "--three-directions", "--flips")
    np.testing.assert_array_equal(solid, truth)
    assert "mean over the planes in three directions" in said
    assert "mean over 4 mirrored versions" in said


def test_an_image_of_other_pixels_is_rescaled(call, bright, tmp_path) -> None:
    truth = slanted()[0].repeat(2, 0).repeat(2, 1)
    path = tmp_path / "fine.tif"
    tifffile.imwrite(path, (truth > 0).astype(np.uint8) * 200)
    found, _, said = segmented(call, path, bright, "--scale", "0.5,0.5")
    assert found.shape == truth.shape
    assert np.mean((found > 0) == (truth > 0)) > 0.99
    assert "rescaled from voxels of 0.5 × 0.5 µm to 1 × 1 µm" in said
    found, provenance, said = segmented(call, path, bright, "--scale", "0.5,0.5", "--no-rescale")
    np.testing.assert_array_equal(found, truth)
    assert "rescaling is switched off" in said
    assert not provenance["settings"]["options"]["rescale"]


def test_a_channel_is_chosen_and_time_points_are_numbered_apart(call, bright, tmp_path) -> None:
    truth = slanted()
    movie = np.zeros((4, 2, 48, 64), np.uint8)
    movie[:, 1] = (truth > 0) * 200
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, photometric="minisblack")
    found, _, _ = segmented(call, path, bright, "--axes", "TCYX", "--channels", "1")
    assert found.shape == truth.shape
    np.testing.assert_array_equal(found > 0, truth > 0)
    assert count(found) == 8
    assert all(count(plane) == 2 for plane in found)
    found, _, _ = segmented(call, path, bright, "--axes", "TCYX", "--channels", "0")
    assert not found.any()


def test_the_size_of_objects_is_stated_or_found(call, tmp_path) -> None:
    image, _ = nuclei_2d((120, 140), seed=3)
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, image.repeat(2, 0).repeat(2, 1))
    labels, provenance, said = segmented(call, path, "nuclei-2d", "--diameter", 36)
    assert labels.shape == (240, 280)
    assert "the model sees the image 1.8 times smaller" in said
    assert provenance["settings"]["options"]["diameter"] == 36
    _, provenance, said = segmented(call, path, "nuclei-2d", "--find-size")
    assert "pixels wide, by" in said
    assert provenance["settings"]["options"]["find_size"]
