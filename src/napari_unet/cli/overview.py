"""The demo's overview picture: image, labels before and after, truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from napari_unet.io.atomic import atomic_path
from napari_unet.learning.overlap import count_overlaps

if TYPE_CHECKING:
    from napari_unet.cli.demo_play import Played

Labels = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]

MATCHED, WRONG, TRUTH, FRAME = (0, 230, 0), (255, 0, 255), (0, 230, 230), (255, 255, 255)
BACKGROUND = (32, 32, 32)
ENLARGED, MARGIN, CAPTION, LEGEND = 2, 8, 44, 40
MATCH = 0.5  # IoU
MEANING = (
    (MATCHED, "matches the truth (IoU at least 0.5)"),
    (WRONG, "matches nothing in the truth"),
    (TRUTH, "truth"),
    (FRAME, "window that the user corrected; not scored"),
)


def write_overview(path: Path, rows: Sequence[Played]) -> None:
    """Write one row of panels per image as PNG.

    Green outlines match an object of the truth (IoU ≥ 0.5), magenta ones do not; the truth is cyan.
    White frames show where the user looked: nothing in there counts in the scores. A legend says so below.
    """
    panels = [_row(row) for row in rows]
    legend = _legend()
    width = max(sum(panel.shape[1] + MARGIN for _, panel in row) for row in panels) + MARGIN
    width = max(width, legend.width)
    height = sum(max(panel.shape[0] for _, panel in row) + CAPTION + MARGIN for row in panels) + LEGEND
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row in panels:
        left = MARGIN
        for caption, panel in row:
            draw.text((left, top + 10), caption, FRAME, ImageFont.load_default(22))
            sheet.paste(Image.fromarray(panel), (left, top + CAPTION))
            left += panel.shape[1] + MARGIN
        top += max(panel.shape[0] for _, panel in row) + CAPTION + MARGIN
    sheet.paste(legend, (0, top))
    with atomic_path(path, overwrite=True) as temporary:
        sheet.save(temporary, format="PNG")


def _legend() -> Image.Image:
    """Draw what the colours mean, in a line."""
    font = ImageFont.load_default(20)
    lengths = [int(font.getlength(text)) for _, text in MEANING]
    line = Image.new("RGB", (MARGIN + sum(length + 58 for length in lengths), LEGEND), BACKGROUND)
    draw, left = ImageDraw.Draw(line), MARGIN
    for (color, text), length in zip(MEANING, lengths, strict=True):
        draw.rectangle([left, 10, left + 22, 30], outline=color, width=3)
        draw.text((left + 30, 8), text, FRAME, font)
        left += length + 58
    return line


def _row(played: Played) -> list[tuple[str, Picture]]:
    plain = displayed(played.image.source.data)
    (name, (before, after)), *_ = played.scores.items()
    truth = played.image.truth
    return [
        (played.image.source.name, _enlarged(plain)),
        (f"before: {name} {before:.2f}", _framed(_compared(plain, played.before, truth), played)),
        (f"after: {name} {after:.2f}", _framed(_compared(plain, played.after, truth), played)),
        ("exact truth" if played.image.exact else "rough truth", _outlined(plain, truth, truth > 0, TRUTH)),
    ]


def displayed(image: npt.NDArray[Any]) -> Picture:
    """Return an image (Y, X) or (Y, X, 3) as 8-bit RGB; gray values between the percentiles 0.5 and 99.8."""
    if image.ndim == 3:
        return np.asarray(image[..., :3], np.uint8)
    low, high = np.percentile(image, [0.5, 99.8])
    gray = np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255
    return np.repeat(gray.astype(np.uint8)[..., np.newaxis], 3, axis=2)


def _compared(plain: Picture, labels: Labels, truth: Labels) -> Picture:
    _, found, _, overlap = count_overlaps(truth, labels).objects()
    good = np.isin(labels, found[overlap >= MATCH])
    return _outlined(_outlined(plain, labels, good, MATCHED), labels, (labels > 0) & ~good, WRONG)


def _outlined(picture: Picture, labels: Labels, where: npt.NDArray[np.bool_], color: tuple[int, int, int]) -> Picture:
    """Draw the outlines of objects; a picture that is not enlarged yet is enlarged first."""
    if picture.shape[:2] == labels.shape:
        picture = _enlarged(picture)
    lines = find_boundaries(_enlarged(np.where(where, labels, 0)), mode="inner")
    return np.where(lines[..., np.newaxis], np.asarray(color, np.uint8), picture)


def _framed(picture: Picture, played: Played) -> Picture:
    sheet = Image.fromarray(picture)
    draw = ImageDraw.Draw(sheet)
    for _, y, x in played.corrections.windows:
        corners = [x.start * ENLARGED, y.start * ENLARGED, x.stop * ENLARGED - 1, y.stop * ENLARGED - 1]
        draw.rectangle(corners, outline=FRAME, width=2)
    return np.asarray(sheet)


def _enlarged(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
