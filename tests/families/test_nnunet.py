"""nnU-Net's networks in folders and files as nnU-Net v2 writes them."""

import json
from pydoc import locate

import numpy as np
import pytest
import torch

unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")

IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
REGIONS = {
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "centre": 3},
    "regions_class_order": [1, 2, 3],
}
CLASSES = {"labels": {"background": 0, "cell": 1, "edge": 2, "ignore": 3}}


def arguments_of(ndim, residual):
    flat = [1] + [3] * (ndim - 1)
    return {
        "n_stages": 3,
        "features_per_stage": [8, 16, 32],
        "conv_op": f"torch.nn.modules.conv.Conv{ndim}d",
        "kernel_sizes": [flat if ndim == 3 else [3, 3], [3] * ndim, [3] * ndim],
        "strides": [[1] * ndim, [1] + [2] * (ndim - 1), [2] * ndim],
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 2, 2],
        "n_conv_per_stage_decoder": [2, 1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{ndim}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def make(ndim, residual, heads=3):
    given = arguments_of(ndim, residual)
    given |= {name: locate(given[name]) if given[name] else None for name in IMPORTED}
    kind = unet.ResidualEncoderUNet if residual else unet.PlainConvUNet
    return kind(input_channels=1, num_classes=heads, deep_supervision=False, **given).eval()


def plans_of(ndim, residual, forward=(0, 1, 2)):
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    architecture = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": arguments_of(ndim, residual),
        "_kw_requires_import": list(IMPORTED),
    }
    base = {
        "patch_size": [32] * ndim,
        "spacing": [2.0, 0.5, 0.25][-ndim:],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "architecture": architecture,
    }
    intensities = {"mean": 10.0, "std": 2.0, "percentile_00_5": 4.0, "percentile_99_5": 20.0}
    return {
        "transpose_forward": list(forward),
        "configurations": {"low": base, "full": {"inherits_from": "low"}, "cascade": {"previous_stage": "low"}},
        "foreground_intensity_properties_per_channel": {"0": intensities},
    }


def checkpoint_of(network, plans, dataset):
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": torch.optim.SGD(network.parameters(), 0.1).state_dict(),
        "grad_scaler_state": None,
        "logging": {"ema_fg_dice": [np.float64(0.5)], "epoch_start_timestamps": [1.0]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 3,
        "init_args": {
            "plans": plans,
            "configuration": "full",
            "fold": 0,
            "dataset_json": dataset,
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }


def folder_of(path, network, plans, dataset):
    (path / "fold_0").mkdir(parents=True)
    (path / "plans.json").write_text(json.dumps(plans))
    (path / "dataset.json").write_text(json.dumps(dataset))
    torch.save(checkpoint_of(network, plans, dataset), path / "fold_0" / "checkpoint_final.pth")
    return path


@pytest.mark.parametrize(("ndim", "residual"), [(2, False), (2, True), (3, False), (3, True)])
@pytest.mark.parametrize("kind", ["folder", "file", "weights"])
def test_round_trip(ndim, residual, kind, round_trip, tmp_path):
    network, plans = make(ndim, residual), plans_of(ndim, residual)
    dataset = {**CLASSES, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}
    if kind == "folder":
        source = folder_of(tmp_path / "nnUNetTrainer__nnUNetPlans__full", network, plans, dataset)
    else:
        source = tmp_path / "checkpoint_final.pth"
        whole = checkpoint_of(network, plans, dataset)
        torch.save(whole if kind == "file" else whole["network_weights"], source)

    def again(path):
        file = path / "fold_0" / "checkpoint_final.pth" if path.is_dir() else path
        content = torch.load(file, weights_only=True)
        other = make(ndim, residual)
        other.load_state_dict(content if kind == "weights" else content["network_weights"])
        if kind == "folder":
            assert json.loads((path / "plans.json").read_text()) == plans
            assert content["init_args"]["configuration"] == "full"
            assert content["trainer_name"] == "nnUNetTrainer"
        return lambda image: other(image).detach().softmax(1)

    def scores(image):
        return network(image).detach().softmax(1)

    header = round_trip(source, torch.randn(1, 1, *(32,) * ndim), scores, again).header
    assert header.blueprint.network == ("ResidualEncoderUNet" if residual else "PlainConvUNet")
    if kind == "weights":
        return
    assert header.output.channels == ("background", "cell", "edge")
    assert header.voxel_size == (2000.0, 500.0, 250.0)[-ndim:]
    how = header.normalization
    assert (how.method, how.offset, how.scale, how.clip) == ("fixed", (10.0,), (2.0,), (-3.0, 5.0))


def test_regions_are_painted_as_nnunet_paints_them_whatever_the_axes(round_trip, tmp_path):
    network, forward = make(3, False), (2, 0, 1)
    folder = folder_of(tmp_path / "model", network, plans_of(3, False, forward), REGIONS)

    def painted(other, image):
        there = image.permute(0, 1, *(2 + axis for axis in forward))
        regions = other(there).detach().sigmoid().permute(0, 1, *(2 + forward.index(axis) for axis in range(3)))
        labels = torch.zeros(regions[:, 0].shape, dtype=torch.long)
        for index, value in enumerate(REGIONS["regions_class_order"]):
            labels[regions[:, index] > 0.5] = value
        return labels

    from napari_unet.model.checkpoint import load_checkpoint
    from napari_unet.model.returning import write_original

    checkpoint = load_checkpoint(folder)
    image = torch.randn(1, 1, 16, 24, 32)
    labels = painted(network, image)
    assert len(labels.unique()) == 4
    assert torch.equal(checkpoint.network(image).argmax(1), labels)
    assert checkpoint.header.output.channels == ("background", "whole", "core", "centre")
    assert checkpoint.header.voxel_size == (0.5, 0.25, 2.0)
    write_original(checkpoint, tmp_path / "back")
    content = torch.load(tmp_path / "back" / "fold_0" / "checkpoint_final.pth", weights_only=True)
    for name, tensor in network.state_dict().items():
        assert torch.equal(content["network_weights"][name], tensor)
