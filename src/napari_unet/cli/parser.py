"""The commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from napari_unet import __version__
from napari_unet.cli.trust import add_trust
from napari_unet.errors import UserError

# Command → module with `configure(parser)`, and what it does.
COMMANDS = {
    "segment": ("segment", "Segment images and write label TIFFs."),
    "train": ("train", "Train a model further on images with labels, or a new one with classes of your own."),
    "finalize": ("finalize", "Train the model to publish from a project folder, the same each time."),
    "evaluate": ("evaluate", "Compare a model's or given label images with the truth."),
    "seams": ("seams", "Tell whether the tiles of a prediction show: one crop in tiles and at once."),
    "inspect": ("models", "Tell what a checkpoint is and how that is known."),
    "export-model": (
        "models",
        "Write a checkpoint as our .safetensors file, for other programs, or as its own program wrote it.",
    ),
    "demo": ("demo", "Show the whole loop on two images: segment, correct, retrain, compare, export."),
}


class UsageError(UserError):
    """The command line cannot be understood."""


class Parser(argparse.ArgumentParser):
    """A parser that complains in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError`."""
        sentence = message[:1].upper() + message[1:]
        raise UsageError(f"{sentence.rstrip('.')}.", f"'{self.prog} --help' lists what can be given.")


def build_parser(arguments: Sequence[str] = ()) -> Parser:
    """Return the parser.

    Parameters
    ----------
    arguments : sequence of str
        What will be parsed: only the commands named there get their options, so that help on the
        program as a whole does not load what the others need.
    """
    parser = Parser(
        prog="napari-unet",
        description="Interactive segmentation with U-Nets, from the command line.",
        epilog="Exit codes: 0 done, 1 some files failed (each command says what else), 2 a sentence says why nothing "
        "could be done, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"napari-unet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, (module, sentence) in COMMANDS.items():
        command = commands.add_parser(name, help=sentence, description=sentence, allow_abbrev=False)
        if name in arguments:
            import_module(f"napari_unet.cli.{module}").configure(command, name)
            if name != "demo":
                add_trust(command)
    return parser
