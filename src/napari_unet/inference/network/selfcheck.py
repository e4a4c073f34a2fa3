"""Whether the short floating-point type gives the labels of float32: looked at once per model and machine."""

from __future__ import annotations

import hashlib
import os
import platform

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.image.boxes import Box, as_box
from napari_unet.inference.network.devices import Device
from napari_unet.inference.tiles.tiling import Tile, TilePlan

TOLERATED = 1e-3  # share of voxels whose label may differ
_SIDE = {2: 256, 3: 48}  # of the part of a tile that is looked at


def machine_key(device: Device) -> str:
    """Return what decides how a device computes, as one short text."""
    kind = torch.cuda.get_device_name(device.name) if device.kind == "cuda" else platform.processor()
    flags = torch.cpu.get_capabilities() if device.kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    instructions = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    said = (
        torch.__version__,
        platform.machine(),
        device.kind,
        kind,
        os.cpu_count(),
        sorted(flags.items()),
        instructions,
    )
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def checked_part(plan: TilePlan, tile: Tile) -> Box:
    """Return the middle of a tile, on the network's grid and small enough to be computed twice without a wait."""
    side = _SIDE[plan.ndim]
    start, stop = [], []
    for span, divisor, length in zip(tile.inner, plan.divisor, plan.padded, strict=True):
        most = max(divisor, side // divisor * divisor)
        size = min(most, length)
        middle = (span.start + span.stop - size) // 2
        first = min(max(0, middle // divisor * divisor), length - size)
        start.append(first)
        stop.append(first + size)
    box = as_box(start, stop)
    return box if tile.z is None else (slice(tile.z, tile.z + 1), box[1], box[2])


def differing(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], independent: bool) -> float:
    """Return the share of voxels whose label differs.

    Parameters
    ----------
    first, second : ndarray of float32
        Scores (1, C, [Z], Y, X).
    independent : bool
        Each channel is a foreground of its own (sigmoid): above one half; otherwise the largest wins.
    """
    if independent:
        return float(((first > 0.5) != (second > 0.5)).any(axis=1).mean())
    return float((first.argmax(axis=1) != second.argmax(axis=1)).mean())
