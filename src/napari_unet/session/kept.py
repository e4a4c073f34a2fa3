"""The state of a running round on disk, so that it can go on after a crash.

::

    <folder>/training/known.npz     what was known when the round started; written once
                      round.state   weights, optimizer, best so far; replaced every ten seconds
                      round.json    which model, settings and images; replaced together with the state

The JSON file is written last and removed first: only where it is do the others count. A round that ends removes
them; what is there at the start was left by a process that was killed.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError, TrainingError, UserError
from napari_unet.image.boxes import Box
from napari_unet.io.atomic import atomic_path
from napari_unet.learning.settings import TrainSettings

if TYPE_CHECKING:
    from napari_unet.learning.reports import TrainReport
    from napari_unet.learning.trainer import Trainer
    from napari_unet.session.training_tasks import KnownImage

SAVE_EVERY = 10.0  # seconds between two states
LARGEST_SHARE = 0.05  # of the time, at most, goes into writing them
VERSION = 2
CROP_ARRAYS = ("labels", "known", "changed", "shown")

Snapshot = tuple[int, Box, dict[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class Interrupted:
    """What a killed round was about.

    Parameters
    ----------
    settings : TrainSettings
        Its budget and everything else.
    checkpoints : dict of str to str
        Weights hashes: "start", where it started; for a final model also "against", what it is compared with.
    images : tuple of (str, tuple of int, int)
        Id, shape (T, Z, Y, X) and number of crops of each image.
    seconds, progress : float
        Spent, and the share of the budget, 0 to 1.
    final : bool
        A final model.
    """

    settings: TrainSettings
    checkpoints: dict[str, str]
    images: tuple[tuple[str, tuple[int, ...], int], ...]
    seconds: float = 0.0
    progress: float = 0.0
    final: bool = False

    @property
    def sentence(self) -> str:
        """What was interrupted, for the panel."""
        what = "The final model" if self.final else "A round of training"
        return f"{what} was interrupted after {self.progress:.0%} of its budget."


@dataclass(frozen=True)
class KeptState:
    """The three files of one round, in the folder of the work.

    Parameters
    ----------
    folder : str
        Of the work.
    every : float
        Seconds between two states.
    resume : bool
        Go on from the state that is there.
    checkpoints : dict of str to str
        See `Interrupted`.
    final : bool
        See `Interrupted`.
    """

    folder: str
    every: float = SAVE_EVERY
    resume: bool = False
    checkpoints: dict[str, str] = field(default_factory=dict)
    final: bool = False

    @property
    def facts(self) -> Path:
        """The JSON file."""
        return Path(self.folder) / "training" / "round.json"

    @property
    def state(self) -> Path:
        """The file of the trainer's state."""
        return Path(self.folder) / "training" / "round.state"

    @property
    def crops(self) -> Path:
        """The file of what was known."""
        return Path(self.folder) / "training" / "known.npz"

    def remove(self) -> None:
        """Remove the files, and what a killed process left half-written of them."""
        with suppress(OSError):
            self.facts.unlink(missing_ok=True)
        shutil.rmtree(self.facts.parent, ignore_errors=True)

    def read(self) -> Interrupted | None:
        """Return what was interrupted; None if nothing was.

        Raises
        ------
        TrainingError
            If the files are damaged or of another version.
        """
        try:
            values = json.loads(self.facts.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise _damaged(self.facts) from error
        try:
            if values.pop("version") != VERSION:
                raise _damaged(self.facts)
            settings = values.pop("settings")
            patch = settings.get("patch")
            values["settings"] = TrainSettings(**{**settings, "patch": None if patch is None else tuple(patch)})
            values["images"] = tuple((name, tuple(shape), int(count)) for name, shape, count in values["images"])
            return Interrupted(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(self.facts) from error

    def read_crops(self, interrupted: Interrupted) -> list[list[Snapshot]]:
        """Return what was known in each image when the round started: time point, box and arrays of each crop.

        Raises
        ------
        TrainingError
            If the file is damaged.
        """
        try:
            with np.load(self.crops, allow_pickle=False) as stored:
                return [
                    [_crop(stored, f"{image}.{crop}") for crop in range(count)]
                    for image, (_, _, count) in enumerate(interrupted.images)
                ]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise _damaged(self.crops) from error

    def write(self, trainer: Trainer, images: Sequence[KnownImage], report: TrainReport, first: bool) -> None:
        """Write the state of a trainer between two steps; the first time also what it learns from."""
        if first:
            self.remove()
            self._make_folder()
            with atomic_path(self.crops, overwrite=True) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **_arrays(images))
        trainer.save_state(self.state)
        facts = Interrupted(
            trainer.settings,
            self.checkpoints,
            tuple((image.image_id, tuple(image.source.shape), len(image.crops)) for image in images),
            report.seconds,
            report.progress,
            self.final,
        )
        with atomic_path(self.facts, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"version": VERSION, **asdict(facts)}), "utf-8")

    def _make_folder(self) -> None:
        try:
            self.facts.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder '{self.facts.parent}' cannot be made: {error.strerror}.", "Check the folder and the disk."
            ) from error

    def run(
        self, trainer: Trainer, images: Sequence[KnownImage], should_stop: Callable[[], bool]
    ) -> Iterator[TrainReport]:
        """Run a trainer, from the kept state if asked to, and keep its state meanwhile; yield what it reports."""
        try:
            if self.resume:
                trainer.load_state(self.state)
            else:
                self.remove()
            first, written, wait = not self.resume, time.perf_counter(), self.every
            for report in trainer.run(should_stop):
                yield report
                begin = time.perf_counter()
                if begin >= written + wait and report.step and report.progress < 1:
                    try:
                        self.write(trainer, images, report, first)
                    except UserError:
                        # A full disk ends the keeping, not the round, which says so itself when it is saved.
                        self.remove()
                        wait = math.inf
                        continue
                    first, written = False, time.perf_counter()
                    wait = max(self.every, (written - begin) / LARGEST_SHARE)
        except Exception:
            # What failed once would fail again.
            self.remove()
            raise


def _arrays(images: Sequence[KnownImage]) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for i, image in enumerate(images):
        for j, crop in enumerate(image.crops):
            place = [crop.t, *(end for part in crop.box for end in (part.start, part.stop))]
            arrays[f"{i}.{j}.place"] = np.asarray(place, np.int64)
            arrays |= {f"{i}.{j}.{name}": getattr(crop, name) for name in CROP_ARRAYS}
    return arrays


def _crop(stored: Any, key: str) -> Snapshot:
    t, z0, z1, y0, y1, x0, x1 = (int(number) for number in stored[f"{key}.place"])
    box = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
    return t, box, {name: stored[f"{key}.{name}"] for name in CROP_ARRAYS}


def _damaged(path: Path) -> TrainingError:
    return TrainingError(
        f"What was kept of an interrupted round, {path.name!r}, is damaged or of another version.",
        "Start the round again.",
    )
