"""The job that looks for regions worth correcting; runs in the worker process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError
from napari_unet.image.boxes import Box
from napari_unet.image.normalize import Statistics
from napari_unet.inference.channels import matched_source
from napari_unet.jobs import JobContext
from napari_unet.learning.places import RANDOM_REASON, Place, Suggestion, shared, spread_sample
from napari_unet.learning.suggesting import (
    FLIPS,
    Doubt,
    choose,
    features,
    reason_for,
)
from napari_unet.session.looking import Looked, Seen, SuggestImage
from napari_unet.session.tasks import predictor_for

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

CANDIDATES = 384  # regions whose kept scores are looked at, at most
SCORED = 32  # regions that go through the network, at most
FEWEST = 2  # however slow the network is
CORRECTED = 6  # corrected regions that the others are compared with, at most
KNOWN_ALREADY = 0.5  # a region of which more is known is not worth a visit
CORRECTED_FROM = 0.05  # share known from which a region counts as corrected
LOOK_SHARE = 0.4  # of the time, for looking at kept scores
DRAWS = 256  # random regions drawn before all are looked through


@dataclass(frozen=True, eq=False)
class SuggestRequest:
    """Where to look, with which models, for how long.

    Parameters
    ----------
    checkpoint, parent : str
        Files or built-in names; the parent may be None.
    images : tuple of SuggestImage
        All images of the session.
    seed, drawn : int
        Seed of the session, and how many times was drawn before: together they fix the samples.
    visited : tuple of (str, int, Box)
        Regions that the user was led to and left.
    uncertain, random : int
        How many of each kind to return.
    seconds : float
        Time budget; a few regions are looked at in any case.
    device, precision : str
        See `napari_unet.inference.predictor.Predictor`.
    """

    checkpoint: str
    parent: str | None
    images: tuple[SuggestImage, ...]
    seed: int = 0
    drawn: int = 0
    visited: tuple[tuple[str, int, Box], ...] = ()
    uncertain: int = 4
    random: int = 1
    seconds: float = 3.0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class SuggestResult:
    """The regions found, the uncertain ones first.

    Parameters
    ----------
    suggestions : tuple of Suggestion
        Empty if everything is known.
    scored, candidates, total : int
        How many regions went through the network, were looked at, and exist.
    statistics : dict
        Those that had to be measured, by image id.
    """

    suggestions: tuple[Suggestion, ...]
    scored: int
    candidates: int
    total: int
    statistics: dict[str, Statistics] = field(default_factory=dict)


def suggest(context: JobContext, request: SuggestRequest) -> SuggestResult:
    """Look for regions until the time is over; a cancelled job stops between two of them."""
    end = time.perf_counter() + request.seconds
    context.progress(0, 0, "looking for a region")
    predictor = predictor_for(request.checkpoint, request.device, request.precision)
    images = [Looked(image, predictor, context.check) for image in request.images if _fits(image, predictor)]
    candidates = _candidates(context, request, images, end)
    parent = None if request.parent is None else predictor_for(request.parent, request.device, request.precision)
    scored: list[tuple[Looked, Place, Doubt]] = []
    for image, place in candidates[:SCORED]:
        context.check()
        if time.perf_counter() > end and len(scored) >= min(FEWEST, request.uncertain):
            break
        scored.append((image, place, image.doubt(place, parent)))
        context.progress(len(scored), min(SCORED, len(candidates)), "looking for a region")
    corrected = _corrected(context, request, images) if scored else []
    found = []
    for position in choose([one for *_, one in scored], corrected, request.uncertain):
        image, (t, box), one = scored[position]
        found.append(Suggestion(image.given.image_id, t, box, "uncertain", reason_for(one)))
    found += _random(request, images)
    measured = {i.given.image_id: i.statistics for i in images if i.statistics and i.given.statistics is None}
    return SuggestResult(tuple(found), len(scored), len(candidates), sum(len(i.grid) for i in images), measured)


def _fits(image: SuggestImage, predictor: Predictor) -> bool:
    """Whether a model can look at an image: others have no regions."""
    header = predictor.checkpoint.header
    try:
        matched_source(image.source, header)
    except ImageError:
        return False
    return header.ndim == 2 or image.source.has("Z")


def _candidates(
    context: JobContext, request: SuggestRequest, images: list[Looked], end: float
) -> list[tuple[Looked, Place]]:
    """Return a sample of the regions, the most promising first.

    Where an image was segmented, its kept scores, or else its labels, tell how much there is to decide;
    elsewhere nothing is known before the network has seen it. These numbers cannot be compared with one
    another, so the kinds of region take turns, each in proportion to its number.
    """
    rng = np.random.default_rng((request.seed, request.drawn, 1))
    sample = spread_sample(sum(len(image.grid) for image in images), CANDIDATES, rng)
    look_until = end - (1 - LOOK_SHARE) * request.seconds
    rated: dict[Seen, list[tuple[float, Looked, Place]]] = {}
    for number in rng.permutation(sample):
        context.check()
        image, place = _region(images, int(number))
        if any(
            image.given.image_id == name and shared(place, (t, box)) > KNOWN_ALREADY for name, t, box in request.visited
        ):
            continue
        if image.known_share(place) > KNOWN_ALREADY:
            continue
        seen, rating = image.glance(place) if time.perf_counter() < look_until else ("nothing", 0.0)
        rated.setdefault(seen, []).append((rating, image, place))
    turns: list[tuple[float, Looked, Place]] = []
    for group in rated.values():
        group.sort(key=lambda one: -one[0])
        turns += [((rank + 0.5) / len(group), image, place) for rank, (_, image, place) in enumerate(group)]
    turns.sort(key=lambda one: one[0])
    return [(image, place) for _, image, place in turns]


def _corrected(context: JobContext, request: SuggestRequest, images: list[Looked]) -> list[npt.NDArray[np.float32]]:
    """Return the features of a few regions that were corrected already."""
    rng = np.random.default_rng((request.seed, request.drawn, 2))
    places = [
        (image, int(number))
        for image in images
        for t, box in image.given.places[:: max(1, len(image.given.places) // 8)]
        for number in rng.permutation(image.grid.touching(t, box))[:CORRECTED]
    ]
    found: list[npt.NDArray[np.float32]] = []
    for n in rng.permutation(len(places))[: 4 * CORRECTED]:
        context.check()
        image, number = places[n]
        place = image.grid.place(number)
        if image.known_share(place) >= CORRECTED_FROM and len(found) < CORRECTED:
            scores, values = image.predicted(place, image.predictor, FLIPS[:1])
            found.append(features(scores[0], values))
    return found


def _random(request: SuggestRequest, images: list[Looked]) -> Iterator[Suggestion]:
    """Draw from all regions of all images, times and planes of which nothing is known, each as likely as any other."""
    rng = np.random.default_rng((request.seed, request.drawn, 3))
    total = sum(len(image.grid) for image in images)
    taken: set[int] = set()
    for _ in range(request.random if total else 0):
        drawn = (int(rng.integers(total)) for _ in range(DRAWS))
        every = (int(number) for number in rng.permutation(total))
        number = next((n for n in (*drawn, -1, *every) if n >= 0 and n not in taken and _is_free(images, n)), None)
        if number is None:
            return
        taken.add(number)
        image, (t, box) = _region(images, number)
        yield Suggestion(image.given.image_id, t, box, "random", RANDOM_REASON)


def _is_free(images: list[Looked], number: int) -> bool:
    image, place = _region(images, number)
    return image.known_share(place) == 0


def _region(images: list[Looked], number: int) -> tuple[Looked, Place]:
    for image in images:
        if number < len(image.grid):
            return image, image.grid.place(number)
        number -= len(image.grid)
    raise IndexError(number)
