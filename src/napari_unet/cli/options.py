"""Command-line options that derive from the fields of a settings dataclass."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

Settings = TypeVar("Settings")


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
    >>> from napari_unet.inference.objects import ObjectSettings
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
