"""What the annotator does in a model of classes: strokes, and views accepted where they are right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from interactive_parts.costs import Costs
from interactive_parts.strokes import draw_stroke, room_for_brush
from interactive_parts.task import Task
from interactive_parts.work import Work
from napari_unet.image.boxes import Box
from napari_unet.learning.evaluation import class_dice

Mask = npt.NDArray[np.bool_]

VIEW = 256  # px, edge of what is on screen at once
RIGHT = 0.95  # share of a view's voxels that must be right before it is accepted
RIGHT_CLASS = 0.9  # Dice coefficient that each of its classes must reach, or a rare class could be all wrong
LOOK = 0.1  # how often a person asks whether the view is right by now
SMALLEST_ERROR = 12  # px; what is smaller is not seen
BURST = 3  # strokes at most before the class changes
PLANES_SEEN = 4  # planes that a person looks at to choose where a stack is worst


class Painting:
    """The hand of the annotator for classes.

    Parameters
    ----------
    task : Task
        What is to be learned.
    generator : numpy.random.Generator
        The only source of chance.
    costs : Costs
        Seconds of each action.
    """

    def __init__(self, task: Task, generator: np.random.Generator, costs: Costs) -> None:
        self.task, self.generator, self.costs = task, generator, costs
        self._pointer = (0.0, 0.0)
        self._plane = 0
        self._class = 0
        self._left = 0  # strokes left of this class
        self._given: set[int] = set()  # classes that have had a stroke
        self._refused: set[int] = set()

    def look_again(self) -> None:
        """Forget what was seen: another image or another prediction is on screen."""
        self._left = 0
        self._refused = set()

    def act(self, work: Work, index: int, clock: float, end: float) -> float | None:
        """Do one thing and return the clock after it; None if nothing is left to do in this image.

        Nothing is done if the clock would stand later than `end` after it.
        """
        missing = [k for k in range(len(self.task.classes)) if k not in self._given and k not in self._refused]
        predicted = index in work.shown
        if not missing and predicted:
            if self.generator.random() < LOOK and (done := self._accept(work, index, clock, end)) is not None:
                return done
            return self._correct(work, index, clock, end)
        if self._left <= 0:
            if missing:
                self._class = missing[0]
                self._left = 1
            else:
                self._class = (self._class + 1) % len(self.task.classes)
                self._left = 1 + int(self.generator.integers(BURST))
            clock += self.costs.decide + self.costs.key
            clock += self._scroll(work, index)
        return self._spread(work, index, clock, end)

    def _scroll(self, work: Work, index: int) -> float:
        """Go to another plane of a stack now and then; return the seconds."""
        depth = self.task.train[index].truth.shape[0]
        before = min(self._plane, depth - 1)
        if depth > 1 and (self.generator.random() < 0.5 or self._plane >= depth):
            self._plane = int(self.generator.integers(depth))
        return abs(min(self._plane, depth - 1) - before) * self.costs.plane

    def _spread(self, work: Work, index: int, clock: float, end: float) -> float | None:
        """Paint where a class lies, anywhere: no prediction is on screen yet."""
        truth = self.task.train[index].truth
        z = min(self._plane, len(truth) - 1)
        region = (truth[z] == self._class) & ~work.known(index)[z]
        done = self._stroke(work, index, z, region, region, clock, end)
        self._left -= 1
        if done is None:
            if self._class not in self._given:
                if len(truth) > 1 and (truth == self._class).any():
                    self._plane = int(self.generator.choice(np.flatnonzero((truth == self._class).any(axis=(1, 2)))))
                else:
                    self._refused.add(self._class)
            self._left = 0
            return clock + self.costs.decide
        return done

    def _correct(self, work: Work, index: int, clock: float, end: float) -> float | None:
        """Paint the true class over a place that is wrong; large places rather than small ones."""
        truth, shown, known = self.task.train[index].truth, work.labels(index), work.known(index)
        planes = self._planes(len(truth))
        wrong = (shown[planes] != truth[planes]) & ~known[planes]
        found = []
        for number, z in enumerate(planes):
            for value in np.unique(truth[z][wrong[number]]):
                parts, count = ndimage.label(wrong[number] & (truth[z] == value))
                sizes = np.bincount(parts.ravel(), minlength=count + 1)
                found += [(int(sizes[k]), int(z), int(value), parts == k) for k in _largest(sizes, 8)]
        found = [one for one in found if one[0] >= SMALLEST_ERROR]
        weights = [size * float(np.exp(self.generator.normal(0, 0.7))) for size, *_ in found]
        for choice in np.argsort(weights)[::-1][:6]:
            _, z, value, place = found[int(choice)]
            start = clock + abs(z - self._plane) * self.costs.plane
            if value != self._class or z != self._plane:
                start += self.costs.decide + self.costs.key
            region = truth[z] == value
            done = self._stroke(work, index, z, region, place, start, end)
            if done is not None:
                self._plane, self._class = z, value
                return done
        done = self._accept(work, index, clock, end)
        if done is not None:
            return done
        self._class = int(self.generator.integers(len(self.task.classes)))
        return self._spread(work, index, clock + self.costs.decide, end)

    def _planes(self, depth: int) -> npt.NDArray[np.int64]:
        if depth == 1:
            return np.zeros(1, np.int64)
        others = self.generator.choice(depth, min(depth, PLANES_SEEN - 1), replace=False)
        return np.unique(np.append(others, min(self._plane, depth - 1)))

    def _stroke(
        self, work: Work, index: int, z: int, region: Mask, place: Mask, clock: float, end: float
    ) -> float | None:
        """Paint in `region` (where the class is right), over `place`; None if no brush fits."""
        if not place.any():
            return None
        y, x = (slice(max(p.start - 8, 0), p.stop + 8) for p in ndimage.find_objects(place.astype(np.uint8))[0])
        fit = room_for_brush(region[y, x], self.generator)
        if fit is None:
            return None
        allowed, radius = fit
        begin = allowed & place[y, x]
        if not begin.any():
            return None
        # The stroke stays near what is wrong: people do not paint over what is right on purpose.
        near = ndimage.binary_dilation(place[y, x], iterations=max(radius, 1))
        where = np.flatnonzero(begin)
        first = np.unravel_index(int(self.generator.choice(where)), begin.shape)
        stroke = draw_stroke(allowed & near, radius, self.generator, (int(first[0]), int(first[1])))
        start = (stroke.start[0] + y.start, stroke.start[1] + x.start)
        travelled = float(np.hypot(start[0] - self._pointer[0], start[1] - self._pointer[1]))
        done = clock + self.costs.stroke(stroke.length, travelled)
        if done > end:
            return done
        rows, columns = (np.flatnonzero(stroke.mask.any(axis=axis)) for axis in (1, 0))
        inner = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        box: Box = (
            slice(z, z + 1),
            slice(int(y.start + rows[0]), int(y.start + rows[-1] + 1)),
            slice(int(x.start + columns[0]), int(x.start + columns[-1] + 1)),
        )
        value = int(self.task.train[index].truth[z][round(start[0]), round(start[1])])
        work.paint(index, box, stroke.mask[inner][None], value, done)
        self._given.add(value)
        self._pointer = (stroke.end[0] + y.start, stroke.end[1] + x.start)
        return done

    def _accept(self, work: Work, index: int, clock: float, end: float) -> float | None:
        """Accept a view around a random place if it is right; None if it is not, or is known already."""
        truth = self.task.train[index].truth
        z = min(self._plane, len(truth) - 1)
        box = view_at(truth.shape, z, self.generator)
        shown, known = work.labels(index)[box], work.known(index)[box]
        if known.mean() > 0.5 or not is_right(truth[box], shown, len(self.task.classes)):
            return None
        objects = int(ndimage.label(truth[box][0] > 0)[1])
        done = clock + self.costs.decide + self.costs.accept_view + objects * self.costs.verify
        if done <= end:
            work.accept_view(index, box, done)
        return done


def view_at(shape: tuple[int, ...], z: int, generator: np.random.Generator) -> Box:
    """Return a random view of a plane, `VIEW` px wide, or all of a plane that is hardly wider."""
    spans = []
    for n in shape[1:]:
        width = n if n <= 1.5 * VIEW else VIEW
        start = int(generator.integers(n - width + 1))
        spans.append(slice(start, start + width))
    return slice(z, z + 1), spans[0], spans[1]


def is_right(truth: npt.NDArray[np.int32], shown: npt.NDArray[np.int32], n_classes: int) -> bool:
    """Whether a person would accept a view of classes as it is."""
    if np.mean(truth == shown) < RIGHT:
        return False
    return min(class_dice(truth, shown.astype(np.int64), n_classes).values()) >= RIGHT_CLASS


def _largest(sizes: npt.NDArray[np.int64], count: int) -> list[int]:
    order = np.argsort(sizes[1:])[::-1][:count] + 1
    return [int(k) for k in order]
