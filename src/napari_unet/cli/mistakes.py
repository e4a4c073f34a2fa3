"""A picture of the errors in one plane of an image: missed, invented, split, merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from napari_unet.cli.overview import BACKGROUND, displayed
from napari_unet.io.atomic import atomic_path
from napari_unet.learning.evaluation import find_mistakes, match_pairs
from napari_unet.learning.overlap import count_overlaps

Labels = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]
Kinds = npt.NDArray[np.uint8]

FOUND, INEXACT, SPLIT, MERGED, INVENTED, MISSED = range(1, 7)


@dataclass(frozen=True)
class Style:
    """How a kind is drawn: Okabe and Ito's colours, told apart by every kind of colour vision."""

    color: tuple[int, int, int]
    filled: bool
    objects: str
    classes: str


STYLES = {
    FOUND: Style((0, 158, 115), False, "found (IoU at least 0.5)", "right"),
    INEXACT: Style((255, 255, 255), False, "wrong outline (IoU below 0.5)", "wrong class"),
    SPLIT: Style((204, 121, 167), False, "split: piece of one object", ""),
    MERGED: Style((86, 180, 233), False, "merged: several objects in one", ""),
    INVENTED: Style((213, 94, 0), True, "invented", "invented"),
    MISSED: Style((240, 228, 66), True, "missed", "missed"),
}
_LONG_SIDE = 1000  # pixels up to which small images are enlarged
_LINE = 28  # pixels per line of the legend
_MOST = 4  # times


