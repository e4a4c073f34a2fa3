"""The command that shows what changed between two versions of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, clip, volume, whole
from napari_unet.learning.changes import ChangeMap, Counts
from napari_unet.session.compare_tasks import CompareRequest, CompareResult, Side, compare
from napari_unet.session.segmenting import Segmenting
from napari_unet.session.state import ModelVersion, is_instances, statistics_key

JOB = "compare"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changed between two versions, in one view.

    Parameters
    ----------
    before, after : ModelVersion
        The versions.
    image_id : str
        Which image.
    t, box : int, Box
        The view.
    changes : ndarray of uint8, of the box's shape
        0 the same, 1 gained, 2 lost, 3 changed.
    counts : tuple of Counts
        Of objects (one entry), or of voxels (one entry a class).
    sentence : str
        Such as "v3 → v4 in view: 12 objects new, 3 gone, 5 changed, 40 the same."
    """

    before: ModelVersion
    after: ModelVersion
    image_id: str
    t: int
    box: Box
    changes: ChangeMap
    counts: tuple[Counts, ...]
    sentence: str


class Comparing(Segmenting):
    """What differs between two versions."""

    _wanted: CompareRequest | None = None  # the newest comparison asked for

    def version_name(self, version: ModelVersion) -> str:
        """Return the short name of a version of this session: "v1" is the first."""
        number = next((n for n, one in enumerate(self.versions, start=1) if one is version), None)
        return version.header.name if number is None else f"v{number}"

    def compare(
        self,
        before: ModelVersion,
        after: ModelVersion,
        image_id: str,
        t: int = 0,
        view: Box | None = None,
        then: Callable[[Comparison], None] = lambda comparison: None,
    ) -> None:
        """Segment a view with two versions, beside the labels, and hand on what changed; labels stay as they are.

        A comparison that runs is stopped first.

        Parameters
        ----------
        before, after : ModelVersion
            Two versions whose labels mean the same.
        image_id : str
            Which image.
        t : int
            Time point.
        view : tuple of slice, optional
            (z, y, x) box; the whole time point when omitted.
        then : callable
            Gets the `Comparison`.

        Raises
        ------
        UserError
            If a version is untrained, or their labels mean different things.
        """
        self._check(before, after)
        source = self.image(image_id).source
        box = clip(whole(source.shape[1:]) if view is None else view, source.shape[1:])
        if volume(box) == 0 or not 0 <= t < source.n_times:
            raise UserError("The image is not on screen.", "Move it into view first.")
        output = after.header.output
        objects = is_instances(output, self.settings.objects.connected)
        request = CompareRequest(
            self._side(before, image_id),
            self._side(after, image_id),
            self.lazy_source(image_id),
            t,
            box,
            self.settings.objects,
            None if objects else tuple(info.name for info in output.classes),
            self.settings.device,
            self.settings.precision,
            self.settings.options,
        )
        names = f"{self.version_name(before)} → {self.version_name(after)} in view"

        def done(result: CompareResult) -> None:
            sentence = f"{names}: {result.sentence}."
            then(Comparison(before, after, image_id, t, box, result.changes, result.counts, sentence))

        def start() -> None:
            if self._wanted is request:  # and not a newer one
                self.start_job(JOB, compare, request, on_done=done)

        self._wanted = request
        self.cancel(JOB)
        self.when_idle((JOB,), start)

    def _side(self, version: ModelVersion, image_id: str) -> Side:
        return Side(version.path, self.image(image_id).statistics.get(statistics_key(version.header)))

    def _check(self, before: ModelVersion, after: ModelVersion) -> None:
        for version in (before, after):
            if version.untrained:
                raise UserError(
                    f"The model '{version.header.name}' has not been trained yet, so there is nothing to compare.",
                    "Choose another version.",
                )
        if self.key(before) != self.key(after):
            raise UserError(
                f"{self.version_name(before)} and {self.version_name(after)} answer different questions: their "
                "classes differ.",
                "Choose two versions with the same classes.",
            )
