"""The checkpoints that ship with the package, each with a model card. Free of torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from napari_unet.errors import CheckpointError

PARENTS_ONLY = "start-"  # these are there to be trained further, and not offered for segmenting
_TAKEN = {2: (1, 3), 3: (1,)}  # channels that a general parent takes, by dimensions


def builtin_names() -> tuple[str, ...]:
    """Return the names that `napari_unet.model.checkpoint.load_checkpoint` accepts."""
    return tuple(sorted(path.stem for path in _folder().glob("*.safetensors")))


def general_parent(ndim: int, in_channels: int) -> str | None:
    """Return the name of the checkpoint that new models start from, or None if there is none for such images.

    Parameters
    ----------
    ndim : {2, 3}
        Spatial dimensions of the network.
    in_channels : int
        Channels of the image.
    """
    name = f"{PARENTS_ONLY}{ndim}d"
    return name if name in builtin_names() and in_channels in _TAKEN.get(ndim, ()) else None


def builtin_path(name: str) -> Path:
    """Return the file of a built-in checkpoint.

    Raises
    ------
    CheckpointError
        If there is none of that name.
    """
    if name not in builtin_names():
        raise CheckpointError(
            f"There is no built-in model named {name!r:.80}.", f"Built in: {', '.join(builtin_names()) or 'none'}."
        )
    return _folder() / f"{name}.safetensors"


def model_card(name: str) -> str:
    """Return the model card of a built-in checkpoint, in Markdown.

    Raises
    ------
    CheckpointError
        If there is no built-in checkpoint of that name.
    """
    return builtin_path(name).with_suffix(".md").read_text(encoding="utf-8")


def _folder() -> Path:
    # The package is installed as files (napari's plugins and torch need that anyway).
    return Path(str(resources.files(__name__)))
