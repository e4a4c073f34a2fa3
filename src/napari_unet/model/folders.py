"""Models that are a folder, and the documents that stand beside a checkpoint file.

::

    nnU-Net            plans.json  dataset.json  fold_0/checkpoint_final.pth
    MONAI bundle       configs/metadata.json  configs/inference.json  models/model.pt
    save_pretrained    config.json  model.safetensors
    pytorch-3dunet     config_train.yml  best_checkpoint.pytorch

Nothing outside of the folder that was opened, or the one or two above a file, is read.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.model.allowed import plain
from napari_unet.model.reading import Weights, read_weights
from napari_unet.model.tensorfile import DAMAGED

MAX_DOCUMENT_BYTES = 4 * 2**20
DOCUMENTS = (
    "plans.json",
    "dataset.json",
    "config.json",
    "configs/metadata.json",
    "configs/inference.json",
    "configs/train.json",
    "config_train.yml",
    "config_train.yaml",
)
# Where the weights are, most wanted first.
PLACES = (
    "fold_all/checkpoint_final.pth",
    "fold_*/checkpoint_final.pth",
    "fold_*/checkpoint_best.pth",
    "checkpoint_final.pth",
    "checkpoint_best.pth",
    "models/model.pt",
    "model.safetensors",
    "pytorch_model.bin",
    "best_checkpoint.pytorch",
    "last_checkpoint.pytorch",
    "best.pt",
    "latest.pt",
)
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".pytorch", ".bin")
LEVELS = 2  # how far above a file its documents may be: nnU-Net's and those of bundles


def read_model(path: Path) -> Weights:
    """Read the weights of a file or folder, with the documents that belong to it.

    Parameters
    ----------
    path : Path
        A checkpoint file, or a folder of one of the kinds above.

    Returns
    -------
    Weights
        With `documents`.

    Raises
    ------
    CheckpointError
        If there are no weights, several without a rule which to take, or a file cannot be read.
    """
    file = weights_file(path) if path.is_dir() else path
    weights = read_weights(file)
    roots = [path] if path.is_dir() else list(file.resolve().parents)[: LEVELS + 1]
    documents: dict[str, Any] = {}
    for root in roots:
        for name in DOCUMENTS:
            if name not in documents and (root / name).is_file():
                documents[name] = _document(root / name)
    inside = file.relative_to(path).as_posix() if path.is_dir() else ""
    return replace(weights, path=path, documents=documents, file=inside)


def weights_file(folder: Path) -> Path:
    """Return the file with the weights in a folder.

    Raises
    ------
    CheckpointError
        If there is none, or several of which none is the usual one.
    """
    for place in PLACES:
        found = sorted(path for path in folder.glob(place) if path.is_file())
        if found:
            return found[0]
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} checkpoint files, such as {found[0].name}" if found else "no checkpoint file"
    raise CheckpointError(
        f"The folder {folder.name} holds {what}.",
        "Choose the file itself, or a folder of nnU-Net, a MONAI bundle or one that save_pretrained wrote.",
    )


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise CheckpointError(f"{path.name} has more than {MAX_DOCUMENT_BYTES} bytes.", DAMAGED)
        content = path.read_bytes()
        if path.suffix == ".json":
            return plain(json.loads(content.decode("utf-8")), depth=16)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name}, beside the weights, cannot be read: {error}.", DAMAGED) from error
    from napari_unet.model.packages.yamltext import read_yaml

    return plain(read_yaml(content, path.name), depth=16)
