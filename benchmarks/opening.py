"""From *Open…* to the first labels on an image of 1024 × 1024, for common kinds of checkpoint.

    python benchmarks/opening.py --zoo WEIGHTS

A session with a worker process, as the panel uses it, without a window; the worker has started beforehand, as it has
when the panel stands, and nothing is known of the model: each kind has a new session and an empty cache. What no file
says is asked, and answered at once by what the form suggests. WEIGHTS is the package "UNet 2D Nuclei Broad"; its
TorchScript is allowed to run. A kind whose library is not installed is left out, and said. Exits with 1 if the first
labels come later than in five seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.jobs import JobRunner
from napari_unet.model.builtin import builtin_path
from napari_unet.model.checkpoint import Checkpoint, default_classes, load_checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.consent import remember
from napari_unet.model.families import milesial
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session
from napari_unet.session.asking import ModelQuestion

SIZE = 1024
TARGET = 5.0  # s
STARTING = 8.0  # s for the worker process to start
MODEL = "nuclei-2d"
WIDTHS = (64, 128, 256, 512, 1024)  # of the network as its authors publish it


@dataclass(frozen=True)
class Timed:
    """One kind of checkpoint.

    Parameters
    ----------
    asked : str
        What the form asks; empty if nothing.
    opened, first, complete : float
        Seconds until the model is there, until its first labels, until all labels.
    """

    asked: str
    opened: float
    first: float
    complete: float


def milesial_file(folder: Path, widths: tuple[int, ...] = WIDTHS) -> Path:
    """Write the state dict of milesial/Pytorch-UNet."""
    checkpoint = Checkpoint.from_config(UNetConfig(features=widths), default_classes(2), name="x")
    torch.save(dict(milesial.pack(checkpoint)), folder / "MODEL.pth")
    return folder / "MODEL.pth"


def monai_file(folder: Path) -> Path:
    """Write the state dict of a UNet of MONAI; raises ImportError without it."""
    networks = importlib.import_module("monai.networks.nets")
    network = networks.UNet(
        spatial_dims=2, in_channels=1, out_channels=2, channels=(32, 64, 128, 256), strides=(2, 2, 2), num_res_units=2
    )
    torch.save(network.state_dict(), folder / "best_metric_model.pth")
    return folder / "best_metric_model.pth"


def own_file(folder: Path) -> Path:
    """Write one of our own files."""
    return load_checkpoint(builtin_path(MODEL)).save(folder / "nuclei.safetensors")


def zoo_package(weights: Path) -> Path:
    """Allow the package's TorchScript, and return its description."""
    remember(hashlib.sha256((weights / "weights.pt").read_bytes()).hexdigest(), "weights.pt")
    return weights / "bioimageio.yaml"


def measured(path: Path, source: ImageSource, runner: JobRunner, starting: float = STARTING) -> Timed:
    """Open a checkpoint in a new session, answer what is asked, and segment.

    Parameters
    ----------
    path : Path
        The file or folder.
    source : ImageSource
        The image.
    runner : JobRunner
        Where jobs run.
    starting : float
        Seconds that the worker gets to start.
    """
    session = Session(runner, WorkFolder.create(tempfile.mkdtemp()))
    asked: list[ModelQuestion] = []
    first: list[float] = []
    errors: list[str] = []

    def answer(question: ModelQuestion) -> None:
        asked.append(question)
        session.answer(question, {})

    def changed(*place: object) -> None:
        first.append(time.perf_counter())

    session.events.answers_needed.connect(answer)
    session.events.labels_changed.connect(changed)
    session.events.message.connect(lambda level, text, _: errors.append(text) if level == "error" else None)
    image_id = session.add_image(source)
    session.start_with(MODEL)
    session.warm("compute")
    wait(session, lambda: not session.busy, starting)
    before, start = session.model, time.perf_counter()
    session.select_model(path)
    wait(session, lambda: not session.jobs)
    opened = time.perf_counter()
    if session.model is before:
        raise SystemExit(f"{path.name}: {' '.join(errors)}")
    session.segment(image_id, view=tuple(slice(0, length) for length in source.shape[1:]))
    wait(session, lambda: not session.jobs and not session.busy)
    complete = time.perf_counter()
    session.close()
    if errors or not first:
        raise SystemExit(f"{path.name}: {' '.join(errors) or 'there were no labels'}")
    unknown = ", ".join(name for question in asked for name in question.questions.unknown)
    return Timed(unknown, opened - start, first[0] - start, complete - start)


def wait(session: Session, done: Callable[[], bool], least: float = 0.0) -> None:
    """Deliver messages until `done`, for `least` seconds at the least."""
    start = time.perf_counter()
    while time.perf_counter() - start < least or not done():
        session.deliver()
        time.sleep(0.002)


def main() -> int:
    """Measure each kind and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoo", type=Path, help="the folder of the package")
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    arguments = parser.parse_args()
    source = ImageSource.from_array(nuclei_2d((SIZE, SIZE), seed=3)[0], axes="YX", name="nuclei")
    kinds: dict[str, Callable[[Path], Path]] = {
        "ours": own_file,
        "milesial, 31 million weights": milesial_file,
        "MONAI UNet, residual": monai_file,
    }
    if arguments.zoo:
        kinds["bioimage.io, TorchScript of 512²"] = lambda folder: zoo_package(arguments.zoo)
    late = False
    print("| checkpoint | asked | opened, s | first labels, s | all labels, s |\n|---|---|---|---|---|", flush=True)
    for kind, write in kinds.items():
        runs = []
        for _ in range(arguments.runs):
            with tempfile.TemporaryDirectory() as place:
                os.environ["NAPARI_UNET_CACHE"] = os.environ["NAPARI_UNET_CONFIG"] = place
                try:
                    path = write(Path(place))
                except ImportError as error:
                    print(f"| {kind} | left out: {error} | – | – | – |", flush=True)
                    break
                runs.append(measured(path, source, JobRunner("process")))
        if not runs:
            continue
        middle = sorted(runs, key=lambda one: one.first)[len(runs) // 2]
        late = late or middle.first > TARGET
        seconds = f"{middle.opened:.1f} | {middle.first:.1f} | {middle.complete:.1f}"
        print(f"| {kind} | {middle.asked or 'nothing'} | {seconds} |", flush=True)
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
