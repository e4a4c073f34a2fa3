"""The real trainer of RootPainter, as a separate process that is spoken to through files."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from imageio.v3 import imread, imwrite

STARTED, FINISHED, ASK_EVERY = "Started main loop", "Training finished", 0.5
SEGMENT_PATIENCE = 900.0  # seconds that one image may take
START = Path(__file__).with_name("trainer_start.py")


class TrainerProcess:
    """``root-painter-trainer`` 0.3.3 with a folder of its own.

    The package is GPL, so it is a peer in a process of another interpreter; nothing of it is imported here. It reads
    images and annotations (red foreground, green background) and instructions as JSON files, and writes models,
    messages and segmentations.

    Parameters
    ----------
    python : Path
        Interpreter of an environment that has the package.
    folder : Path
        Where it works.
    patch : int
        Patch in px, one of 572 − 16 k.
    """

    def __init__(self, python: Path, folder: Path, patch: int) -> None:
        self.folder = folder
        self.places = {name: folder / "projects" / "work" / name for name in ("models", "messages", "logs", "seg")}
        self.places |= {part: folder / "projects" / "work" / "annotations" / part for part in ("train", "val")}
        self.places["dataset"] = folder / "datasets" / "images"
        for place in (*self.places.values(), folder / "instructions"):
            place.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "output.txt").open("wb")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            [str(python), str(START), "--syncdir", str(folder), "--patchsize", str(patch), "--maxworkers", "0"],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
        )

        # It clears its instructions when it starts, so the first must not come earlier.
        while STARTED not in (folder / "output.txt").read_text(errors="replace"):
            self._alive()
            time.sleep(ASK_EVERY)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def put_image(self, name: str, image: npt.NDArray[np.uint8]) -> None:
        """Write an image (Y, X) or (Y, X, 3) into the data set."""
        imwrite(self.places["dataset"] / f"{name}.png", image)

    def put_annotation(self, part: str, name: str, foreground: npt.NDArray[Any], background: npt.NDArray[Any]) -> None:
        """Write what is annotated in an image; `part` is "train" or "val"."""
        picture = np.zeros((*foreground.shape, 4), np.uint8)
        picture[foreground] = (255, 0, 0, 180)
        picture[background] = (0, 255, 0, 180)
        target = self.places[part] / f"{name}.png"
        temporary = target.with_name(f".{name}.png")
        imwrite(temporary, picture)
        os.replace(temporary, target)

    def train(self, cap: float) -> str:
        """Train until the trainer stops by its own rule, or `cap` seconds on the wall; return how it ended."""
        for message in self.places["messages"].iterdir():
            message.unlink()
        begin = time.monotonic()
        self._instruct("start_training", {
            "model_dir": self._relative("models"),
            "dataset_dir": self._relative("dataset"),
            "train_annot_dir": self._relative("train"),
            "val_annot_dir": self._relative("val"),
            "seg_dir": self._relative("seg"),
            "log_dir": self._relative("logs"),
            "message_dir": self._relative("messages"),
        })  # fmt: skip
        ended = f"capped at {cap:g} s"
        while time.monotonic() - begin < cap:
            self._alive()
            if any(message.name.startswith(FINISHED) for message in self.places["messages"].iterdir()):
                ended = "its own stopping rule"
                break
            time.sleep(ASK_EVERY)
        self._instruct("stop_training", {})
        self._instruct("trainer_status", {})
        status = self.folder / "trainer_status.json"
        status.unlink(missing_ok=True)
        while not (status.exists() and not json.loads(status.read_text())["training"]):
            self._alive()
            time.sleep(ASK_EVERY)
            if not any((self.folder / "instructions").iterdir()):
                self._instruct("trainer_status", {})
        return ended

    def epochs(self) -> int:
        """Return how many epochs have ended since the beginning."""
        return sum(max(0, len(p.read_text().splitlines()) - 1) for p in self.places["logs"].glob("*_cur_val.csv"))

    def segment(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Segment an image with the newest model; return its foreground (Y, X)."""
        name = f"asked-{uuid.uuid4().hex[:12]}"
        folder = self.folder / "asked"
        folder.mkdir(exist_ok=True)
        imwrite(folder / f"{name}.png", image)
        self._instruct("segment", {
            "dataset_dir": "asked",
            "seg_dir": self._relative("seg"),
            "model_dir": self._relative("models"),
            "file_names": [f"{name}.png"],
        })  # fmt: skip
        answer = self.places["seg"] / f"{name}.png"
        begin = time.monotonic()
        while not answer.exists():
            self._alive()
            if time.monotonic() - begin > SEGMENT_PATIENCE:
                raise RuntimeError(f"RootPainter's trainer gave no segmentation in {SEGMENT_PATIENCE} s.")
            time.sleep(0.05)
        time.sleep(0.05)  # it copies the file into its place
        found: npt.NDArray[np.bool_] = imread(answer)[..., 3] > 0
        return found

    def _relative(self, name: str) -> str:
        return self.places[name].relative_to(self.folder).as_posix()

    def _instruct(self, name: str, values: dict[str, Any]) -> None:
        target = self.folder / "instructions" / f"{name}_{uuid.uuid4().hex[:8]}"
        temporary = target.with_name(f".{target.name}")
        temporary.write_text(json.dumps(values))
        os.replace(temporary, target)

    def _alive(self) -> None:
        if self._process.poll() is not None:
            self._log.flush()
            said = (self.folder / "output.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"RootPainter's trainer ended with exit code {self._process.returncode}:\n{said}")
