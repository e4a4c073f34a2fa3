"""The engine: how one batch runs fastest on this machine, with the same result."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_unet.errors import CheckpointError, DeviceError
from napari_unet.inference.network.devices import (
    Device,
    available_devices,
    choose_device,
    default_threads,
    is_out_of_memory,
    limited_threads,
    resolve_precision,
)
from napari_unet.inference.network.guarded import ShouldStop, Stopped, TileTooLarge
from napari_unet.inference.network.lowering import lower
from napari_unet.inference.network.portioned import Portioned
from napari_unet.inference.network.preparing import prepared
from napari_unet.inference.network.remembered import Remembered
from napari_unet.inference.network.selfcheck import TOLERATED, differing, machine_key
from napari_unet.inference.network.sweep import Sweep
from napari_unet.inference.network.turning import turned_network
from napari_unet.model.unet import UNet

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

__all__ = [
    "Device",
    "Engine",
    "ShouldStop",
    "Stopped",
    "TileTooLarge",
    "available_devices",
    "choose_device",
    "default_threads",
    "is_out_of_memory",
    "limited_threads",
]


class Engine(Portioned):
    """A network made ready to run: copied, folded, placed and laid out in memory.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its network is copied and stays as it is.
    device : str
        See `choose_device`.
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``auto`` takes bfloat16, else float16, where the device has it natively, as long as the labels are those of
        float32 (`check`). Activations are float32 always.
    threads : int, optional
        CPU threads while the network runs; one fewer than there are cores by default.

    Raises
    ------
    DeviceError
        If the device or precision is not available.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str = "auto", precision: str = "auto", threads: int | None = None
    ) -> None:
        chosen = choose_device(device)
        super().__init__(checkpoint.header, chosen, resolve_precision(precision, chosen), threads)
        self.note = ""  # what was decided about the precision
        network = deepcopy(checkpoint.network).to(device="cpu", dtype=torch.float32).eval()
        with limited_threads(self.threads):
            made = prepared(network, self.header.in_channels, checkpoint.geometry.divisor, self.dtype, self.device.kind)
        self.cost, self._packed = made.cost, made.packed
        # Subclasses may compute something else on the way, which a sweep would leave out.
        exact = type(made.folded) is UNet and checkpoint.geometry.exact and made.network is not made.folded
        self._folded = made.folded if exact and isinstance(made.folded, UNet) else None
        self._swept: dict[tuple[int, ...], UNet] = {}
        self._plain = None if made.network is made.folded else made.folded
        self._network = self._placed(made.network)
        self._agrees: bool | None = None if precision == "auto" and self.dtype != torch.float32 else True

    @property
    def sentence(self) -> str:
        """Device, precision and threads in words."""
        kind = str(self.dtype).removeprefix("torch.")
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.device.kind == "cpu" else ""
        return f"{self.device.sentence} Computes in {kind}{threads}."

    @property
    def unchecked(self) -> bool:
        """Whether it is still to be seen if the labels are those of float32, see `check`."""
        if self._agrees is None and self.header.weights_hash:
            known = Remembered().get(self._key).get("differs")
            if isinstance(known, float):
                self._settle(known)
        return self._agrees is None

    def check(self, batch: npt.NDArray[np.float32], where: str) -> None:
        """Compare the labels of a batch with those of float32, once; compute in float32 from now on if they differ.

        Parameters
        ----------
        batch : ndarray of float32
            As for `run`.
        where : str
            Place in the image, for messages.
        """
        if self._agrees is not None:
            return
        reference = self._lowered(torch.float32)
        try:
            short = self._attempt(lambda: self._forward(batch, where), None, where, batch.shape)
        except (CheckpointError, DeviceError):
            short = None  # out of range, or no such layer; float32 shows whether the network itself is at fault
        kind, self.dtype, network, self._network = self.dtype, torch.float32, self._network, reference
        try:
            exact = self._attempt(lambda: self._forward(batch, where), None, where, batch.shape)
        finally:
            self.dtype, self._network = kind, network
        share = 1.0 if short is None else differing(short, exact, self.header.output.activation == "sigmoid")
        if self.header.weights_hash:
            Remembered().put(self._key, {"differs": share})
        self._settle(share)

    @property
    def _key(self) -> str:
        return f"{machine_key(self.device)} {self.header.weights_hash} {self.dtype}"

    def _settle(self, differs: float) -> None:
        self._agrees = differs <= TOLERATED
        if self._agrees:
            return
        self.note = (
            f"Computes in float32: in {str(self.dtype).removeprefix('torch.')} {differs:.1%} of the labels "
            f"would differ, more than {TOLERATED:.1%}."
        )
        self.dtype = torch.float32
        self._network = self._lowered(self.dtype)
        self._swept.clear()

    def _lowered(self, dtype: torch.dtype) -> nn.Module:
        """Return the network, ready to compute in another type."""
        if self._plain is None:
            return self._network  # nothing could be replaced: autocast alone decides
        return self._placed(lower(deepcopy(self._plain), dtype, self._packed))

    def sweep(
        self, order: tuple[int, ...], start: int, across: Sequence[tuple[int, int]], lengths: Sequence[int]
    ) -> Sweep:
        """Begin a pass along the first axis of `order`; see `Sweep` for the other parameters."""
        if self._folded is None:
            raise RuntimeError("this network cannot be swept")
        if order not in self._swept:
            network = turned_network(self._folded, order)
            lower(network, self.dtype, self._packed)
            self._swept[order] = self._placed(network)
        return Sweep(self._swept[order], start, across, lengths)

    def push(
        self, sweep: Sweep, rows: npt.NDArray[np.float32], should_stop: ShouldStop | None = None, where: str = "a row"
    ) -> None:
        """Let rows of the image, (1, C, rows, …), pass through a sweep. Raises as `run` does."""

        def step() -> None:
            sweep.push(self._sent(rows))

        self._attempt(step, should_stop, where, rows.shape)

    def finished(self, logits: torch.Tensor, where: str) -> npt.NDArray[np.float32]:
        """Return the scores (N, out_channels, [Z], Y, X) of logits, after the activation."""
        return self._attempt(lambda: self._activated(logits, where), None, where, tuple(logits.shape))

    def run(
        self, batch: npt.NDArray[np.float32], should_stop: ShouldStop | None = None, where: str = "the batch"
    ) -> npt.NDArray[np.float32]:
        """Compute the scores of a batch.

        When memory runs out, the batch is halved until it is a single tile.

        Parameters
        ----------
        batch : ndarray of float32
            Normalized images (N, in_channels, [Z], Y, X), sizes multiples of the divisor. May be overwritten.
        should_stop : callable, optional
            Asked before each layer.
        where : str
            Place in the image, for messages.

        Returns
        -------
        ndarray of float32
            Scores (N, out_channels, [Z], Y, X) after the activation.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        TileTooLarge
            If memory runs out for a batch of one.
        CheckpointError
            If the network fails, or returns another shape or values that are not finite.
        """
        try:
            return self._attempt(lambda: self._forward(batch, where), should_stop, where, batch.shape)
        except TileTooLarge:
            if len(batch) == 1:
                raise
        half = len(batch) // 2
        return np.concatenate([self.run(part, should_stop, where) for part in (batch[:half], batch[half:])])

    def _forward(self, batch: npt.NDArray[np.float32], where: str) -> npt.NDArray[np.float32]:
        y = self._network(self._sent(batch))
        expected = (len(batch), self.header.out_channels, *batch.shape[2:])
        if not isinstance(y, torch.Tensor) or tuple(y.shape) != expected:
            got = f"shape {tuple(y.shape)}" if isinstance(y, torch.Tensor) else f"a {type(y).__name__}"
            raise CheckpointError(
                f"The network of {self.header.name!r} returned {got} at {where}; expected {expected}.",
                "It must return one score per output channel and voxel of its input.",
            )
        return self._activated(y, where)

    def _activated(self, y: torch.Tensor, where: str) -> npt.NDArray[np.float32]:
        y = y.float()
        if not bool(torch.isfinite(y).all()):
            raise CheckpointError(
                f"The network of {self.header.name!r} returned values that are no numbers (NaN or infinite) "
                f"at {where}, computing in {str(self.dtype).removeprefix('torch.')}.",
                "Its weights may be damaged: choose another model, or try the precision 'float32'.",
            )
        if self.header.output.activation == "softmax":
            y = torch.softmax(y, dim=1)
        elif self.header.output.activation == "sigmoid":
            y = torch.sigmoid(y)
        scores: npt.NDArray[np.float32] = y.contiguous().cpu().numpy()
        return scores
