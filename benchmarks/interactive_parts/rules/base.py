"""What every rule is to the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from interactive_parts.task import Labels, Predict, Task
from interactive_parts.work import Work
from napari_unet.image.source import ImageSource

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a round gave.

    Parameters
    ----------
    verdict : str
        "adopt", "keep", "preliminary-kept", "preliminary-discarded"; for rules that decide nothing "adopt".
    candidate : callable
        Labels (Z, Y, X) of an image by what the round trained, whether it was adopted or not.
    steps : int
        Optimization steps made; trees, for a forest.
    note : str
        What else is to be remembered.
    """

    verdict: str
    candidate: Predict
    steps: int = 0
    note: str = ""


class Rule:
    """Turns what is known into a predictor.

    Subclass it, write `round`, and set `current` there; `predict` then answers with it. A rule that lives in the
    session, as ours does, also says how the annotator gets to see an image (`open_image`).

    Parameters
    ----------
    task : Task
        What is to be learned; a rule looks at nothing but its parent, kind and classes.
    seed : int
        Of everything that the rule draws.
    folder : Path
        Where it may write.
    """

    name: ClassVar[str]
    lives_in_session: ClassVar[bool] = False
    inherits: ClassVar[bool] = True  # goes on from the parent's network, so that it can forget

    def __init__(self, task: Task, seed: int, folder: Path) -> None:
        self.task, self.seed, self.folder = task, seed, folder
        self.current: Predict | None = None
        self.number = 0

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Whether the rule can do a task at all."""
        return True

    def general(self, task: Task) -> str | None:
        """Return what the session's model starts from where the task has no parent; nothing by default."""
        return None

    def close(self) -> None:
        """Let go of what the rule holds outside of Python; nothing by default."""

    def begin(self, work: Work) -> None:
        """Get ready, before anything is annotated."""
        work.detach()
        if self.task.parent is not None:
            self.current = predictor_of(load(self.task, self.seed))

    def round(self, work: Work, seconds: float) -> Outcome:
        """Learn from what is known in `work` for at most `seconds` of the processor."""
        raise NotImplementedError

    def predict(self, source: ImageSource) -> Labels | None:
        """Return the labels of an image by the current model; None while there is none."""
        return None if self.current is None else self.current(source)

    def open_image(self, work: Work, index: int) -> None:
        """Bring an image on the annotator's screen."""
        found = self.predict(self.task.train[index].source)
        if found is not None:
            work.show(index, found)


def load(task: Task, seed: int) -> Checkpoint:
    """Return the checkpoint that a task starts from: its parent, or an untrained network of full size."""
    from napari_unet.learning.quick import blank_checkpoint, untrained
    from napari_unet.model.checkpoint import load_checkpoint
    from napari_unet.model.header import COLORS, ClassInfo

    if task.parent is not None:
        return load_checkpoint(task.parent)
    classes = tuple(ClassInfo(name, COLORS[i]) for i, name in enumerate(task.classes))
    return untrained(blank_checkpoint(classes, task.ndim, task.in_channels, task.name, seed), seed)


def predictor_of(checkpoint: Checkpoint) -> Predict:
    """Return a predictor through the product's own path, in one thread on the CPU."""
    from napari_unet.inference.predictor import Predictor

    predictor = Predictor(checkpoint, device="cpu", threads=1)

    def predict(source: ImageSource) -> Labels:
        found = predictor.segment(source)
        return found if found.ndim == 3 else found[None]

    return predict
