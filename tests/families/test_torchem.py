"""torch-em's networks, as its trainer saves them."""

import pytest
import torch

model = pytest.importorskip("torch_em.model.unet")

NETWORKS = [
    ("UNet2d", {"depth": 3, "initial_features": 8, "final_activation": "Sigmoid"}),
    ("UNet2d", {"depth": 2, "initial_features": 16, "norm": "GroupNorm"}),
    ("UNet2d", {"depth": 2, "initial_features": 8, "norm": None}),
    ("UNet3d", {"depth": 2, "initial_features": 8}),
    ("UNet3d", {"depth": 2, "initial_features": 8, "norm": "BatchNorm"}),
    ("UNet3d", {"depth": 2, "initial_features": 8, "norm": "InstanceNormTrackStats"}),
    ("AnisotropicUNet", {"scale_factors": [[1, 2, 2], [2, 2, 2]], "initial_features": 8}),
    ("AnisotropicUNet", {"scale_factors": [[1, 2, 2], [2, 2, 2]], "initial_features": 8, "anisotropic_kernel": True}),
]


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
def test_round_trip(name, arguments, round_trip, used, tmp_path):
    ndim = 2 if name == "UNet2d" else 3
    given = {"in_channels": 1, "out_channels": 2, **arguments}
    network = used(getattr(model, name)(**given), 1, (32,) * ndim)
    init = {"model_class": f"torch_em.model.unet.{name}", "model_kwargs": network.init_kwargs}
    state = {"model_state": network.state_dict(), "init": init, "iteration": 5, "epoch": 1, "best_metric": 0.5}
    optimizer = torch.optim.AdamW(network.parameters())
    torch.save({**state, "optimizer_state": optimizer.state_dict()}, tmp_path / "best.pt")
    last = (lambda values: values) if "final_activation" in arguments else (lambda values: values.softmax(1))

    def again(path):
        content = torch.load(path, weights_only=True)
        other = getattr(model, name)(**content["init"]["model_kwargs"]).eval()
        other.load_state_dict(content["model_state"])
        return lambda image: last(other(image).detach())

    def scores(image):
        return last(network(image).detach())

    header = round_trip(tmp_path / "best.pt", torch.randn(1, 1, *(32,) * ndim), scores, again).header
    assert header.config is not None
    assert header.origin.variant == name
