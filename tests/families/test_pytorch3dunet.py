"""pytorch-3dunet's own networks, as its trainer saves them, with its configuration beside or without."""

import pytest
import torch

from napari_unet.model.checkpoint import load_checkpoint

library = pytest.importorskip("pytorch3dunet.unet3d.model")
yaml = pytest.importorskip("yaml")

NETWORKS = [
    ("UNet2D", {"f_maps": 16, "num_levels": 3}),
    ("UNet2D", {"f_maps": 16, "num_levels": 3, "layer_order": "bcr", "upsample": "bilinear"}),
    ("UNet3D", {"f_maps": 8, "num_levels": 3}),
    ("UNet3D", {"f_maps": 8, "num_levels": 3, "layer_order": "cgl", "num_groups": 4}),
    ("ResidualUNet2D", {"f_maps": 8, "num_levels": 4, "layer_order": "cge"}),
    ("ResidualUNet3D", {"f_maps": 8, "num_levels": 3}),
]


def save(folder, name, arguments, network, described=True):
    """Write what its trainer writes, and the configuration beside it."""
    path = folder / "best_checkpoint.pytorch"
    state = {"num_epochs": 3, "num_iterations": 10, "model_state_dict": network.state_dict(), "best_eval_score": 0.5}
    torch.save({**state, "optimizer_state_dict": torch.optim.Adam(network.parameters()).state_dict()}, path)
    if described:
        raw = [{"name": "PercentileNormalizer", "pmin": 1, "pmax": 99}, {"name": "ToTensor", "expand_dims": True}]
        document = {"model": {"name": name, **arguments}, "loaders": {"val": {"transformer": {"raw": raw}}}}
        (folder / "config_train.yml").write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
def test_round_trip(name, arguments, round_trip, used, tmp_path):
    ndim = 2 if "2D" in name else 3
    given = {"in_channels": 1, "out_channels": 2, "final_sigmoid": True, **arguments}
    network = used(getattr(library, name)(**given), 1, (32,) * ndim)
    source = save(tmp_path, name, given, network)

    def again(path):
        other = getattr(library, name)(**given).eval()
        other.load_state_dict(torch.load(path, weights_only=True)["model_state_dict"])
        return torch.no_grad()(other)

    checkpoint = round_trip(source, torch.randn(1, 1, *(32,) * ndim), torch.no_grad()(network), again)
    assert checkpoint.header.origin.family == "pytorch-3dunet"
    assert checkpoint.header.normalization.high == 99
    assert (checkpoint.header.config is None) == name.startswith("Residual")


def test_without_a_configuration_it_is_said_what_was_assumed(used, tmp_path):
    network = used(library.UNet3D(1, 1, f_maps=8, num_levels=2), 1, (16,) * 3)
    checkpoint = load_checkpoint(save(tmp_path, "UNet3D", {}, network, described=False))
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.allclose(checkpoint.network(image).sigmoid(), network(image), atol=1e-5)
    assumed = {finding.what for finding in checkpoint.header.origin.findings if finding.how == "assumed"}
    assert {"groups", "activation", "normalization"} <= assumed
