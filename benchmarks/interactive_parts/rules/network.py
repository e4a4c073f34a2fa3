"""A network in the hands of a peer's rule: copies, batches, scores. It shares no code with the product's trainer."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_unet.inference.network.devices import choose_device, fast_bfloat16

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


class Network:
    """A copy of a checkpoint's network, to be trained.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where it starts.
    from_nothing : bool
        Let batch norm follow the batches; otherwise its statistics stay.
    """

    def __init__(self, checkpoint: Checkpoint, from_nothing: bool) -> None:
        self.checkpoint, self.from_nothing = checkpoint, from_nothing
        self.header = checkpoint.header
        self._layout = torch.channels_last if self.header.ndim == 2 else torch.channels_last_3d
        self.module = copy.deepcopy(checkpoint.network).float().to(memory_format=self._layout).requires_grad_(True)
        self._fast = fast_bfloat16(choose_device("cpu"))

    def train(self) -> None:
        """Get ready for a step."""
        self.module.train()
        if not self.from_nothing:
            for module in self.module.modules():
                if isinstance(module, NORMS):
                    module.eval()

    def logits(self, image: npt.NDArray[np.float32]) -> torch.Tensor:
        """Return the logits (1, C, Z, Y, X) of a patch (C, Z, Y, X)."""
        flat = self.header.ndim == 2
        array = np.ascontiguousarray(image[:, 0] if flat else image)[None]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._fast):
            found = self.module(torch.from_numpy(array).contiguous(memory_format=self._layout))
        return (found[:, :, None] if flat else found).float()

    @torch.no_grad()
    def answer(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the channel with the highest score, (Z, Y, X)."""
        self.module.eval()
        found: npt.NDArray[np.int64] = self.logits(image)[0].argmax(0).numpy()
        return found

    def saved(self) -> Checkpoint:
        """Return a checkpoint of the weights as they are."""
        return replace(self.checkpoint, network=copy.deepcopy(self.module).eval().requires_grad_(False))
