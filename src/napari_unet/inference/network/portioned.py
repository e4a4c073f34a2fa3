"""How much of an image passes through a network at once: what is quick, and what fits into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_unet.inference.network.devices import Device, free_on
from napari_unet.inference.network.folding import Cost
from napari_unet.inference.network.guarded import Guarded
from napari_unet.inference.network.slabs import LEAST_ROWS, SLAB, most_bytes_across, rows_of

if TYPE_CHECKING:
    from napari_unet.model.header import CheckpointHeader
    from napari_unet.model.unet import UNet

# Operations that take about a second: on one core in float32 or bfloat16, on a GPU a fraction of one.
_QUICK = {
    ("cpu", torch.float32): 5e10,
    ("cpu", torch.bfloat16): 1e11,
    ("cuda", torch.float32): 1e12,
    ("cuda", torch.bfloat16): 4e12,
    ("cuda", torch.float16): 4e12,
    ("mps", torch.float32): 5e11,
    ("mps", torch.float16): 1e12,
}


class Portioned(Guarded):
    """What an engine knows about sizes: of tiles for a network run as a whole, of slabs for one that is swept.

    Parameters
    ----------
    header, device, dtype, threads
        See `Guarded`.

    Attributes
    ----------
    cost : Cost or None
        Of a voxel; None if it is unknown.
    slabs_cut : bool
        Whether memory ran out, so that slabs were made smaller.
    """

    def __init__(self, header: CheckpointHeader, device: Device, dtype: torch.dtype, threads: int | None) -> None:
        super().__init__(header, device, dtype, threads)
        self.cost: Cost | None = None
        self.slabs_cut = False
        self._slab = SLAB["cpu" if device.kind == "cpu" else "gpu"]
        self._folded: UNet | None = None  # the network that is swept, in float32

    @property
    def sweeps(self) -> bool:
        """Whether the network can pass along an axis, see `napari_unet.inference.network.sweep`."""
        return self._folded is not None

    def budget(self, memory_gb: float | None = None) -> int:
        """Return the bytes to work with: `memory_gb`, or half of what is free on the device."""
        return free_on(self.device) // 2 if memory_gb is None else int(memory_gb * 10**9)

    def voxel_budget(self, memory_gb: float | None = None) -> tuple[int, int] | None:
        """Return how many voxels a tile may have to stay quick, and to fit into memory.

        None if the network would not run on a small probe, so that its cost is unknown.
        """
        if self.cost is None:
            return None
        quick = _QUICK[self.device.kind, self.dtype]
        most = int(self.budget(memory_gb) / (4 * self.cost.values))
        return max(1, min(int(quick / max(self.cost.operations, 1.0)), 2**22, most)), max(1, most)

    def across_budget(self, memory_gb: float | None = None) -> int | None:
        """Return how many voxels the cross-section of a sweep may have; None if there is none to be had."""
        if self._folded is None:
            return None
        return max(1, int(self.budget(memory_gb) / most_bytes_across(self._folded.config, self.dtype.itemsize)))

    def slab_rows(self, across: int) -> int:
        """Return how many rows of a cross-section with `across` voxels to push through the network at once."""
        if self._folded is None:
            return 1
        return rows_of(self._slab, self._folded.config, across, self.dtype.itemsize)

    def smaller_slabs(self, across: int) -> bool:
        """Push half as many rows at once from now on; False if there is no less."""
        rows = self.slab_rows(across)
        if self._folded is None or rows <= LEAST_ROWS:
            return False
        self._slab = rows * across * self._folded.config.features[0] * self.dtype.itemsize // 2
        self.slabs_cut = True
        return True
