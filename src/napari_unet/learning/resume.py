"""The state of an interrupted round of training, in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_unet.errors import TrainingError

KEY = "napari_unet.training"
VERSION = 1


def write_state(path: str | Path, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> Path:
    """Write tensors and JSON values as one safetensors file; the old one stays until the new one is whole."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(dict(tensors), temporary, metadata={KEY: json.dumps({"version": VERSION, **values})})
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:  # the second, if the disk is full
        raise TrainingError(
            f"The training state could not be written to {str(path)!r}: {error}.", "Check the folder and the disk."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_state(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_state` wrote.

    Raises
    ------
    TrainingError
        If the file is missing, damaged or of another version.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            values = json.loads((stream.metadata() or {})[KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise TrainingError(
            f"{str(path)!r} holds no training state, or it is damaged.", "Start the round again."
        ) from error
    if values.get("version") != VERSION:
        raise TrainingError(
            f"The training state {str(path)!r} has version {values.get('version')}; expected {VERSION}.",
            "Start the round again.",
        )
    return tensors, values
