"""(d) The real trainer of RootPainter, to its own stopping rule, against wall-clock."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from interactive_parts.rules.base import Outcome, Rule
from interactive_parts.rules.trainer_process import TrainerProcess
from interactive_parts.task import Labels, Task
from interactive_parts.work import Known, Work
from napari_unet.image.source import ImageSource

TILE = 640  # px; larger images are cut up, as its users are told to do
TRAIN_PER_VALIDATION = 5


class RealRootPainter(Rule):
    """``root-painter-trainer`` 0.3.3 with its own network, from nothing, until it stops or a cap on the wall.

    It knows two classes in 2D and gives no objects: for objects its foreground is cut into connected parts. Of its
    images, the first annotated one trains, the second validates, then one validates for five that train; without a
    second one the only image is cut in two.
    """

    name: ClassVar[str] = "rootpainter-trainer"
    inherits: ClassVar[bool] = False
    python: ClassVar[Path | None] = None  # interpreter that has the package; set by the command line
    cap: ClassVar[float] = 1800.0  # s on the wall, per round
    patch: ClassVar[int] = 252  # its own 572 takes an hour for an epoch on one core

    def __init__(self, task: Task, seed: int, folder: Path) -> None:
        super().__init__(task, seed, folder)
        if self.python is None:
            raise SystemExit(
                "The rule rootpainter-trainer needs the interpreter of an environment with root-painter-trainer; "
                "give it by --trainer-python."
            )
        self.process = TrainerProcess(self.python, folder / "root_painter", self.patch)
        self._parts: dict[str, str] = {}

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Whether a task has two classes in 2D."""
        return task.ndim == 2 and len(task.classes) == 2

    def begin(self, work: Work) -> None:
        """Nothing: it starts from nothing."""
        work.detach()

    def round(self, work: Work, seconds: float) -> Outcome:
        """Train until it stops by itself or the cap is reached; `seconds` are not its measure."""
        for one in work.snapshot():
            self._put(one)
        ended = self.process.train(self.cap)
        self.current = self._answer
        return Outcome("adopt", self._answer, self.process.epochs(), f"{ended}, {self.process.epochs()} epochs so far")

    def close(self) -> None:
        """End its process."""
        self.process.close()

    def _put(self, one: Known) -> None:
        picture = as_bytes(one.source)
        foreground = one.known[0] & (one.labels[0] > 0)
        background = one.known[0] & (one.labels[0] == 0)
        for name, box in self._tiles(one):
            if not one.known[0][box].any():
                continue
            if name not in self._parts:
                self._parts[name] = self._next_part()
                self.process.put_image(name, picture[box])
            self.process.put_annotation(self._parts[name], name, foreground[box], background[box])

    def _tiles(self, one: Known) -> list[tuple[str, tuple[slice, slice]]]:
        height, width = one.known.shape[1:]
        rows, columns = (max(1, round(n / TILE)) for n in (height, width))
        if len(self.task.train) == 1 and rows * columns == 1:
            rows, columns = (2, 1) if height >= width else (1, 2)
        spans = [np.linspace(0, n, k + 1).astype(int) for n, k in ((height, rows), (width, columns))]
        return [
            (f"{one.index:03d}-{r}-{c}", (slice(spans[0][r], spans[0][r + 1]), slice(spans[1][c], spans[1][c + 1])))
            for r in range(rows)
            for c in range(columns)
        ]

    def _next_part(self) -> str:
        given = list(self._parts.values())
        n_train, n_validation = given.count("train"), given.count("val")
        train = n_train == 0 or (n_validation > 0 and n_train < TRAIN_PER_VALIDATION * n_validation)
        return "train" if train else "val"

    def _answer(self, source: ImageSource) -> Labels:
        found = self.process.segment(as_bytes(source))
        if self.task.kind == "instances":
            return np.asarray(ndimage.label(found)[0], np.int64)[None]
        return found.astype(np.int64)[None]


def as_bytes(source: ImageSource) -> npt.NDArray[np.uint8]:
    """Return a 2D image as 8-bit gray (Y, X) or colour (Y, X, 3)."""
    image = source.read(0)[:, 0]
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (0.2, 99.8))
        image = (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(image, 0, -1)) if len(image) == 3 else image[0]
