"""TorchScript programs: loaded after consent, run and trained further like any other network."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from napari_unet.errors import CheckpointError, first_line
from napari_unet.model.consent import need_consent
from napari_unet.model.program import is_torchscript
from napari_unet.model.reading import READ_ERRORS
from napari_unet.model.tensorfile import DAMAGED, MAX_FILE_BYTES
from napari_unet.model.zips import check_zip


class Scripted(nn.Module):
    """A TorchScript program as a module whose parameters an optimizer finds.

    It stays in evaluation mode, since a traced program ignores ``train()`` and a scripted one would spoil its
    normalization statistics: dropout is off, and normalization layers keep their statistics.

    Parameters
    ----------
    script : torch.jit.ScriptModule
        On the CPU.
    """

    _script: Any

    def __init__(self, script: Any) -> None:
        super().__init__()
        object.__setattr__(self, "_script", script.eval())  # hidden from modules(): it takes no hooks
        self._bind()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the program; of several outputs the first one counts."""
        y = self._script(x)
        return y[0] if isinstance(y, tuple | list) and y else y  # type: ignore[no-any-return]

    def _bind(self) -> None:
        """Show the program's own tensors as this module's: the optimizer changes them in place."""
        for kind, found in (("_parameters", "named_parameters"), ("_buffers", "named_buffers")):
            names = {name.replace(".", "/"): tensor for name, tensor in getattr(self._script, found)()}
            getattr(self, kind).clear()
            getattr(self, kind).update(names)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Scripted:
        self._script._apply(fn)
        self._bind()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Scripted:
        # By way of a file: a copy of the object in memory has parameters that no optimizer takes.
        device = next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))
        return Scripted(_load(self.written(), device))

    @property
    def script(self) -> Any:
        """The program itself."""
        return self._script

    def written(self) -> bytes:
        """Return the program with its present weights, as the bytes of a TorchScript file."""
        with _quietly():
            return bytes(self._script.save_to_buffer())


def load_script(content: bytes, sha256: str, name: str) -> Scripted:
    """Load a TorchScript program, if it may run.

    Parameters
    ----------
    content : bytes
        Of the file.
    sha256 : str
        Of `content`; what the consent is about.
    name : str
        For messages.

    Raises
    ------
    ConsentNeeded
        If nobody allowed this program.
    CheckpointError
        If it is damaged or no TorchScript.
    """
    need_consent(sha256, "torchscript", name)
    check_script(content, name)
    try:
        script = _load(content, torch.device("cpu"))
    except (pickle.UnpicklingError, *READ_ERRORS) as error:
        raise CheckpointError(f"{name} cannot be loaded as TorchScript: {first_line(error)}.", DAMAGED) from error
    network = Scripted(script.float())
    for key, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name} cannot be used: {key!r} contains NaN or infinite values.", DAMAGED)
    return network


def check_script(content: bytes, name: str) -> None:
    """Check the archive without looking at its code: plain, of bounded size, checksums right.

    Raises
    ------
    CheckpointError
        If it is damaged or no TorchScript.
    """

    def check(members: list[zipfile.ZipInfo]) -> None:
        names = [member.filename for member in members]
        if len(set(names)) != len(names) or not is_torchscript(names):
            raise CheckpointError(f"{name} is no TorchScript program.", "Choose another file.")
        if sum(member.file_size for member in members) > min(MAX_FILE_BYTES, 20 * len(content)):
            raise CheckpointError(f"{name} declares more bytes than it can hold.", DAMAGED)

    check_zip(io.BytesIO(content), name, check)


@contextmanager
def _quietly() -> Iterator[None]:
    """Newer versions of torch call TorchScript deprecated; the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _load(content: bytes, device: torch.device) -> Any:
    with _quietly():
        return torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
