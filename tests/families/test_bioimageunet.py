"""bio-image-unet's networks, as its trainers save them."""

import importlib.util
import sys

import pytest
import torch


def network_class(module, name):
    """Return a class of the package without importing its trainers, which need more than the network does."""
    package = importlib.util.find_spec("bio_image_unet")
    if package is None:
        pytest.skip("bio-image-unet is not installed")
    place = f"{package.submodule_search_locations[0]}/{module}/{module}.py"
    spec = importlib.util.spec_from_file_location(f"bio_image_unet_{module}", place)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)


NETWORKS = [
    ("unet", "Unet", {"n_filter": 8}),
    ("unet3d", "UNet3D", {"n_filter": 8}),
    ("unet3d", "UNet3D", {"n_filter": 8, "use_interpolation": True}),
]


@pytest.mark.parametrize(("module", "name", "arguments"), NETWORKS)
def test_round_trip(module, name, arguments, round_trip, used, tmp_path):
    kind = network_class(module, name)
    given = {"in_channels": 1, "out_channels": 1, **arguments}
    size = (64, 64) if module == "unet" else (32, 32, 32)
    network = used(kind(**given), 1, size)
    parameters = {"lr": 1e-3, "loss_function": "BCEDice", "dilation": 1, "clip_threshold": (0.0, 99.0), **given}
    state = {"epoch": 3, "best_loss": torch.tensor(0.5), "state_dict": network.state_dict(), **parameters}
    torch.save({**state, "optimizer": torch.optim.Adam(network.parameters()).state_dict()}, tmp_path / "model.pt")

    def again(path):
        content = torch.load(path, weights_only=True)
        other = kind(**{key: content[key] for key in given}).eval()
        other.load_state_dict(content["state_dict"])
        return lambda image: other(image)[0].detach()

    def scores(image):
        return network(image)[0].detach()

    header = round_trip(tmp_path / "model.pt", torch.randn(1, 1, *size), scores, again).header
    assert header.origin.family == "bio-image-unet"
    assert header.normalization.high == 99
