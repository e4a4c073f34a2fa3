"""What the annotator does in a model of objects: delete, join, split, draw, accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from interactive_parts.costs import Costs
from interactive_parts.painting import VIEW, view_at
from interactive_parts.strokes import draw_stroke, room_for_brush
from interactive_parts.task import Task
from interactive_parts.work import Work
from napari_unet.image.boxes import Box
from napari_unet.learning.evaluation import match_objects
from napari_unet.learning.overlap import count_overlaps
from napari_unet.learning.truth import Point

Array = npt.NDArray[np.int64]

GOOD = 0.8  # IoU from which an object is accepted as it is, and share on true ones from which it is split
POOR = 0.5  # IoU below which it is drawn again
MOSTLY = 0.6  # share of an object inside another from which it counts as its part
FALSE = 0.3  # share of a predicted object on true ones below which it is deleted
RIGHT = 0.95  # share of a view's pixels and of its objects that must be right before it is accepted
ACCEPT_SHARE = 0.25  # of the actions accept one right object
SMALLEST = 8  # px; smaller objects are not seen
DONE = 0.9  # share of an object that is known from which nothing is left to do with it
FINISHED = 0.95  # share of a view or an image that is known from which a person leaves it
VIEWS = 3  # random views, in terms of the image's area, that a person looks at before they leave it
BACKGROUND_SHARE = 0.1  # of the actions are a stroke of background


@dataclass(frozen=True)
class _Fix:
    """Something to do: which kind, how many pixels it puts right, and where.

    ``places`` are (object of the truth, object on screen): a point of each place lies in both; 0 stands for any.
    """

    kind: Literal["delete", "join", "split", "draw", "accept"]
    area: int
    places: tuple[tuple[int, int], ...]


class Objects:
    """The hand of the annotator for objects in 2D.

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
        self._view: Box | None = None
        self._pointer = (0.0, 0.0)
        self._views_done = 0

    def look_again(self) -> None:
        """Forget the view: another image or another prediction is on screen."""
        self._view = None
        self._views_done = 0

    def act(self, work: Work, index: int, clock: float, end: float) -> float | None:
        """Do one thing and return the clock after it; None if nothing is left to do in this image."""
        truth = self.task.train[index].truth
        if self._view is None:
            if self._views_done >= VIEWS * max(1, truth[0].size // VIEW**2) or work.known(index).mean() > FINISHED:
                return None
            self._view = view_at(truth.shape, 0, self.generator)
            clock += self.costs.decide
        fixes = self._fixes(work, index, self._view)
        wrong = [fix for fix in fixes if fix.kind != "accept"]
        fine = [fix for fix in fixes if fix.kind == "accept"]
        chance = float(self.generator.random())
        if not wrong or self._is_right(work, index, self._view):
            return self._leave_view(work, index, fine, clock, end)
        if chance < BACKGROUND_SHARE:
            done = self._background(work, index, self._view, clock, end)
            if done is not None:
                return done
        if fine and chance < BACKGROUND_SHARE + ACCEPT_SHARE:
            return self._do(work, index, fine[int(self.generator.integers(len(fine)))], clock, end)
        weights = [fix.area * float(np.exp(self.generator.normal(0, 0.7))) for fix in wrong]
        return self._do(work, index, wrong[int(np.argmax(weights))], clock, end)

    # ---- what is there to do ---------------------------------------------------------------------

    def _fixes(self, work: Work, index: int, view: Box) -> list[_Fix]:
        """List what is wrong, and what is right and not known yet, in a view."""
        truth, shown = self._seen(work, index, view)
        known = work.known(index)[view][0]
        pairs = count_overlaps(truth, shown)
        first, second, shared, iou = pairs.objects()
        sizes_t, sizes_p = (
            dict(zip(*(a.tolist() for a in pairs.sizes(side)), strict=True)) for side in ("first", "second")
        )
        known_t = np.bincount(truth[known], minlength=int(truth.max()) + 1)
        on_truth = np.bincount(second, shared, int(shown.max()) + 1)
        # To split or delete what covers much else would say that background is an object, or an object background.
        sound = {p for p, size in sizes_p.items() if on_truth[p] > GOOD * size}
        holding = {
            int(p)
            for t, p, n in zip(first, second, shared, strict=True)
            if n > MOSTLY * sizes_t[int(t)] and sizes_t[int(t)] >= SMALLEST
        }
        fixes: list[_Fix] = []
        for t, size in sizes_t.items():
            if t == 0 or size < SMALLEST:
                continue
            mine = np.flatnonzero(first == t)
            best = int(mine[np.argmax(iou[mine])]) if mine.size else -1
            if known_t[t] > DONE * size and best >= 0 and iou[best] >= POOR:
                continue
            if best >= 0 and iou[best] >= GOOD:
                fixes.append(_Fix("accept", size, ((t, int(second[best])),)))
                continue
            parts = [i for i in mine if shared[i] > MOSTLY * sizes_p[int(second[i])] and shared[i] >= 0.15 * size]
            joined = sum(int(shared[i]) for i in parts)
            if len(parts) > 1 and joined > MOSTLY * size:
                fixes.append(_Fix("join", joined, tuple((t, int(second[i])) for i in parts)))
                continue
            around = [int(second[i]) for i in mine if shared[i] > MOSTLY * size and int(second[i]) in sound]
            other = self._neighbour(t, around[0], first, second, shared, sizes_t) if around else 0
            if other:
                fixes.append(_Fix("split", min(size, sizes_t[other]), ((t, around[0]), (other, around[0]))))
            elif best < 0 or iou[best] < POOR:
                fixes.append(_Fix("draw", size, ((t, 0),)))
        for p, size in sizes_p.items():  # also what an edit left of an object
            if p and size >= SMALLEST and on_truth[p] < FALSE * size and p not in holding:
                fixes.append(_Fix("delete", size, ((0, p),)))
        return fixes

    def _seen(self, work: Work, index: int, view: Box) -> tuple[Array, Array]:
        """Return truth and labels of a view; ids on screen are made small."""
        truth, shown = self.task.train[index].truth[view][0], work.labels(index)[view][0]
        _, small = np.unique(np.append(shown.ravel(), 0), return_inverse=True)
        return truth.astype(np.int64), small[:-1].reshape(shown.shape)

    def _points(self, work: Work, index: int, view: Box, fix: _Fix) -> tuple[Point, ...]:
        """Return the voxel that lies deepest in each place of a fix."""
        truth, shown = self._seen(work, index, view)
        return tuple(_middle(view, ((truth == t) | (t == 0)) & ((shown == p) | (p == 0))) for t, p in fix.places)

    @staticmethod
    def _neighbour(t: int, p: int, first: Array, second: Array, shared: Array, sizes: dict[int, int]) -> int:
        """Return the largest other true object that lies mostly in the predicted object `p`, or 0."""
        inside = [
            (int(shared[i]), int(first[i]))
            for i in np.flatnonzero(second == p)
            if first[i] != t and shared[i] > MOSTLY * sizes[int(first[i])]
        ]
        return max(inside)[1] if inside else 0

    def _is_right(self, work: Work, index: int, view: Box) -> bool:
        truth, shown = self.task.train[index].truth[view], work.labels(index)[view]
        matches = match_objects(truth, shown)
        return float(np.mean((truth > 0) == (shown > 0))) >= RIGHT and matches.f1 >= RIGHT

    # ---- doing it --------------------------------------------------------------------------------

    def _leave_view(self, work: Work, index: int, fine: list[_Fix], clock: float, end: float) -> float:
        """Accept the view if it is right, else what is right in it object by object; then go on."""
        view = self._view
        if view is None:
            raise RuntimeError("no view is on screen")
        known = work.known(index)[view]
        if known.mean() < FINISHED and self._is_right(work, index, view):
            objects = int((np.unique(work.labels(index)[view][~known]) > 0).sum())
            done = clock + self.costs.accept_view + objects * self.costs.verify
            if done <= end:
                work.accept_view(index, view, done)
                self._view, self._views_done = None, self._views_done + 1
            return done
        if fine:
            return self._do(work, index, fine[int(self.generator.integers(len(fine)))], clock, end)
        self._view, self._views_done = None, self._views_done + 1
        return clock + self.costs.decide

    def _do(self, work: Work, index: int, fix: _Fix, clock: float, end: float) -> float:
        if self._view is None:
            raise RuntimeError("no view is on screen")
        points = self._points(work, index, self._view, fix)
        if fix.kind == "draw":
            return self._draw(work, index, fix.places[0][0], points[0], clock, end)
        costs = self.costs
        seconds = {"accept": costs.accept, "delete": costs.delete, "join": costs.join, "split": costs.split}
        done = clock + seconds[fix.kind]
        if done > end:
            return done
        if fix.kind == "accept":
            work.accept_object(index, points[0], done)
        elif fix.kind == "delete":
            work.delete(index, points[0], done)
        elif fix.kind == "join":
            work.join(index, points, done)
        else:
            work.split(index, points[0], points[1], done)
        self._pointer = (points[-1][1], points[-1][2])
        return done

    def _draw(self, work: Work, index: int, value: int, middle: Point, clock: float, end: float) -> float:
        """Draw the outline of an object and fill it; the outline is the truth's."""
        mask = self.task.train[index].truth == value
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        body = mask[box]
        outline = int((body & ~ndimage.binary_erosion(body[0])[None]).sum())
        travelled = float(np.hypot(middle[1] - self._pointer[0], middle[2] - self._pointer[1]))
        done = clock + self.costs.outline + self.costs.stroke(outline, travelled)
        if done <= end:
            work.paint(index, box, body, work.new_id(index), done)
            self._pointer = (middle[1], middle[2])
        return done

    def _background(self, work: Work, index: int, view: Box, clock: float, end: float) -> float | None:
        """Paint a stroke of background where there is nothing, also on screen; None if there is no room."""
        truth, shown = self._seen(work, index, view)
        free = (truth == 0) & (shown == 0) & ~work.known(index)[view][0]
        fit = room_for_brush(free, self.generator)
        if fit is None:
            return None
        stroke = draw_stroke(*fit, self.generator)
        start = (stroke.start[0] + view[1].start, stroke.start[1] + view[2].start)
        travelled = float(np.hypot(start[0] - self._pointer[0], start[1] - self._pointer[1]))
        done = clock + self.costs.decide + self.costs.stroke(stroke.length, travelled)
        if done <= end:
            work.paint(index, view, stroke.mask[None], 0, done)
            self._pointer = (stroke.end[0] + view[1].start, stroke.end[1] + view[2].start)
        return done


def _middle(view: Box, mask: npt.NDArray[np.bool_]) -> Point:
    """Return the voxel of the image that lies deepest in a mask of a view."""
    depth = ndimage.distance_transform_edt(mask)
    y, x = np.unravel_index(int(np.argmax(depth)), mask.shape)
    return view[0].start, int(view[1].start + y), int(view[2].start + x)
