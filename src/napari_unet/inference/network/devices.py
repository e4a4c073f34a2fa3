"""What this machine can compute on: devices, precision, threads, memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from napari_unet.errors import DeviceError
from napari_unet.image.memory import free_memory

Precision = Literal["auto", "float32", "bfloat16", "float16"]

_MEMORY_MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "cudnn_status_not_supported",
    "cudnn_status_alloc_failed",
    "allocation_failed",  # cuDNN 9, on the device and on the host
    "unable to find an engine to execute",  # cuDNN, where no algorithm finds room to work
    "unable to find a valid cudnn algorithm",
    "cublas_status_alloc_failed",
    "cublas_status_not_initialized",  # its workspace is made when it is first used
    "canuse32bitindexmath",  # more values than these kernels can count: smaller tiles help likewise
    "int_max",
    "invalid buffer size",  # Metal
    "could not create a memory object",
    "std::bad_alloc",
)
_MISSING_MESSAGES = ("not implemented for", "not currently implemented", "is not supported on", "could not run")


@dataclass(frozen=True)
class Device:
    """What the network runs on.

    Parameters
    ----------
    name : str
        As torch calls it: ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    sentence : str
        What was chosen and why, for the user.
    """

    name: str
    sentence: str

    @property
    def kind(self) -> str:
        """The name without the number."""
        return self.name.partition(":")[0]


def available_devices() -> tuple[str, ...]:
    """Return the names of the devices of this machine, the fastest kind first, the CPU last."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return (*names, "cpu")


def choose_device(name: str = "auto") -> Device:
    """Choose the device to run on.

    Parameters
    ----------
    name : str
        ``"auto"`` (a GPU when there is one), ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Returns
    -------
    Device

    Raises
    ------
    DeviceError
        If the name is unknown or this machine has no such device.

    Examples
    --------
    >>> choose_device("cpu").name
    'cpu'
    """
    wanted = str(name).strip().lower()
    present = available_devices()
    if wanted == "auto":
        chosen = present[0]
        if chosen == "cpu":
            return Device("cpu", f"Runs on the CPU ({_cpu()}): torch finds no GPU that it can use.")
        return Device(chosen, f"Runs on {_describe(chosen)}: the fastest device that torch finds.")
    if wanted == "cuda":
        wanted = "cuda:0"
    if wanted in present:
        return Device(wanted, f"Runs on {_describe(wanted)}, as asked.")
    if wanted not in ("cpu", "mps") and not (wanted.startswith("cuda:") and wanted[5:].isdigit()):
        raise DeviceError(
            f"The device {name!r} is unknown; expected auto, cpu, cuda:N or mps.", f"Choose {' or '.join(present)}."
        )
    raise DeviceError(
        f"The device {name!r} was asked for, but torch {torch.__version__} finds only {', '.join(present)} here.",
        "Choose 'auto', or install a torch build for that device.",
    )


def _describe(name: str) -> str:
    if name.startswith("cuda"):
        return f"the GPU {torch.cuda.get_device_name(name)} ({name})"
    return "the Apple GPU (mps)" if name == "mps" else f"the CPU ({_cpu()})"


def _cpu() -> str:
    count = os.cpu_count() or 1
    return f"{platform.machine() or 'unknown'}, {count} core{'s' if count > 1 else ''}"


def fast_bfloat16(device: Device) -> bool:
    """Whether the device computes in bfloat16 natively, so that it is faster than float32."""
    if device.kind == "cuda":
        return torch.cuda.get_device_capability(device.name) >= (8, 0) and torch.version.hip is None
    if device.kind == "cpu" and os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper() in ("ALL", "DEFAULT"):
        flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    return False


def fast_float16(device: Device) -> bool:
    """Whether the device computes in float16 natively: Apple GPUs, and NVIDIA's from Volta on."""
    if device.kind == "cuda":
        return torch.version.hip is None and torch.cuda.get_device_capability(device.name) >= (7, 0)
    return device.kind == "mps"


def resolve_precision(precision: str, device: Device) -> torch.dtype:
    """Return the type to compute in.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``auto``: bfloat16 where the device has it natively, else float16 likewise, otherwise float32.
    device : Device
        Where the network runs.

    Raises
    ------
    DeviceError
        If the name is unknown, or the device cannot compute in it.
    """
    if precision == "auto":
        if fast_bfloat16(device):
            return torch.bfloat16
        return torch.float16 if fast_float16(device) else torch.float32
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16" and device.kind != "mps":
        return torch.bfloat16
    if precision == "float16" and fast_float16(device):
        return torch.float16
    possible = ["auto", "float32"]
    possible += ["bfloat16"] if device.kind != "mps" else []
    possible += ["float16"] if fast_float16(device) else []
    raise DeviceError(
        f"The precision {precision!r} is not available on {device.name}; expected {', '.join(possible)}.",
        "Choose 'auto'.",
    )


def default_threads() -> int:
    """Return how many threads to compute with: one core stays free for the window."""
    return max(1, (os.cpu_count() or 1) - 1)


@contextmanager
def limited_threads(count: int | None = None) -> Iterator[None]:
    """Compute with `count` threads inside the block and with as many as before after it.

    Parameters
    ----------
    count : int, optional
        Threads; one fewer than there are cores by default.
    """
    before = torch.get_num_threads()
    wanted = max(1, default_threads() if count is None else count)
    if wanted != before:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if wanted != before:
            torch.set_num_threads(before)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device.

    Parameters
    ----------
    error : BaseException
        What was raised. Told by type (`torch.OutOfMemoryError`, `MemoryError`) and, for the
        plain RuntimeErrors of the CPU, cuDNN and MPS, by message.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    True
    >>> is_out_of_memory(RuntimeError("shapes do not match"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in text for part in _MEMORY_MESSAGES)


def is_missing_on_device(error: BaseException) -> bool:
    """Whether an error means that torch has no such layer, or not in this precision, for the device.

    Examples
    --------
    >>> is_missing_on_device(RuntimeError("ConvTranspose 3D is not supported on MPS"))
    True
    """
    if isinstance(error, NotImplementedError):  # torch's own way to say it, in many words
        return True
    return isinstance(error, RuntimeError) and any(part in str(error).lower() for part in _MISSING_MESSAGES)


def release_memory(device: Device) -> None:
    """Give cached memory back after an out-of-memory error."""
    if device.kind == "cuda":
        torch.cuda.empty_cache()
    elif device.kind == "mps":
        torch.mps.empty_cache()


def free_on(device: Device) -> int:
    """Return the bytes that can be had on the device, which may share the main memory.

    What torch keeps from work before counts, too: it is used again before more is asked for.
    """
    if device.kind == "cuda":
        kept = torch.cuda.memory_reserved(device.name) - torch.cuda.memory_allocated(device.name)
        return int(torch.cuda.mem_get_info(device.name)[0]) + kept
    if device.kind == "mps":
        left = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return max(0, min(free_memory(), int(left)))
    return free_memory()
