"""Checkpoints that Lightning's own trainer writes, with hyper-parameters, a loss with weights and optimizer states."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

lightning = pytest.importorskip("lightning")
nets = pytest.importorskip("monai.networks.nets")

FEATURES = (8, 8, 16, 32, 64, 8)


class Module(lightning.LightningModule):
    """What a laboratory writes around a network."""

    def __init__(self, rate=1e-3, folder=Path("runs"), loss_weights=(1.0, 2.0)):
        super().__init__()
        self.save_hyperparameters()
        self.net = nets.BasicUNet(spatial_dims=2, out_channels=2, features=FEATURES)
        self.loss = nn.CrossEntropyLoss(torch.tensor(loss_weights))

    def training_step(self, batch, index):
        image, target = batch
        return self.loss(self.net(image), target)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


@pytest.fixture
def written(tmp_path):
    """Return a trained module and its checkpoint."""
    module = Module()
    data = DataLoader(TensorDataset(torch.randn(2, 1, 32, 32), torch.randint(0, 2, (2, 32, 32))))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return module.eval(), tmp_path / "last.ckpt"


def test_round_trip(written, round_trip):
    module, path = written

    def again(target):
        other = nets.BasicUNet(spatial_dims=2, out_channels=2, features=FEATURES).eval()
        state = torch.load(target, weights_only=True)["state_dict"]
        other.load_state_dict({name.removeprefix("net."): value for name, value in state.items()})
        return lambda image: other(image).detach().softmax(1)

    def scores(image):
        return module.net(image).detach().softmax(1)

    header = round_trip(path, torch.randn(1, 1, 32, 32), scores, again).header
    assert header.origin.prefix == "net."
    assert header.origin.container == ("state_dict",)
    assert header.origin.beside["hyper_parameters"]["rate"] == 1e-3
