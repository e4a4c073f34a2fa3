"""Checkpoint: a network with everything needed to use it, in one file. Imports torch only when used."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.builtin import builtin_names
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import Geometry, geometry_of, program_geometry
from napari_unet.model.header import CheckpointHeader, ClassInfo, Output
from napari_unet.model.opening import find_checkpoint, naming, own_header
from napari_unet.model.outputs import class_output, default_classes, default_output

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Checkpoint",
    "builtin_names",
    "default_classes",
    "default_output",
    "find_checkpoint",
    "load_checkpoint",
    "own_header",
    "read_header",
]

SUFFIX = ".safetensors"


@dataclass
class Checkpoint:
    """A network, and what is known about it.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (N, C, [Z], Y, X) to logits or scores of the same spatial size; the header's
        ``output.activation`` says which.
    header : CheckpointHeader
        Name, architecture, normalization, meaning of the channels, provenance.

    Examples
    --------
    >>> from napari_unet.model.checkpoint import Checkpoint, default_classes
    >>> checkpoint = Checkpoint.from_config(UNetConfig(features=(4, 8)), default_classes(2), name="mine")
    >>> checkpoint.geometry.halo
    (10, 10)
    """

    network: nn.Module
    header: CheckpointHeader
    _geometry: Geometry | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def geometry(self) -> Geometry:
        """Divisor, receptive field and halo; measured once for a network that is not ours."""
        if self.header.config is not None or self.header.blueprint is not None:
            return geometry_of(self.header)
        if self.header.program is not None:
            return program_geometry(self.header.program)
        if self._geometry is None:
            from napari_unet.model.probing import probe_geometry

            self._geometry = probe_geometry(self.network, self.header.ndim, self.header.in_channels)
        return self._geometry

    @classmethod
    def from_config(
        cls,
        config: UNetConfig,
        classes: tuple[ClassInfo, ...],
        *,
        name: str,
        normalization: Normalization | None = None,
        voxel_size: tuple[float, ...] | None = None,
        seed: int = 0,
    ) -> Checkpoint:
        """Build an untrained network with one softmax channel per class.

        Parameters
        ----------
        config : UNetConfig
            Architecture; its ``out_channels`` is replaced by the number of classes.
        classes : tuple of ClassInfo
            The background first.
        name : str
            Name to show.
        normalization : Normalization, optional
            Percentiles 1 to 99.8 when omitted.
        voxel_size : tuple of float, optional
            In µm, ([Z], Y, X).
        seed : int
            Of the initial weights.
        """
        import torch

        from napari_unet.model.unet import UNet

        config = replace(config, out_channels=len(classes))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = UNet(config).eval()
        header = CheckpointHeader(
            name=name,
            config=config,
            normalization=normalization or Normalization(),
            output=class_output(classes),
            voxel_size=voxel_size,
            ndim=config.ndim,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
        )
        return cls(network, header)

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        *,
        ndim: Literal[2, 3],
        in_channels: int,
        out_channels: int,
        normalization: Normalization | None = None,
        output: Output | None = None,
        name: str = "module",
    ) -> Checkpoint:
        """Wrap any network, so that it runs through the same engine.

        Parameters
        ----------
        module : torch.nn.Module
            Maps (N, in_channels, [Z], Y, X) to (N, out_channels, [Z], Y, X); not copied.
        ndim : {2, 3}
            Spatial dimensions.
        in_channels, out_channels : int
            Channels.
        normalization : Normalization, optional
            Percentiles 1 to 99.8 when omitted.
        output : Output, optional
            Logits of one foreign foreground channel (sigmoid) or of one class per channel (softmax) when omitted.
        name : str
            Name to show.
        """
        config = getattr(module, "config", None)
        header = CheckpointHeader(
            name=name,
            config=config if isinstance(config, UNetConfig) else None,
            normalization=normalization or Normalization(),
            output=output or default_output(out_channels),
            family="napari-unet" if isinstance(config, UNetConfig) else type(module).__name__,
            ndim=ndim,
            in_channels=in_channels,
            out_channels=out_channels,
        )
        return cls(module, header)

    def copy(self) -> Checkpoint:
        """Return a checkpoint with its own copy of the network, to train or to keep."""
        return Checkpoint(copy.deepcopy(self.network), self.header)

    def with_classes(self, classes: tuple[ClassInfo, ...]) -> Checkpoint:
        """Return a checkpoint whose head has exactly these classes, on a copy of the same body.

        A class of the same name keeps its weights; so does a renamed one, which takes the place
        of a name that is gone. The head of a binary model becomes two softmax channels with the
        same scores. An instance model's head is replaced by a fresh one.

        Parameters
        ----------
        classes : tuple of ClassInfo
            The background first, two or more.

        Raises
        ------
        CheckpointError
            If the network's last layer does not allow it, or there are too few or equal classes.
        """
        from napari_unet.model.heads import with_classes

        return Checkpoint(*with_classes(self.network, self.header, classes))

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write weights and header to one .safetensors file, atomically.

        Parameters
        ----------
        path : str or Path
            ``.safetensors`` is appended where it is missing. An existing file is replaced.
        half : bool
            Store the weights in float16: half the size, and scores that differ in the third digit.

        Returns
        -------
        Path
            The file; `header` then carries the hash of the weights.

        Raises
        ------
        CheckpointError
            If the network is not one of ours, or a weight is NaN or infinite.
        OutputError
            If the file cannot be written; then nothing is left behind.
        """
        from napari_unet.model.writing import write_checkpoint

        path = Path(path)
        path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
        self.header = write_checkpoint(path, self.network, self.header, half)
        return path


def load_checkpoint(source: str | Path, run_code: str | None = None) -> Checkpoint:
    """Load a checkpoint, strictly and without running code from it unless it was allowed.

    Parameters
    ----------
    source : str or Path
        A built-in name such as ``"nuclei-2d"``, or a file.
    run_code : str, optional
        SHA-256 of the code in the file that may run; ``"never"`` to take weights that need none, where there are any.

    Returns
    -------
    Checkpoint
        On the CPU, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint, not one that is known, or damaged.
    ConsentNeeded
        If it holds code that nobody allowed; the error carries its hash.
    """
    from napari_unet.model.consent import given
    from napari_unet.model.families import open_weights
    from napari_unet.model.folders import read_model
    from napari_unet.model.packages import open_container

    path = find_checkpoint(source)
    with naming(path), given(run_code):
        own = own_header(path)  # bounds first, before any tensor is read
        checkpoint = open_container(path, own) or open_weights(read_model(path))
    if own is not None and checkpoint.header != own:
        raise CheckpointError(f"{path.name} changed while it was read.", "Try again.")
    return checkpoint


def read_header(source: str | Path) -> CheckpointHeader:
    """Read what a checkpoint says about itself; without torch for our own files.

    Parameters
    ----------
    source : str or Path
        A built-in name or a file. A foreign file is loaded whole, which imports torch.

    Raises
    ------
    CheckpointError
        As `load_checkpoint`; the weights of our own files are not checked against their hash here.
    """
    path = find_checkpoint(source)
    with naming(path):
        return own_header(path) or load_checkpoint(path).header
