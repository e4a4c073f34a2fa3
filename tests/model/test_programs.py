from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet import Predictor
from napari_unet.cli import main
from napari_unet.errors import CheckpointError, ConsentNeeded, UserError
from napari_unet.inference.network.engine import Engine
from napari_unet.model import consent
from napari_unet.model.checkpoint import load_checkpoint, own_header
from napari_unet.model.fitting import Fitted
from napari_unet.model.program import Program, Sizes

NOTHING = Sizes((1, 1), (1, 1), (0, 0), (0, 0))


class Small(nn.Module):
    """Pools once, so that sizes are even; a batch norm whose statistics must stay."""

    def __init__(self, ndim: int = 2) -> None:
        super().__init__()
        convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if ndim == 2 else (nn.Conv3d, nn.BatchNorm3d)
        up = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        self.first = nn.Sequential(convolution(1, 4, 3, padding=1), norm(4), nn.ReLU())
        self.pool = pool(2)
        self.up = up(4, 4, 2, stride=2)
        self.last = convolution(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        return self.last(torch.cat((y, self.up(self.pool(y))), 1))


def script(path: Path, ndim: int = 2, traced: bool = False) -> tuple[Path, str]:
    torch.manual_seed(0)
    network = Small(ndim).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = torch.zeros((1, 1) + (32,) * ndim)
        made = torch.jit.trace(network, sample) if traced else torch.jit.script(network)
        made.save(str(path))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def nobody_said_yes(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())


def test_a_script_runs_only_after_a_yes_for_its_hash(tmp_path):
    path, sha256 = script(tmp_path / "net.pt")
    with pytest.raises(ConsentNeeded) as asked:
        load_checkpoint(path)
    assert asked.value.sha256 == sha256
    assert sha256 in str(asked.value) and "trust" in str(asked.value)
    with pytest.raises(ConsentNeeded):
        load_checkpoint(path, run_code="0" * 64)
    with pytest.raises(ConsentNeeded):
        load_checkpoint(path, run_code="never")
    with pytest.raises(UserError, match="SHA-256"):
        load_checkpoint(path, run_code="yes")
    assert load_checkpoint(path, run_code=sha256).header.family == "TorchScript"


def test_a_yes_in_the_window_is_remembered_by_hash_and_commands_do_not_use_it(tmp_path):
    path, sha256 = script(tmp_path / "net.pt")
    consent.remember(sha256, "net.pt")
    assert load_checkpoint(path).header.in_channels == 1
    with consent.only_named(), pytest.raises(ConsentNeeded):
        load_checkpoint(path)
    (tmp_path / "config" / "code.json").write_text("{broken")
    with pytest.raises(ConsentNeeded):
        load_checkpoint(path)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("traced", [False, True])
def test_a_plain_script_is_explored_and_gives_its_own_scores(tmp_path, ndim, traced):
    path, sha256 = script(tmp_path / "net.ts", ndim, traced)
    checkpoint = load_checkpoint(path, run_code=sha256)
    header = checkpoint.header
    assert (header.ndim, header.in_channels, header.out_channels) == (ndim, 1, 2)
    assert header.program is not None and header.program.sizes.step == (2,) * ndim
    assert max(header.program.sizes.halo) <= 4
    assert header.output.activation == "softmax"
    torch.manual_seed(0)
    expected = Small(ndim).eval()
    image = torch.rand((1, 1) + (24,) * ndim)
    with torch.inference_mode():
        assert torch.allclose(checkpoint.network(image), expected(image), atol=1e-6)
        odd = checkpoint.network(image[..., :23])
    assert odd.shape[-1] == 23


def test_saved_and_opened_again_it_still_asks(tmp_path):
    path, sha256 = script(tmp_path / "net.pt")
    checkpoint = load_checkpoint(path, run_code=sha256)
    saved = checkpoint.save(tmp_path / "ours")
    consent._named.clear()
    header = own_header(saved)
    assert header is not None and header.program is not None and header.program.sha256 == sha256
    with pytest.raises(ConsentNeeded) as asked:
        load_checkpoint(saved)
    assert asked.value.sha256 == sha256
    again = load_checkpoint(saved, run_code=sha256)
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(again.network(image), checkpoint.network(image))
    assert again.header.weights_hash == header.weights_hash


def test_it_trains_with_its_statistics_frozen_and_keeps_the_hash_of_its_code(tmp_path):
    path, sha256 = script(tmp_path / "net.pt")
    checkpoint = load_checkpoint(path, run_code=sha256)
    copy = checkpoint.copy()
    before = {name: tensor.clone() for name, tensor in copy.network.state_dict().items()}
    copy.network.train()
    optimizer = torch.optim.SGD(copy.network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        copy.network(torch.rand(1, 1, 16, 16)).square().mean().backward()
        optimizer.step()
    after = copy.network.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert any("last" in name for name in changed)
    assert not any("running" in name for name in changed)
    assert all(torch.equal(t, before[n]) for n, t in checkpoint.network.state_dict().items())
    again = load_checkpoint(copy.save(tmp_path / "tuned"))
    assert again.header.program.sha256 == sha256
    assert again.header.weights_hash != checkpoint.header.weights_hash
    image = torch.rand(1, 1, 16, 16)
    assert torch.allclose(again.network(image), copy.network(image), atol=1e-6)


def test_the_engine_runs_it(tmp_path):
    path, sha256 = script(tmp_path / "net.pt")
    checkpoint = load_checkpoint(path, run_code=sha256)
    image = np.random.default_rng(0).random((45, 61)).astype(np.float32)
    scores = Predictor(checkpoint, device="cpu", precision="float32", threads=1).predict(image, axes="YX")
    assert scores.shape == (2, 45, 61)
    assert np.allclose(scores.sum(0), 1, atol=1e-5)
    assert Engine(checkpoint, device="cpu").voxel_budget() is None  # its convolutions cannot be counted


def test_a_damaged_script_is_refused_before_it_is_loaded(tmp_path):
    path, _ = script(tmp_path / "net.pt")
    content = bytearray(path.read_bytes())
    torch.manual_seed(0)
    content[content.index(Small().last.weight.detach().numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(path, run_code=hashlib.sha256(content).hexdigest())


class Echo(nn.Module):
    """Returns its input, cropped; refuses sizes that are not legal."""

    def __init__(self, legal, crop=0):
        super().__init__()
        self.legal, self.crop = legal, crop

    def forward(self, x):
        assert all(self.legal(n) for n in x.shape[2:]), x.shape
        c = self.crop
        return x[:, :, c : x.shape[2] - c, c : x.shape[3] - c] * 2


@pytest.mark.parametrize(
    ("sizes", "legal"),
    [
        (Sizes((32, 32), (0, 0), (0, 0), (5, 5)), lambda n: n == 32),
        (Sizes((32, 32), (0, 0), (4, 4), (5, 5)), lambda n: n == 32),
        (Sizes((16, 16), (8, 8), (0, 0), (5, 5)), lambda n: n >= 16 and n % 8 == 0),
        (Sizes((20, 20), (16, 16), (3, 3), (5, 5)), lambda n: n >= 20 and (n - 20) % 16 == 0),
    ],
)
@pytest.mark.parametrize("size", [(1, 7), (32, 32), (33, 31), (100, 47)])
def test_any_size_becomes_legal_ones(sizes, legal, size):
    program = Program("python", "0" * 64, "echo", sizes, before=(("scale", 2.0, 1.0),), after=(("clip", 0.0, 3.0),))
    image = torch.rand((2, 1, *size))
    fitted = Fitted(Echo(legal, sizes.crop[0]), program, b"")
    assert torch.allclose(fitted(image), ((image * 2 + 1) * 2).clamp(0, 3))


def test_descriptions_out_of_bounds():
    for values in (
        {"minimum": (0, 1)},
        {"minimum": (10**6, 1)},
        {"crop": (1, 1)},
        {"halo": (9999, 0)},
        {"step": (1.5, 1)},
        {"step": (1,)},
    ):
        with pytest.raises(CheckpointError):
            replace(NOTHING, **values)
    good = {"kind": "onnx", "sha256": "0" * 64, "name": "x", "sizes": NOTHING}
    for wrong in ({"kind": "exe"}, {"sha256": "x"}, {"function": "os.system"}, {"before": (("eval", 1),)}):
        with pytest.raises(CheckpointError):
            Program(**{**good, **wrong})


def test_what_a_program_does_not_say_is_said_once(tmp_path, capsys):
    path, sha256 = script(tmp_path / "net.ts")
    said = ("--say", "normalization=zscore", "--say", "classes=background,cell", "--run-code", sha256)
    assert main(["inspect", str(path), *said]) == 0
    assert "mean 0, standard deviation 1" in capsys.readouterr().out
    header = load_checkpoint(path, run_code=sha256).header
    assert header.normalization.method == "zscore"
    assert [info.name for info in header.output.classes] == ["background", "cell"]
    beside = path.with_name("net.ts.napari-unet.json")
    beside.write_text(beside.read_text().replace(sha256, "0" * 64))
    with pytest.raises(CheckpointError, match="another file"):
        load_checkpoint(path, run_code=sha256)
    consent._named.clear()
    assert main(["inspect", str(path), "--say", "normalization=none"]) == 2  # nobody allowed it
