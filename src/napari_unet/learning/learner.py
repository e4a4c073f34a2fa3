"""A network that learns: one step, one score, its running average and its state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_unet.errors import TrainingError
from napari_unet.inference.network.devices import choose_device, fast_bfloat16, limited_threads, release_memory
from napari_unet.learning.losses import anchor_loss, masked_loss, soft_loss
from napari_unet.learning.rehearsal import Rehearsed
from napari_unet.learning.sampler import Batch
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.heads import FRESH_HEAD

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

Tensors = dict[str, torch.Tensor]
Floats = npt.NDArray[np.float32]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
AVERAGE_WARM_UP = 10
CLASSES_ANCHOR = 3.0  # times the setting: who paints classes paints errors, and shows nothing of what is right


class Learner:
    """A copy of a checkpoint's network with its optimizer and a running average of its weights.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where it starts; stays as it is.
    settings : TrainSettings
        Device, rates, anchor, threads, seed.

    Raises
    ------
    TrainingError
        If the network is an ONNX graph, which has nothing to train.
    """

    def __init__(self, checkpoint: Checkpoint, settings: TrainSettings) -> None:
        program = checkpoint.header.program
        if program is not None and not program.trainable:
            raise TrainingError(
                f"The model {checkpoint.header.name!r} cannot be trained: {program.sentence}",
                "Open its state dict or TorchScript weights, or start from another model.",
            )
        self.checkpoint, self.settings = checkpoint, settings
        self.header = checkpoint.header
        self.device = choose_device(settings.device)
        self.layout = torch.channels_last if self.header.ndim == 2 else torch.channels_last_3d
        self.network = self._placed(deepcopy(checkpoint.network).float()).requires_grad_(True)
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.new = is_untrained(self.network) if settings.from_nothing is None else settings.from_nothing
        self.anchor = 0.0
        self.rehearsal = 0.0
        self.parent: nn.Module | None = None
        self.fast = fast_bfloat16(self.device)
        self.slow_down = 1.0
        self.step_count = 0
        self.optimizer = self._optimizer()

    def hold_to_parent(self, trust: float) -> None:
        """Anchor the unknown to the parent, as it is now, by the setting's weight times `trust` (0 to 1).

        For classes that is `CLASSES_ANCHOR` times as much; objects are accepted as well as corrected.
        Generated images are rehearsed by the rest, 1 - `trust`: where the corrections are of a kind that the parent
        knows, learning them forgets little, and what they say may well speak against its answers.
        """
        weight = self.settings.anchor * (1.0 if self.header.output.instances else CLASSES_ANCHOR)
        self.anchor = 0.0 if self.new else weight * trust
        self.rehearsal = self.settings.rehearsal * (1 - trust)
        if self.anchor > 0:
            self.parent = self._placed(deepcopy(self.checkpoint.network).float()).eval().requires_grad_(False)

    def step(self, batch: Batch, rate: float, freeze: bool = True, rehearsed: Rehearsed | None = None) -> float:
        """Take one step and return the loss; where it or its gradient is no number, take none and return that.

        Parameters
        ----------
        batch : Batch
            Patches.
        rate : float
            Factor on the learning rates, 0 to 1.
        freeze : bool
            Keep the batch norm statistics; a network without a parent takes them for a while.
        rehearsed : Rehearsed, optional
            Patches of the same size on which the parent's answers are to be kept.
        """
        settings = self.settings
        with limited_threads(settings.threads), torch.random.fork_rng(self._cuda()):
            torch.manual_seed(settings.seed * 1_000_003 + self.step_count)
            self.network.train()
            if freeze or not self.new:
                freeze_batch_norm(self.network)
            for group in self.optimizer.param_groups:
                group["lr"] = group["full_rate"] * rate * self.slow_down
            patches = batch.image if rehearsed is None else np.concatenate((batch.image, rehearsed.image))
            image = torch.from_numpy(patches).to(self.device.name).contiguous(memory_format=self.layout)
            target, known, weight = (
                torch.from_numpy(np.ascontiguousarray(a)).to(self.device.name)
                for a in (batch.target, batch.known, batch.weight)
            )
            activation = self.header.output.activation
            with torch.autocast(self.device.kind, torch.bfloat16, enabled=self.fast):
                answers = self.network(image)
            logits, image = answers[: len(batch.image)], image[: len(batch.image)]
            loss = masked_loss(logits, target, known, weight, activation)
            if batch.soft is not None:
                soft = torch.from_numpy(np.ascontiguousarray(batch.soft)).to(self.device.name)
                taught = ~known & (soft.sum(1) > 0)
                loss = loss + settings.teaching * soft_loss(logits, soft, taught, activation)
            if rehearsed is not None:
                wanted = torch.from_numpy(rehearsed.logits).to(self.device.name)
                everywhere = torch.ones_like(wanted[:, 0], dtype=torch.bool)
                kept = anchor_loss(answers[len(batch.image) :], wanted, everywhere, activation)
                loss = loss + self.rehearsal * kept
            if self.parent is not None:
                with torch.no_grad(), torch.autocast(self.device.kind, torch.bfloat16, enabled=self.fast):
                    before = self.parent(image)
                loss = loss + self.anchor * anchor_loss(logits, before, ~known, activation)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
            # A finite loss may have gradients that are not, and these would stay in all weights.
            value = float(loss.detach()) if torch.isfinite(norm) else math.nan
            if math.isfinite(value):
                self.optimizer.step()
                self.step_count += 1
                self._follow()
        return value

    @torch.no_grad()
    def take_statistics(self, batches: Iterable[Batch]) -> None:
        """Set the batch norm statistics of a network without a parent to the mean over some patches.

        The initial 0 and 1 are no data, and a round of seconds is too short for them to fade.
        """
        norms = [module for module in self.network.modules() if isinstance(module, _BATCH_NORMS)]
        usual = [norm.momentum for norm in norms]
        with limited_threads(self.settings.threads):
            self.network.eval()  # dropout would be chance without a seed
            for number, batch in enumerate(batches):
                for norm in norms:
                    norm.train()
                    norm.momentum = 1 / (1 + number)
                image = torch.from_numpy(batch.image).to(self.device.name).contiguous(memory_format=self.layout)
                with torch.autocast(self.device.kind, torch.bfloat16, enabled=self.fast):
                    self.network(image)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
        self.average.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def answers(self, images: Floats) -> Floats:
        """Return the logits (N, C, [Z], Y, X) of patches, by the averaged weights."""
        with limited_threads(self.settings.threads):
            x = torch.from_numpy(np.ascontiguousarray(images)).to(self.device.name)
            with torch.autocast(self.device.kind, torch.bfloat16, enabled=self.fast):
                logits = self.average(x.contiguous(memory_format=self.layout))
            found: Floats = logits.float().cpu().numpy()
            return found

    @torch.no_grad()
    def scores(self, image: Floats) -> Floats:
        """Return the scores (C, [Z], Y, X) of an image (C, [Z], Y, X), by the averaged weights."""
        steps = self.checkpoint.geometry.divisor
        spatial = image.shape[1:]
        padding = [(0, 0), *((0, -n % step) for n, step in zip(spatial, steps, strict=True))]
        padded = np.pad(image, padding, mode="symmetric")[np.newaxis]
        with limited_threads(self.settings.threads):
            x = torch.from_numpy(np.ascontiguousarray(padded)).to(self.device.name)
            with torch.autocast(self.device.kind, torch.bfloat16, enabled=self.fast):
                logits = self.average(x.contiguous(memory_format=self.layout))[0].float()
            activation = self.header.output.activation
            if activation != "none":
                logits = logits.softmax(0) if activation == "softmax" else logits.sigmoid()
            found: Floats = logits[(slice(None), *(slice(0, n) for n in spatial))].cpu().numpy()
            return found

    def candidate(self, weights: Mapping[str, torch.Tensor] | None = None) -> Checkpoint:
        """Return a checkpoint with the averaged weights, or with `weights`; its header still is the parent's."""
        network = deepcopy(self.checkpoint.network).float()
        network.load_state_dict(self.weights() if weights is None else dict(weights))
        provenance = {key: value for key, value in self.header.provenance.items() if key != FRESH_HEAD}
        return replace(self.checkpoint, network=network.eval(), header=replace(self.header, provenance=provenance))

    def weights(self) -> Tensors:
        """Return a copy of the averaged weights on the CPU."""
        return {name: value.detach().cpu().contiguous().clone() for name, value in self.average.state_dict().items()}

    def take(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Use other weights as the average, which is what is scored."""
        self.average.load_state_dict(dict(weights))

    def restart(self, weights: Mapping[str, torch.Tensor], slow_down: float) -> None:
        """Go back to earlier weights with a fresh optimizer and lower rates."""
        self.network.load_state_dict(dict(weights))
        self.average.load_state_dict(dict(weights))
        self.optimizer = self._optimizer()
        self.slow_down *= slow_down

    def release(self) -> None:
        """Give memory back after an out-of-memory error."""
        self.optimizer.zero_grad(set_to_none=True)
        release_memory(self.device)

    def state(self) -> Tensors:
        """Return everything that a run needs to go on: weights, average and optimizer."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def load_state(self, tensors: Mapping[str, torch.Tensor], step_count: int, slow_down: float) -> None:
        """Go on from `state`."""
        self.network.load_state_dict(_below(tensors, "network."))
        self.average.load_state_dict(_below(tensors, "average."))
        self.step_count, self.slow_down = step_count, slow_down
        values: dict[int, Tensors] = {}
        for name, value in _below(tensors, "optimizer.").items():
            index, _, key = name.partition(".")
            values.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": values})

    def _placed(self, network: nn.Module) -> nn.Module:
        return network.to(self.device.name).to(memory_format=self.layout)  # type: ignore[call-overload,no-any-return]

    def _cuda(self) -> list[str]:
        return [self.device.name] if self.device.kind == "cuda" else []

    def _optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        slow, fast = split_parameters(self.network)
        # Under a fresh head the features are to become others; in 3D a round has too few steps for that.
        fresh = self.header.ndim == 2 and FRESH_HEAD in self.header.provenance
        rates = (settings.new_rate,) * 2 if self.new or fresh else (settings.encoder_rate, settings.rate)
        groups = [
            {"params": parameters, "lr": rate, "full_rate": rate}
            for parameters, rate in zip((slow, fast), rates, strict=True)
            if parameters
        ]
        return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow the weights; early on it follows closely."""
        done = self.step_count
        decay = min(self.settings.average, (1 + done) / (AVERAGE_WARM_UP + done))
        current = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])


def halfway(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> Tensors:
    """Return the mean of two states of one network; whole numbers are those of the second."""
    return {
        name: torch.lerp(first[name], value, 0.5) if value.is_floating_point() else value
        for name, value in second.items()
    }


def is_untrained(network: nn.Module) -> bool:
    """Whether a batch norm of the network never saw an image."""
    norms = [module for module in network.modules() if isinstance(module, _BATCH_NORMS)]
    return any(norm.num_batches_tracked is not None and int(norm.num_batches_tracked) == 0 for norm in norms)


def freeze_batch_norm(network: nn.Module) -> None:
    """Let batch norms use their statistics instead of the batch's: a handful of patches of one image has none."""
    for module in network.modules():
        if isinstance(module, _BATCH_NORMS):
            module.eval()


def split_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of the encoder and the others; a foreign module without one is all "others"."""
    names = ("encoder.", "bottleneck.")
    slow = [p for name, p in network.named_parameters() if name.startswith(names) and p.requires_grad]
    fast = [p for name, p in network.named_parameters() if not name.startswith(names) and p.requires_grad]
    return slow, fast


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
