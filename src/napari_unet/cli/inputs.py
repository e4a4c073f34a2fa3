"""Which files a command works on: names, folders and patterns; pairs of image and labels."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from napari_unet.errors import ImageError, UserError
from napari_unet.image.source import ImageSource, three_numbers
from napari_unet.io.images import read_image

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".zarr")
LABEL_ENDINGS = ("_labels", "_label", "_masks", "_mask")


def find_images(inputs: Iterable[str]) -> dict[Path, Path]:
    """Find the image files that are meant, each once, in natural order within a folder or pattern.

    Parameters
    ----------
    inputs : iterable of str
        Files, folders (their images, not those of folders inside), OME-Zarr folders and patterns
        such as ``"plate/**/*.tif"``.

    Returns
    -------
    dict of Path to Path
        Each image with the subfolder in which a pattern found it: ``plate/A01/1.tif`` with ``A01``, counted
        from the last folder before the first wildcard; otherwise ``.``.

    Raises
    ------
    ImageError
        If a name does not exist, or a folder or pattern holds no image.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for text in inputs:
        path, root = Path(text), None
        if path.exists():
            paths = _in_folder(path) if path.is_dir() and not _is_zarr(path) else [path]
            what = f"The folder {text!r} holds no image"
        elif glob.has_magic(text):
            paths = [Path(name) for name in glob.glob(text, recursive=True)]
            root = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
            what = f"No file fits the pattern {text!r}"
        else:
            raise ImageError(f"The image {text!r} does not exist.", "Check the path.")
        if not paths:
            raise ImageError(f"{what}; expected {', '.join(SUFFIXES)}.", "Check the path.")
        for one in sorted(paths, key=natural):
            below = Path() if root is None else one.parent.relative_to(root)
            found.setdefault(one.resolve(), (one, below))
    return dict(found.values())


def find_pairs(images: Sequence[str], labels: Sequence[str]) -> list[tuple[Path, Path]]:
    """Return images with the labels of the same stem (a ``_labels`` or ``_mask`` ending does not count).

    Raises
    ------
    UserError
        If an image has no labels, or two files have the same stem.
    """
    by_stem = _by_stem(find_images(labels), "labels")
    pairs = []
    for key, image in _by_stem(find_images(images), "images").items():
        if key not in by_stem:
            raise ImageError(
                f"The image {image.name!r} has no labels: none of the {len(by_stem)} label files is called {key!r}.",
                "Name image and labels alike, or leave the image out.",
            )
        pairs.append((image, by_stem[key]))
    return pairs


def stem(path: Path) -> str:
    """Return the name without the suffixes of an image file.

    Examples
    --------
    >>> stem(Path("a/field.07.ome.tif"))
    'field.07'
    """
    name = path.name
    for suffix in (".zarr", ".tiff", ".tif", ".png", ".jpeg", ".jpg", ".ome"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return name


def open_source(path: Path, axes: str | None, channels: str | None, scale: str | None) -> ImageSource:
    """Read an image, with what the user says about it.

    Parameters
    ----------
    path : Path
        The file.
    axes : str or None
        Its axes, where the file does not say or is wrong.
    channels : str or None
        Channel numbers from 0, such as ``"0,2"``.
    scale : str or None
        Voxel size in µm, ``"z,y,x"`` or one number per spatial axis.

    Raises
    ------
    ImageError
        If the file cannot be used or what was said does not fit.
    """
    source = read_image(path, axes)
    if channels is not None:
        source = replace(source, channels=tuple(int(number) for number in numbers(channels, "channels", int)))
    if scale is not None:
        given = three_numbers(numbers(scale, "scale", float), source.axes)
        source = replace(source, scale=given, units="µm", scale_origin="user")
    return source


def numbers(text: str, name: str, kind: type[int] | type[float]) -> list[float]:
    """Return the numbers in a text such as ``"1,0.5,0.5"``.

    Raises
    ------
    UserError
        If there is something else.
    """
    try:
        return [kind(part) for part in re.split(r"[,;\s]+", text.strip())]
    except ValueError as error:
        example = "0,2" if kind is int else "2,0.5,0.5"
        raise UserError(f"--{name} is {text!r}; expected numbers, for example {example}.") from error


def natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts ``t2`` before ``t10``."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", str(path))]


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray"))


def _in_folder(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and (_is_zarr(path) if path.is_dir() else path.suffix.lower() in SUFFIXES[:-1])
    ]


def _by_stem(paths: Iterable[Path], what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        key = stem(path)
        for ending in LABEL_ENDINGS:
            key = key.removesuffix(ending)
        if key in found:
            raise UserError(
                f"Two {what} are called {key!r}: {str(found[key])!r} and {str(path)!r}.", "Rename one, or leave it out."
            )
        found[key] = path
    return found
