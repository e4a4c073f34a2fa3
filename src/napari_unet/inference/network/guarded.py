"""Computing on a device: under its settings, to be stopped between two layers, with errors that name the place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_unet.errors import CheckpointError, DeviceError, UserError
from napari_unet.inference.network.devices import (
    Device,
    default_threads,
    is_missing_on_device,
    is_out_of_memory,
    limited_threads,
    release_memory,
)

if TYPE_CHECKING:
    from napari_unet.model.header import CheckpointHeader

ShouldStop = Callable[[], bool]
T = TypeVar("T")
N = TypeVar("N", bound=nn.Module)


class Stopped(Exception):
    """The caller asked to stop while the network was running."""


class TileTooLarge(Exception):
    """A single tile does not fit into the device's memory."""


class Guarded:
    """What an engine is besides its network.

    Parameters
    ----------
    header : CheckpointHeader
        Of the model, for its dimensions and its name in messages.
    device : Device
        Where to compute.
    dtype : torch.dtype
        What to compute in.
    threads : int or None
        CPU threads while the network runs; one fewer than there are cores by default.
    """

    def __init__(self, header: CheckpointHeader, device: Device, dtype: torch.dtype, threads: int | None) -> None:
        self.header, self.device, self.dtype = header, device, dtype
        self.threads = default_threads() if threads is None else max(1, threads)
        self._should_stop: ShouldStop | None = None
        self._layout = torch.channels_last if header.ndim == 2 else torch.channels_last_3d

    @property
    def overlaps(self) -> bool:
        """Whether to read the image and use the scores meanwhile: on the CPU that would take the window's core."""
        return self.device.kind != "cpu"

    def _attempt(
        self, compute: Callable[[], T], should_stop: ShouldStop | None, where: str, shape: tuple[int, ...]
    ) -> T:
        """Compute under this engine's settings; what goes wrong becomes an error that names the place."""
        self._should_stop = should_stop
        try:
            with self._settings():
                return compute()
        except (UserError, Stopped):
            raise
        # Anybody's module may raise anything; what it says goes to the user.
        except Exception as error:
            if not is_out_of_memory(error):
                if self.device.kind != "cpu" and is_missing_on_device(error):
                    raise DeviceError(
                        f"The device {self.device.name!r} cannot compute a layer of {self.header.name!r}: {error}.",
                        "Choose the device 'cpu'.",
                    ) from error
                raise CheckpointError(
                    f"The network of {self.header.name!r} failed at {where} on an input of shape {shape}: "
                    f"{type(error).__name__}: {error}.",
                    "Check that the model takes this number of channels and dimensions.",
                ) from error
        finally:
            self._should_stop = None
        # Outside the handler, whose traceback would keep the tensors alive.
        release_memory(self.device)
        raise TileTooLarge(where)

    def _sent(self, array: npt.NDArray[np.float32]) -> torch.Tensor:
        """Return an array on the device, in the layout of the network.

        To an NVIDIA GPU it goes from pinned memory while the GPU computes and the next rows are read.
        """
        x = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.kind == "cuda":
            x = x.pin_memory().to(self.device.name, non_blocking=True)
        else:
            x = x.to(self.device.name)
        return x.contiguous(memory_format=self._layout)

    def _placed(self, network: N) -> N:
        """Return a network on the device, in the layout and with the hook that lets it be stopped."""
        placed = network.to(device=self.device.name).to(memory_format=self._layout)  # type: ignore[call-overload]
        for module in placed.modules():
            if not list(module.children()):
                module.register_forward_pre_hook(self._look_up)
        return cast(N, placed)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(limited_threads(self.threads))
            stack.enter_context(torch.inference_mode())
            if self.device.kind == "cuda":
                # TensorFloat-32 keeps ten bits; float32 means float32 here.
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            if self.dtype != torch.float32:
                stack.enter_context(torch.autocast(self.device.kind, dtype=self.dtype))
            yield

    def _look_up(self, module: nn.Module, inputs: Any) -> None:
        """Before each layer: stop if asked, so that stopping never waits for a whole tile."""
        if self._should_stop is not None and self._should_stop():
            raise Stopped