def write_mistakes(path: Path, image: Any | None, truth: Labels, labels: Labels, classes: bool = False) -> Path:
    """Write a PNG that shows what is wrong, in the plane with the most wrong voxels, with a legend.

    Parameters
    ----------
    path : Path
        The file; one of that name is replaced.
    image : callable or None
        Returns the plane (Y, X) or (Y, X, 3) at (t, z); black where None.
    truth, labels : ndarray of int, (T, Z, Y, X)
        Objects, or classes.
    classes : bool
        Values are classes.

    Returns
    -------
    Path
        The file that was written.
    """
    (t, z), (true_kinds, found_kinds), counts = _worst_plane(truth, labels, classes)
    plain = np.zeros((*truth.shape[2:], 3), np.uint8) if image is None else displayed(image(t, z))
    times = max(1, min(_MOST, _LONG_SIDE // max(truth.shape[2:])))
    picture = _enlarged(plain, times)
    for kinds, ids in ((found_kinds, labels[t, z]), (true_kinds, truth[t, z])):
        for kind in np.unique(kinds[kinds > 0]):
            picture = _drawn(picture, np.where(kinds == kind, ids, 0), STYLES[int(kind)], times)
    where = [f"t = {t}"] * (truth.shape[0] > 1) + [f"z = {z}"] * (truth.shape[1] > 1)
    caption = "counted in the whole image; shown: the plane with the most errors, " + ", ".join(where) if where else ""
    sheet = _with_legend(picture, counts, classes, caption)
    with atomic_path(path, overwrite=True) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _worst_plane(
    truth: Labels, labels: Labels, classes: bool
) -> tuple[tuple[int, int], tuple[Kinds, Kinds], dict[int, int]]:
    """Return (t, z) of the plane with the most errors, the kinds of its voxels, and how many of each kind there are."""
    planes = []
    counts = dict.fromkeys(STYLES, 0)
    for t, (a, b) in enumerate(zip(truth, labels, strict=True)):
        true_kinds, found_kinds, here = _of_classes(a, b) if classes else _of_objects(a, b)
        for kind, count in here.items():
            counts[kind] += count
        errors = ((true_kinds > FOUND) | (found_kinds > FOUND)).sum(axis=(1, 2))
        z = int(errors.argmax())
        planes.append((int(errors[z]), (t, z), (true_kinds[z], found_kinds[z])))
    _, place, kinds = max(planes, key=lambda plane: plane[0])
    return place, kinds, counts


def _of_objects(truth: Labels, labels: Labels) -> tuple[Kinds, Kinds, dict[int, int]]:
    """Return what is wrong at each voxel of true and of found objects, and how many objects are of each kind."""
    table = count_overlaps(truth, labels)
    mistakes, pairs = find_mistakes(table), match_pairs(table)
    found = table.sizes("second")[0]
    kinds = np.full(found.size, INEXACT, np.uint8)
    # Later ones count more: a piece of an object is one, however much of it that may be.
    for kind, ids in (
        (FOUND, pairs.labels),
        (INVENTED, mistakes.invented),
        (SPLIT, mistakes.pieces),
        (MERGED, mistakes.merged),
    ):
        kinds[np.isin(found, ids)] = kind
    kinds[found == 0] = 0
    counts = {kind: int((kinds == kind).sum()) for kind in (FOUND, INEXACT, SPLIT, MERGED, INVENTED)}
    missed = np.where(np.isin(truth, mistakes.missed), MISSED, 0).astype(np.uint8)
    return missed, kinds[np.searchsorted(found, labels)], {**counts, MISSED: int(mistakes.missed.size)}


def _of_classes(truth: Labels, labels: Labels) -> tuple[Kinds, Kinds, dict[int, int]]:
    """Return what is wrong at each voxel, and how many voxels are of each kind."""
    found = np.where(truth == labels, FOUND, np.where(truth == 0, INVENTED, INEXACT))
    found = np.where(labels == 0, 0, found).astype(np.uint8)
    missed = np.where((truth > 0) & (labels == 0), MISSED, 0).astype(np.uint8)
    kinds = (FOUND, INEXACT, INVENTED)
    return missed, found, {**{k: int((found == k).sum()) for k in kinds}, MISSED: int((missed > 0).sum())}


def _drawn(picture: Picture, ids: Labels, style: Style, times: int) -> Picture:
    """Outline the objects, errors with a thicker line where there is room, and tint them if the style fills."""
    ids, color = _enlarged(ids, times), np.asarray(style.color, np.uint8)
    if style.filled:
        tinted = (picture // 2 + color // 2).astype(np.uint8)
        picture = np.where((ids > 0)[..., np.newaxis], tinted, picture)
    lines = find_boundaries(ids, mode="inner" if style is STYLES[FOUND] or times == 1 else "thick")
    return np.where(lines[..., np.newaxis], color, picture)


def _with_legend(picture: Picture, counts: dict[int, int], classes: bool, caption: str) -> Image.Image:
    """Put below the picture what the colours mean, in as many lines as its width needs."""
    font = ImageFont.load_default(16)
    entries: list[tuple[Style, str]] = []
    for kind, style in STYLES.items():
        text = style.classes if classes else style.objects
        if text:
            unit = " voxels" if classes else ""
            entries.append((style, f"{text}: {counts[kind]}{unit}"))
    width = max(picture.shape[1], 640)
    lines = _wrapped([(30 + int(font.getlength(text)) + 24) for _, text in entries], width - 16)
    height = _LINE * (len(lines) + bool(caption)) + 16
    sheet = Image.new("RGB", (width, picture.shape[0] + height), BACKGROUND)
    sheet.paste(Image.fromarray(picture), (0, 0))
    draw, top = ImageDraw.Draw(sheet), picture.shape[0] + 8
    for line in lines:
        for index, left in line:
            style, text = entries[index]
            fill = tuple(part // 2 for part in style.color) if style.filled else None
            draw.rectangle([left + 8, top + 4, left + 26, top + 22], outline=style.color, fill=fill, width=3)
            draw.text((left + 34, top + 3), text, (255, 255, 255), font)
        top += _LINE
    if caption:
        draw.text((8, top + 3), caption, (255, 255, 255), font)
    return sheet


def _wrapped(lengths: Sequence[int], width: int) -> list[list[tuple[int, int]]]:
    """Return lines of (index, left) that fit a width."""
    lines: list[list[tuple[int, int]]] = [[]]
    left = 0
    for index, length in enumerate(lengths):
        if left and left + length > width:
            lines.append([])
            left = 0
        lines[-1].append((index, left))
        left += length
    return lines


def _enlarged(array: npt.NDArray[Any], times: int) -> npt.NDArray[Any]:
    return array.repeat(times, axis=0).repeat(times, axis=1)
