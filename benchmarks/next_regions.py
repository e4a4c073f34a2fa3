"""Next: whether the regions it chooses hold more errors than random ones, and how long it takes.

    python benchmarks/next_regions.py DATA

DATA is the folder that holds ``dsb2018``. Only images of ``recipes/nuclei-2d.csv`` that the model was tested
on are used, five at a time, and of those only the ones that are divided into at least nine regions.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels
from napari_unet.jobs import JobRunner
from napari_unet.learning.evaluation import match_objects
from napari_unet.learning.places import RegionGrid
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

MODEL = "nuclei-2d"
GROUP, DRAWS = 5, 3


def errors(truth: npt.NDArray[np.integer], found: npt.NDArray[np.integer], box: Box) -> tuple[float, float]:
    """Return the share of pixels whose foreground is wrong, and the number of wrong objects at an IoU of 0.5."""
    a, b = truth[box[1:]], found[box[1:]]
    matches = match_objects(a, b, 0.5)
    return float(((a > 0) != (b > 0)).mean()), matches.false_positives + matches.false_negatives


def new_session(mode: str) -> Session:
    """Return a session whose errors end the benchmark."""
    session = Session(JobRunner(mode), WorkFolder.create(tempfile.mkdtemp()))  # type: ignore[arg-type]

    def told(level: str, sentence: str, details: str) -> None:
        if level == "error":
            raise SystemExit(f"{sentence}\n{details}")

    session.events.message.connect(told)
    session.start_with(MODEL)
    return session


def test_images(data: Path) -> list[tuple[Path, Path]]:
    """Return image and label files of the model's test images that have at least nine regions."""
    found = []
    with (Path(__file__).parents[1] / "recipes" / "nuclei-2d.csv").open() as lines:
        names = [row["id"] for row in csv.DictReader(lines) if row["part"] == "test"]
    for name in sorted(names):
        image, labels = data / "images" / f"{name}.png", data / "labels" / f"{name}.tif"
        if len(RegionGrid(read_image(image).shape, 2)) >= 9:
            found.append((image, labels))
    return found


def compare(files: list[tuple[Path, Path]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean errors of four regions that Next chose, and of all regions: what a random one has on average."""
    session = new_session("inline")
    truths = {}
    for image, labels in files:
        image_id = session.add_image(read_image(image))
        truths[image_id] = np.squeeze(read_labels(labels)[0])
        session.segment(image_id)
    found = {i: np.squeeze(session.labels_array(i)).copy() for i in truths}  # type: ignore[arg-type]
    chosen: list[tuple[float, float]] = []
    while len(chosen) < 4:
        here = session.next_region()
        if here is None:
            break
        if here.kind == "uncertain":
            chosen.append(errors(truths[here.image_id], found[here.image_id], here.box))
        session.skip_region()
    every = []
    for image_id, truth in truths.items():
        grid = RegionGrid(session.image(image_id).source.shape, 2)
        every += [errors(truth, found[image_id], grid.place(n)[1]) for n in range(len(grid))]
    session.close()
    return np.mean(chosen, axis=0), np.mean(every, axis=0)


def wait(session: Session, done: Callable[[], bool]) -> float:
    """Deliver messages until `done`; return the seconds."""
    start = time.perf_counter()
    while not done():
        session.deliver()
        time.sleep(0.005)
    return time.perf_counter() - start


def latency(name: str, array: npt.NDArray[np.generic], axes: str) -> None:
    """Print how long the search takes after a segmentation, and how long the user waits."""
    session = new_session("process")
    image_id = session.add_image(ImageSource.from_array(array, axes=axes))
    session.segment(image_id)
    wait(session, lambda: not session.jobs)
    filled = wait(session, lambda: "suggest" in session.jobs) + wait(session, lambda: not session.jobs)
    reached: list[object] = []
    session.events.suggestion_ready.connect(reached.append)
    waits = []
    for n in range(4):
        session.next_region()
        waits.append(wait(session, lambda n=n: len(reached) > n))  # type: ignore[misc]
    print(f"| {name} | {filled:.1f} s after the segmentation | {max(waits):.2f} s at most |")
    session.close()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    files = test_images(parser.parse_args().data / "dsb2018")
    print("| images | pixels wrong: chosen, random | wrong objects per region: chosen, random |\n|---|---|---|")
    rows = []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(files))
        for start in range(0, len(files) - GROUP + 1, GROUP):
            chosen, every = compare([files[i] for i in order[start : start + GROUP]])
            rows.append((*chosen, *every))
            pixels, objects = (f"{a:.3f}, {b:.3f}" for a, b in zip(chosen, every, strict=True))
            print(f"| draw {draw}, {start // GROUP} | {pixels} | {objects} |", flush=True)
    chosen_px, chosen_wrong, px, wrong = np.mean(rows, axis=0)
    print(f"| mean of {len(rows)} | {chosen_px:.3f}, {px:.3f} | {chosen_wrong:.2f}, {wrong:.2f} |")
    plane, _ = nuclei_2d((512, 512), seed=1)
    print("\n| | the queue is full | Next answers within |\n|---|---|---|")
    latency("4096 × 4096", np.tile(plane, (8, 8)), "YX")
    latency("100 times, 512 × 512", np.stack([np.roll(plane, 5 * n, 0) for n in range(100)]), "TYX")


if __name__ == "__main__":
    main()
