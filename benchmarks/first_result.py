"""How soon labels stand: after two strokes of a new model, and after the first Segment of a large image.

Run it as ``python benchmarks/first_result.py``. A session with worker processes, as the panel uses it, without a
window; the worker processes are started beforehand, as the panel does when it opens.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from skimage.data import immunohistochemistry

from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.jobs import JobRunner
from napari_unet.model.header import ClassInfo
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

CLASSES = (ClassInfo("stroma", "#000000"), ClassInfo("gland", "#e69f00"))
STARTING = 8.0  # s for the worker process to start


def session_with_workers() -> Session:
    """Return a session whose errors end the benchmark."""
    session = Session(JobRunner("process"), WorkFolder.create(tempfile.mkdtemp()))

    def told(level: str, sentence: str, details: str) -> None:
        if level == "error":
            raise SystemExit(f"{sentence}\n{details}")

    session.events.message.connect(told)
    session.warm("compute")
    return session


def wait(session: Session, done: Callable[[], bool], least: float = 0.0) -> float:
    """Deliver messages until `done`, for `least` seconds at the least; return the seconds."""
    start = time.perf_counter()
    while time.perf_counter() - start < least or not done():
        session.deliver()
        time.sleep(0.005)
    return time.perf_counter() - start


def idle(session: Session) -> bool:
    """Whether nothing runs or waits."""
    return not session.jobs and not session.busy


def two_strokes(parent: str | None) -> float:
    """Return the seconds from the end of the second stroke to the labels of the whole image."""
    session = session_with_workers()
    source = ImageSource.from_array(immunohistochemistry(), axes="YXC", name="tissue", rgb=True)
    image_id = session.add_image(source)
    wait(session, lambda: True, STARTING)
    session.new_model(CLASSES, parent, in_channels=3)
    wait(session, lambda: not session.jobs)
    labels = session.ensure_labels(image_id).truth.labels
    strokes = ((slice(100, 108), slice(60, 140), 1), (slice(280, 288), slice(230, 300), 0))
    for rows, columns, value in strokes:
        session.begin_stroke(image_id)
        wait(session, lambda: True, 1.0)  # a stroke takes a second, and two pass to the next one
        labels[0, 0, rows, columns] = value
        last = (rows, columns, value) == strokes[-1]
        box = (slice(0, 1), rows, columns)
        session.end_stroke(image_id, 0, box, np.ones((1, 8, columns.stop - columns.start), bool))
        if not last:
            wait(session, lambda: True, 2.0)
    seconds = wait(session, lambda: idle(session))
    if session.need_model().untrained or not labels.any():
        raise SystemExit("The two strokes gave no result.")
    session.close()
    return seconds


def large_image(size: int = 4096) -> tuple[float, float]:
    """Return the seconds to the first labels, and to all of them, of a large image with ``nuclei-2d``."""
    session = session_with_workers()
    tile, _ = nuclei_2d((1024, 1024), seed=0)
    image_id = session.add_image(ImageSource.from_array(np.tile(tile, (size // 1024,) * 2), axes="YX", name="nuclei"))
    session.select_model("nuclei-2d")
    wait(session, lambda: True, STARTING)
    start = time.perf_counter()
    session.segment(image_id)
    array = session.ensure_labels(image_id).array
    wait(session, lambda: bool(array.any()))
    first = time.perf_counter() - start
    wait(session, lambda: idle(session))
    whole = time.perf_counter() - start
    session.close()
    return first, whole


def main() -> int:
    """Measure and print the table."""
    print("| figure | measured | target |\n|---|---|---|")
    for parent in (None, "nuclei-2d"):
        print(f"| two strokes, from {parent or 'nothing'} | {two_strokes(parent):.1f} s | 5 s |", flush=True)
    first, whole = large_image()
    print(f"| 4096 × 4096 with `nuclei-2d`, first labels | {first:.1f} s | |")
    print(f"| 4096 × 4096 with `nuclei-2d`, all labels | {whole:.1f} s | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
