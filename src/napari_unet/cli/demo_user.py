"""A scripted user: looks at a few windows of an image and puts right what is wrong there, through the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box
from napari_unet.learning.overlap import count_overlaps
from napari_unet.session.session import Session

Labels = npt.NDArray[Any]
LOOKS_RIGHT = 0.7  # IoU with the truth from which an object is left as it is


@dataclass
class Corrections:
    """What the user did: windows looked at, objects deleted and drawn, share of the image that is known now."""

    windows: tuple[Box, ...] = ()
    deleted: int = 0
    drawn: int = 0
    known: float = 0.0


def choose_windows(shape: tuple[int, int], count: int, size: int, seed: int) -> tuple[Box, ...]:
    """Return `count` different cells of a grid over a plane, at random."""
    rows, columns = max(1, shape[0] // size), max(1, shape[1] // size)
    cells = np.random.default_rng(seed).permutation(rows * columns)[:count]
    return tuple(
        (slice(0, 1), slice(y * size, min((y + 1) * size, shape[0])), slice(x * size, min((x + 1) * size, shape[1])))
        for y, x in (divmod(int(cell), columns) for cell in cells)
    )


def correct(session: Session, image_id: str, truth: Labels, windows: tuple[Box, ...]) -> Corrections:
    """Correct the labels inside some windows; nothing is looked at elsewhere.

    In each window, wrong objects are deleted, objects that are missing then are painted as a stroke, and
    the window is accepted. An object that a window cuts is deleted or painted whole, as with a brush.

    Parameters
    ----------
    session : Session
        With a model chosen and the image segmented.
    image_id : str
        The image, a single plane.
    truth : ndarray of int, (Y, X)
        Objects as the user sees them.
    windows : tuple of Box
        (z, y, x) boxes, from `choose_windows`.
    """
    done = Corrections(windows)
    for window in windows:
        _correct_window(session, image_id, truth, window, done)
    done.known = session.known_counts(image_id)[0] / truth.size
    return done


def _correct_window(session: Session, image_id: str, truth: Labels, window: Box, done: Corrections) -> None:
    plane = _plane(session, image_id)
    view = (window[1], window[2])
    wrong, missing = set(_ids(plane[view])), set(_ids(truth[view]))
    while True:  # a wrong object may reach out of the window and hide further ones
        right = _right(truth, plane)
        mistaken = {label for label in wrong if label not in right}
        for label in mistaken:
            y, x = np.argwhere(plane == label)[0]
            hidden = _ids(truth[plane == label])
            session.delete_object(image_id, 0, (0, int(y), int(x)))
            missing.update(hidden)
            done.deleted += 1
        missing -= set(_right(truth, plane).values())
        in_the_way = set(_ids(plane[np.isin(truth, list(missing))])) - set(_right(truth, plane))
        if not in_the_way:
            break
        wrong = in_the_way
    for label in sorted(missing):
        _paint(session, image_id, truth == label)
        done.drawn += 1
    session.accept_box(image_id, 0, window, confirmed=True)


def _paint(session: Session, image_id: str, mask: npt.NDArray[np.bool_]) -> None:
    """Paint an object in one stroke, over nothing but background."""
    plane = _plane(session, image_id)
    mask = mask & (plane == 0)
    if not mask.any():
        return
    (top, left), (bottom, right) = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0) + 1
    box = (slice(0, 1), slice(int(top), int(bottom)), slice(int(left), int(right)))
    number = session.new_object_id(image_id)
    session.begin_stroke(image_id)
    plane[mask] = number
    session.end_stroke(image_id, 0, box, mask[np.newaxis, box[1], box[2]])


def _plane(session: Session, image_id: str) -> Labels:
    """Return the labels (Y, X) that the session shares with whoever paints."""
    labels = session.labels_array(image_id)
    if labels is None or labels.ndim != 2:
        raise ValueError("the scripted user corrects segmented images of one plane")
    return labels


def _right(truth: Labels, plane: Labels) -> dict[int, int]:
    """Return the labels that look right, each with the object of the truth that it is."""
    real, found, _, overlap = count_overlaps(truth, plane).objects()
    good = overlap >= LOOKS_RIGHT
    return dict(zip(found[good].tolist(), real[good].tolist(), strict=True))


def _ids(values: Labels) -> list[int]:
    labels: list[int] = np.unique(values[values > 0]).tolist()
    return labels
