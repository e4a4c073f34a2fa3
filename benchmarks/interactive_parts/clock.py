"""Time that stays honest on a busy machine: seconds of the processor in one thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

THREADS = 1


@dataclass
class Spent:
    """Seconds that a block took: of the processor, and on the wall."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def measured() -> Iterator[Spent]:
    """Measure a block."""
    spent = Spent()
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        yield spent
    finally:
        spent.cpu, spent.wall = time.process_time() - cpu, time.perf_counter() - wall


@contextmanager
def processor_clock() -> Iterator[None]:
    """Let the product's training loops count their budget in processor seconds, in one thread.

    With one thread the two are the same on a machine that does nothing else. On one that does, a budget on the wall
    would give the rule that happened to run at a busy time fewer steps. The product itself counts on the wall; only
    inside this block the name ``time`` of its training modules stands for the processor's clock.
    """
    import torch

    import napari_unet.inference.network.devices as devices
    import napari_unet.learning.trainer
    import napari_unet.session.training_tasks  # noqa: F401

    shim = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("_")})
    shim.perf_counter = shim.monotonic = time.process_time
    named = [
        module
        for name, module in sys.modules.items()
        if name.startswith("napari_unet.learning.") and getattr(module, "time", None) is time
    ]
    threads, default = torch.get_num_threads(), devices.default_threads
    torch.set_num_threads(THREADS)
    devices.default_threads = lambda: THREADS
    for module in named:
        module.time = shim
    try:
        yield
    finally:
        for module in named:
            module.time = time
        devices.default_threads = default
        torch.set_num_threads(threads)
