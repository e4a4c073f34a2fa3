"""Command-line options that several commands share, most of them derived from the fields of a settings dataclass."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

from napari_unet.cli import said

Settings = TypeVar("Settings")
OBJECTS = ("threshold", "min_size", "split", "fill_holes", "connected", "smooth")
OPTIONS = ("flips", "join_z", "three_directions", "rescale", "diameter", "find_size")


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add what a user may have to say about an image."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--axes", type=said.axes, help="One letter of T, C, Z, Y, X per dimension, where the file does not say."
    )
    group.add_argument(
        "--channels", type=said.channels, help="Which channels feed the model, numbered from 0, for example 0,2."
    )
    group.add_argument(
        "--scale", type=said.scale, help="Voxel size in µm, z,y,x or y,x, where the file does not say or is wrong."
    )


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Add with how much memory to work."""
    parser.add_argument(
        "--memory",
        dest="memory_gb",
        metavar="GB",
        type=float,
        help="Memory to work with, in GB (10⁹ bytes). Default: half of what is free.",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add where and how exactly to compute."""
    group = parser.add_argument_group("computing")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda:N or mps. Default: auto.")
    group.add_argument("--precision", default="auto", help="auto, float32 or bfloat16. Default: auto.")


def add_settings(parser: argparse.ArgumentParser, kind: type[Any], names: Sequence[str], title: str) -> None:
    """Add one option per field; default and help are those of the dataclass.

    Parameters
    ----------
    parser : ArgumentParser
        Where to.
    kind : type
        A dataclass with numpydoc parameters.
    names : sequence of str
        Which of its fields.
    title : str
        Heading of the options in the help.
    """
    group = parser.add_argument_group(title)
    texts, types = parameter_texts(kind), get_type_hints(kind)
    defaults = {field.name: field.default for field in fields(kind)}
    for name in names:
        option = "--" + name.replace("_", "-")
        default = defaults[name]
        described = texts.get(name, "").replace("%", "%%")
        if default is not None and not isinstance(default, bool):
            described += f" Default: {default}."
        if types[name] is bool:
            action = argparse.BooleanOptionalAction
            group.add_argument(option, dest=name, action=action, default=default, help=described)
        else:
            group.add_argument(option, dest=name, type=_number(types[name]), default=default, help=described)


def settings_from(arguments: argparse.Namespace, kind: type[Settings], **others: Any) -> Settings:
    """Build the settings from parsed options; fields without an option keep their default."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(arguments).items() if name in known}
    return kind(**{**given, **others})


def parameter_texts(kind: type[Any]) -> dict[str, str]:
    """Return what the numpydoc "Parameters" section of a class says about each name.

    Examples
    --------
    >>> from napari_unet.inference.labels.objects import ObjectSettings
    >>> parameter_texts(ObjectSettings)["fill_holes"]
    'Fill what an object encloses.'
    """
    texts: dict[str, list[str]] = {}
    lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
    start = lines.index("Parameters") + 2 if "Parameters" in lines else len(lines)
    names: list[str] = []
    for line in lines[start:]:
        if set(line) == {"-"}:
            break
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        elif line:
            for name in names:
                texts.setdefault(name, []).append(line.strip())
    return {name: " ".join(text).replace("`", "") for name, text in texts.items()}


def _number(hint: Any) -> type[Any]:
    """Return the type in a hint such as ``float | None``."""
    if isinstance(hint, type):
        return hint
    return next(part for part in get_args(hint) if part is not type(None))  # type: ignore[no-any-return]
