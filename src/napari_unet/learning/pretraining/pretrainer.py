"""Training from a recipe: hours, resumable, with a running average of the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_unet.errors import TrainingError
from napari_unet.inference.network.devices import choose_device, fast_bfloat16, limited_threads
from napari_unet.learning.pretraining.augmentation import draw_patch
from napari_unet.learning.pretraining.goals import goals, loss_of
from napari_unet.learning.pretraining.recipe import Recipe
from napari_unet.learning.pretraining.samples import Sample, chances
from napari_unet.learning.resume import read_state, write_state
from napari_unet.model.unet import UNet

WARM_UP = 50  # steps
LAST_RATE = 0.01
SAVE_EVERY = 100  # steps
REPORT_EVERY = 20


@dataclass(frozen=True)
class Progress:
    """Where training stands.

    Parameters
    ----------
    step, steps : int
        Done, of how many.
    loss : float
        Mean since the last report.
    """

    step: int
    steps: int
    loss: float


class Pretrainer:
    """Trains a fresh network on samples.

    Parameters
    ----------
    recipe : Recipe
        What and how.
    samples : sequence of Sample
        Those that are not for validation are learned from.
    state : Path, optional
        Where the state is kept every `SAVE_EVERY` steps, and gone on from.
    device : str
        See `choose_device`.
    threads : int, optional
        CPU threads.

    Raises
    ------
    TrainingError
        If there is nothing to learn from, or the state belongs to another recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        samples: Sequence[Sample],
        state: Path | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.recipe, self.state, self.threads = recipe, state, threads
        self.samples = [sample for sample in samples if not sample.validation]
        if not self.samples:
            raise TrainingError("The recipe has no images to learn from.", "Check its patterns and its split.")
        self._chances = chances(self.samples)
        self.device = choose_device(device)
        self._layout = torch.channels_last if recipe.config.ndim == 2 else torch.channels_last_3d
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.schedule.seed)
            network = UNet(recipe.config)
        self.network = network.to(self.device.name).to(memory_format=self._layout)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        schedule = recipe.schedule
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay
        )
        self.step = 0
        if state is not None and state.exists():
            self._load(state)

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Train to the end of the schedule, or until `should_stop`; yield every `REPORT_EVERY` steps."""
        losses: list[float] = []
        while self.step < self.recipe.schedule.steps and not should_stop():
            losses.append(self._update())
            if self.step % SAVE_EVERY == 0:
                self.save()
            if self.step % REPORT_EVERY == 0 or self.step == self.recipe.schedule.steps:
                yield Progress(self.step, self.recipe.schedule.steps, float(np.mean(losses)))
                losses.clear()
        self.save()

    def save(self) -> None:
        """Write the state, if it is kept."""
        if self.state is None:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        write_state(self.state, kept, {"step": self.step, "recipe": self._made_of()})

    def _made_of(self) -> str:
        """Return what a state must share with the recipe to be gone on from."""
        return json.dumps([self.recipe.name, repr(self.recipe.config), repr(self.recipe.heads)])

    def _load(self, path: Path) -> None:
        tensors, values = read_state(path)
        if values.get("recipe") != self._made_of():
            raise TrainingError(
                f"The training state {str(path)!r} belongs to another recipe.", "Give another --state, or remove it."
            )
        below: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            below[kind][rest] = value
        self.network.load_state_dict(below["network"])
        self.average.load_state_dict(below["average"])
        found: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in below["optimizer"].items():
            index, _, key = name.partition(".")
            found.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": found})
        self.step = int(values["step"])

    def _update(self) -> float:
        """Take one step and return the loss."""
        recipe, schedule = self.recipe, self.recipe.schedule
        rng = np.random.default_rng((schedule.seed, self.step))
        chosen = [self.samples[n] for n in rng.choice(len(self.samples), schedule.batch, p=self._chances)]
        channels = recipe.config.in_channels
        drawn = [
            draw_patch(one.image, one.labels, schedule.patch, channels, recipe.augmentation, rng) for one in chosen
        ]
        images = [image for image, _ in drawn]
        wanted = goals(recipe.heads, [one.head for one in chosen], images, [labels for _, labels in drawn])
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate * _factor(self.step, schedule.steps)
        with limited_threads(self.threads):
            self.network.train()
            batch = torch.from_numpy(np.stack(images)).to(self.device.name).contiguous(memory_format=self._layout)
            with torch.autocast(self.device.kind, torch.bfloat16, enabled=fast_bfloat16(self.device)):
                logits = self.network(batch)
            parts: list[Any] = []
            for goal in wanted:
                head, mine = recipe.heads[goal.head], torch.from_numpy(goal.patches).to(logits.device)
                answers = logits[mine][:, recipe.channels_of(goal.head)]
                parts.append(head.weight * len(goal.patches) / schedule.batch * loss_of(head, answers, goal))
            loss = torch.stack(parts).sum()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), schedule.clip)
            value = float(loss.detach())
            if not (math.isfinite(value) and torch.isfinite(norm)):
                raise TrainingError(
                    f"The loss or its gradient is no number at step {self.step}.", "Lower the rate of the recipe."
                )
            self.optimizer.step()
            self.step += 1
            self._follow(min(schedule.average, (1 + self.step) / (10 + self.step)))
        return value

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Average weights and batch statistics alike, so that they belong together."""
        current = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name].to(value.dtype), 1 - decay)
            else:
                value.copy_(current[name])


def _factor(step: int, steps: int) -> float:
    """Return the factor on the learning rate: up, then down along a cosine."""
    falling = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return falling * min(1.0, (step + 1) / WARM_UP)
