"""What `napari-unet export-model` needs to write a model for others: format, example image, authors, licence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.inputs import open_source
from napari_unet.cli.options import add_image_options
from napari_unet.errors import UserError
from napari_unet.io.atomic import check_target
from napari_unet.model.exporting import FORMATS, format_of
from napari_unet.model.exporting.about import LICENSES, About

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add what the formats of others need."""
    parser.add_argument("--format", choices=tuple(FORMATS), help="Default: by the ending of OUT.")
    group = parser.add_argument_group("bioimage.io package")
    group.add_argument(
        "--example", metavar="IMAGE", help="An image of the kind that the model is for: its test values."
    )
    group.add_argument("--author", action="append", default=[], metavar="NAME", help="'Name' or 'Name; Affiliation'.")
    group.add_argument("--license", metavar="SPDX", help=f"For example {', '.join(LICENSES)}.")
    group.add_argument("--description", default="", metavar="TEXT", help="A sentence of what it segments.")
    group.add_argument("--cite", action="append", default=[], metavar="TEXT", help="A reference that ends with a DOI.")
    group.add_argument(
        "--normalization",
        choices=("example", "image"),
        default="example",
        help="'example': every tile by the intensities of the example, so that all programs agree; "
        "'image': each image is measured. Default: example.",
    )
    add_image_options(parser)


def target_of(arguments: argparse.Namespace) -> Path:
    """Return the file to write, checked before any work is done.

    Raises
    ------
    UserError
        If its format is not known, it exists, or the package's particulars are missing.
    """
    target = Path(arguments.output)
    kind = format_of(target, arguments.format)
    protected = [arguments.checkpoint, *([arguments.example] if arguments.example else [])]
    check_target(target, overwrite=arguments.overwrite, protected=protected)
    if kind == "bioimageio":
        missing = [f"--{name}" for name in ("example", "author", "license") if not getattr(arguments, name)]
        if missing:
            raise UserError(
                f"A bioimage.io package needs {', '.join(missing)}.", "'export-model --help' explains them."
            )
    return target


def write(arguments: argparse.Namespace, checkpoint: Checkpoint, target: Path) -> tuple[str, ...]:
    """Write the file and return what the user should know."""
    from napari_unet.model.exporting.writing import export_checkpoint

    example = about = None
    if format_of(target, arguments.format) == "bioimageio":
        example = open_source(Path(arguments.example), arguments.axes, arguments.channels, arguments.scale)
        about = About(tuple(arguments.author), arguments.license, arguments.description, tuple(arguments.cite))
    return export_checkpoint(
        checkpoint,
        target,
        format=arguments.format,
        example=example,
        about=about,
        fixed=arguments.normalization == "example",
    )
