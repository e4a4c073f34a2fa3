"""Networks built by Python code from a package, or by a library that a package names; only after consent."""

from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType
from typing import Any

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.consent import need_consent

ADVICE = "Ask its author for TorchScript weights, which need no code besides their own."


def build_from_source(content: bytes, sha256: str, name: str, function: str, arguments: dict[str, Any]) -> nn.Module:
    """Run Python source code and let it build a network.

    Parameters
    ----------
    content : bytes
        The source, UTF-8.
    sha256 : str
        Of `content`; what the consent is about.
    name : str
        Of the file, for messages.
    function : str
        The class or function in it that returns the network.
    arguments : dict
        Its keyword arguments.

    Raises
    ------
    ConsentNeeded
        If nobody allowed this code.
    CheckpointError
        If the code fails or returns no network.
    """
    need_consent(sha256, "python", name)
    module = ModuleType("napari_unet_package_" + sha256[:12])
    sys.modules[module.__name__] = module  # dataclasses look their own module up
    try:
        exec(compile(content.decode("utf-8"), name, "exec"), module.__dict__)
        return _called(getattr(module, function), arguments, name)
    except CheckpointError:
        raise
    # It is somebody's program: it may raise anything, and what it says goes to the user.
    except Exception as error:
        raise CheckpointError(f"The code in {name} failed: {type(error).__name__}: {error}.", ADVICE) from error


def build_from_library(content: bytes, sha256: str, name: str) -> nn.Module:
    """Call a function of an installed library, named by a JSON text with module, function and arguments.

    Raises
    ------
    ConsentNeeded
        If nobody allowed this call.
    CheckpointError
        If the library is missing, or the function fails or returns no network.
    """
    need_consent(sha256, "library", name)
    call = json.loads(content)
    try:
        return _called(getattr(importlib.import_module(call["module"]), call["function"]), call["arguments"], name)
    except CheckpointError:
        raise
    except ImportError as error:
        raise CheckpointError(
            f"{name} needs the library {call['module'].partition('.')[0]!r}, which is not installed ({error}).",
            "Install it, or ask the author for TorchScript weights.",
        ) from error
    except Exception as error:
        where = f"{call['module']}.{call['function']}"
        raise CheckpointError(f"{where}, named by {name}, failed: {type(error).__name__}: {error}.", ADVICE) from error


def _called(function: Any, arguments: dict[str, Any], name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        network = function(**arguments)
    if not isinstance(network, nn.Module):
        raise CheckpointError(f"The code in {name} returned a {type(network).__name__}, no network.", ADVICE)
    return network.float().eval()
