"""A piece of work: a session with the task's training images, and what the annotator did to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interactive_parts.task import Labels, Task
from napari_unet.image.boxes import Box, whole
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.learning.edits import Edit
from napari_unet.learning.identity import inherit_ids
from napari_unet.learning.truth import Point, Truth
from napari_unet.model.header import COLORS, ClassInfo
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session
from napari_unet.session.steps import LabelStep

USER_IDS = 1_000_000  # ids of objects that the recorded user makes begin here, above those of any prediction

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known about one training image: all arrays (Z, Y, X)."""

    index: int
    source: ImageSource
    labels: Labels
    known: Mask
    changed: Mask


@dataclass(frozen=True, eq=False)
class Deed:
    """One thing that the annotator did: in which image, what became known, and the clock after it."""

    index: int
    edit: Edit
    seconds: float


class Work:
    """A session on the training images of a task.

    Parameters
    ----------
    task : Task
        What is to be learned.
    seed : int
        Seed of training and of the held-back blocks.
    folder : Path
        Where the session keeps models and scores.
    runner : JobRunner, optional
        Where jobs run; in this process by default.
    """

    def __init__(self, task: Task, seed: int, folder: Path, runner: JobRunner | None = None) -> None:
        self.task = task
        self.session = Session(runner or JobRunner("inline"), WorkFolder.create(folder))
        self.session.settings = replace(self.session.settings, device="cpu", seed=seed)
        self.session.events.message.connect(_fail)
        self.ids = [self.session.add_image(example.source) for example in task.train]
        if task.parent is None:
            classes = tuple(ClassInfo(name, COLORS[i]) for i, name in enumerate(task.classes))
            self.session.new_model(classes, ndim=task.ndim, in_channels=task.in_channels, name=task.name)
        else:
            self.session.select_model(task.parent)
        while self.session.busy:
            self.session.deliver(0.05)
        self.start = self.session.need_model()
        self.shown: set[int] = set()
        self.deeds: list[Deed] = []
        self.last: Deed | None = None

    def detach(self) -> None:
        """Keep the session from training by itself: another rule does that here."""
        self.session.set_model(replace(self.session.need_model(), untrained=False))

    def close(self) -> None:
        """End the session."""
        self.session.close()

    # ---- what the annotator sees -----------------------------------------------------------------

    def truth(self, index: int) -> Truth:
        """Return the session's ledger of an image (labels on screen, known, prediction)."""
        return self.session.ensure_labels(self.ids[index]).truth

    def labels(self, index: int) -> Labels:
        """Return the labels on screen, (Z, Y, X)."""
        return self.truth(index).labels[0]

    def known(self, index: int) -> Mask:
        """Return what is known, (Z, Y, X)."""
        return self.truth(index).known[0]

    def show(self, index: int, found: Labels) -> None:
        """Put a prediction on screen; it shows where nothing is known."""
        truth = self.truth(index)
        values = np.asarray(found).reshape(truth.shape)
        if truth.instances:
            values = inherit_ids(values, truth, 0)[values]
        truth.write_prediction(0, whole(truth.shape), values)
        self.shown.add(index)

    # ---- what the annotator does -----------------------------------------------------------------

    def paint(self, index: int, box: Box, mask: Mask, value: int, seconds: float) -> None:
        """Paint a value where `mask` in a box, as one stroke."""
        image_id = self.ids[index]
        self.session.begin_stroke(image_id)
        self.labels(index)[box][mask] = value
        self.session.end_stroke(image_id, 0, box, mask)
        self._log(index, seconds)

    def accept_view(self, index: int, box: Box, seconds: float) -> None:
        """Accept a view as it is."""
        self.session.accept_box(self.ids[index], 0, box, confirmed=True)
        self._log(index, seconds)

    def accept_object(self, index: int, point: Point, seconds: float) -> None:
        """Accept the object under a voxel."""
        self.session.accept_object(self.ids[index], 0, point)
        self._log(index, seconds)

    def delete(self, index: int, point: Point, seconds: float) -> None:
        """Delete the object under a voxel."""
        self.session.delete_object(self.ids[index], 0, point)
        self._log(index, seconds)

    def join(self, index: int, points: tuple[Point, ...], seconds: float) -> None:
        """Join the objects under several voxels."""
        self.session.join_objects(self.ids[index], 0, points)
        self._log(index, seconds)

    def split(self, index: int, first: Point, second: Point, seconds: float) -> None:
        """Split the object that holds both voxels."""
        self.session.split_object(self.ids[index], 0, first, second)
        self._log(index, seconds)

    def new_id(self, index: int) -> int:
        """Return the id of a new object."""
        self.truth(index).see(USER_IDS)
        return self.session.new_object_id(self.ids[index])

    def _log(self, index: int, seconds: float) -> None:
        step = self.session.history.newest
        if not isinstance(step, LabelStep) or not isinstance(step.change, Edit):
            return
        if not self.deeds or step.change is not self.deeds[-1].edit:
            self.last = Deed(index, step.change, seconds)
            self.deeds.append(self.last)

    def replay(self, deeds: Iterable[Deed], opened: Callable[[int], None] = lambda index: None) -> None:
        """Do what was recorded: the same voxels become known with the same values.

        Parameters
        ----------
        deeds : iterable of Deed
            In their order.
        opened : callable
            Told the index of each image that comes on screen.
        """
        for deed in deeds:
            if self.last is None or self.last.index != deed.index:
                opened(deed.index)
            self.last = deed
            truth, edit = self.truth(deed.index), deed.edit
            if truth.instances:
                # The object is the unit, and its outline is the one that the recorded user saw.
                truth.see(int(edit.after.labels.max(initial=0)))
                edit.redo(truth)
                image_id = self.ids[deed.index]
                self.session.record("replay", image_id, self.session.ensure_labels(image_id), edit)
                continue
            before, after = edit.before, edit.after
            mask = after.known & (~before.known | (after.labels != before.labels))
            image_id = self.ids[deed.index]
            self.session.begin_stroke(image_id)
            self.labels(deed.index)[edit.box][mask] = after.labels[mask]
            self.session.end_stroke(image_id, 0, edit.box, mask)

    # ---- what a rule gets ------------------------------------------------------------------------

    def snapshot(self) -> list[Known]:
        """Return what is known in every image in which something is."""
        found = []
        for index, example in enumerate(self.task.train):
            labels = self.session.labels(self.ids[index])
            if labels is None or not labels.truth.n_known:
                continue
            truth = labels.truth
            found.append(
                Known(index, example.source, truth.labels[0].copy(), truth.known[0].copy(), truth.changed[0].copy())
            )
        return found

    def fingerprint(self) -> str:
        """Return a hash of what is known, to show that every rule of a replay was given the same."""
        digest = hashlib.sha256()
        for known in self.snapshot():
            digest.update(np.packbits(known.known).tobytes())
            digest.update(np.where(known.known, known.labels, 0).astype(np.int64).tobytes())
        return digest.hexdigest()[:12]

    def last_view(self, size: int) -> tuple[int, Box]:
        """Return the image that was worked on last, and the view of `size` px around the last deed in it."""
        if self.last is None:
            raise RuntimeError("nothing was done yet")
        z, y, x = self.last.edit.box
        spans = []
        for part, n in zip((y, x), self.task.train[self.last.index].truth.shape[1:], strict=True):
            start = min(max((part.start + part.stop - size) // 2, 0), max(n - size, 0))
            spans.append(slice(start, min(start + size, n)))
        return self.last.index, (slice(z.start, z.start + 1), spans[0], spans[1])

    @property
    def n_known(self) -> int:
        """Known voxels in all images."""
        return sum(int(known.known.sum()) for known in self.snapshot())


def _fail(level: str, sentence: str, details: str) -> None:
    if level == "error":
        raise RuntimeError(f"The session reports an error: {sentence}\n{details}")
