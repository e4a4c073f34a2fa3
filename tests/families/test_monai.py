"""MONAI's UNet, BasicUNet and DynUNet, bare and in bundles."""

import json

import pytest
import torch

nets = pytest.importorskip("monai.networks.nets")

BASIC = {"in_channels": 1, "out_channels": 2}
NETWORKS = [
    ("BasicUNet", {"spatial_dims": 2, "features": (8, 8, 16, 32, 64, 8), **BASIC}),
    ("BasicUNet", {"spatial_dims": 3, "features": (4, 4, 8, 16, 32, 6), "norm": "batch", **BASIC}),
    ("BasicUNet", {"spatial_dims": 2, "features": (8, 16, 24, 32, 40, 8), "upsample": "nontrainable", **BASIC}),
    ("UNet", {"spatial_dims": 2, "channels": (8, 16, 32), "strides": (2, 2), **BASIC}),
    ("UNet", {"spatial_dims": 2, "channels": (8, 16, 32), "strides": (2, 2), "num_res_units": 2, **BASIC}),
    (
        "UNet",
        {"spatial_dims": 3, "channels": (4, 8, 16), "strides": (2, 2), "num_res_units": 2, "norm": "batch", **BASIC},
    ),
    (
        "DynUNet",
        {
            "spatial_dims": 3,
            "kernel_size": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "upsample_kernel_size": [[1, 2, 2], [2, 2, 2]],
            "filters": [4, 8, 16],
            **BASIC,
        },
    ),
    (
        "DynUNet",
        {
            "spatial_dims": 2,
            "kernel_size": [3, 3, 3, 3],
            "strides": [1, 2, 2, 2],
            "upsample_kernel_size": [2, 2, 2],
            "filters": [4, 8, 16, 16],
            "res_block": True,
            "deep_supervision": True,
            **BASIC,
        },
    ),
]


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
def test_round_trip(name, arguments, round_trip, used, tmp_path):
    size = (32,) * arguments["spatial_dims"]
    network = used(getattr(nets, name)(**arguments), 1, size)
    torch.save(network.state_dict(), tmp_path / "model.pt")

    def again(path):
        other = getattr(nets, name)(**arguments).eval()
        other.load_state_dict(torch.load(path, weights_only=True))
        return lambda image: other(image).detach().softmax(1)

    def scores(image):
        return network(image).detach().softmax(1)

    checkpoint = round_trip(tmp_path / "model.pt", torch.randn(1, 1, *size), scores, again)
    assert checkpoint.header.origin.family == f"MONAI {name}"
    assert (checkpoint.header.config is not None) == (name == "BasicUNet")


def test_a_bundle_says_what_the_weights_do_not(round_trip, used, tmp_path):
    arguments = {"spatial_dims": 2, "channels": [8, 16, 32], "strides": [2, 1], "num_res_units": 2, **BASIC}
    network = used(nets.UNet(**arguments, act="RELU"), 1, (32, 32))
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    steps = [{"_target_": "LoadImaged"}, {"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 100, "b_min": 0}]
    steps[1] |= {"b_max": 1, "clip": True}
    inference = {
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": "UNet", **arguments, "act": "RELU"},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": steps},
    }
    (bundle / "configs" / "inference.json").write_text(json.dumps(inference))
    meaning = {"channel_def": {"0": "background", "1": "spleen"}}
    metadata = {"version": "0.1", "network_data_format": {"outputs": {"pred": meaning}}}
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))

    def again(path):
        assert json.loads((path / "configs" / "inference.json").read_text())["network"] == inference["network"]
        other = nets.UNet(**arguments, act="RELU").eval()
        other.load_state_dict(torch.load(path / "models" / "model.pt", weights_only=True))
        return lambda image: other(image).detach().softmax(1)

    def scores(image):
        return network(image).detach().softmax(1)

    header = round_trip(bundle, torch.randn(1, 1, 32, 32), scores, again).header
    assert header.blueprint.divisor == (2, 2)
    assert header.output.channels == ("background", "spleen")
    assert (header.normalization.scale, header.normalization.clip) == ((100.0,), (0.0, 1.0))
