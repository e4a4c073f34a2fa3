"""The command that compares a prediction in tiles with one at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.image.boxes import Box
from napari_unet.inference.options import PredictOptions
from napari_unet.jobs import Job
from napari_unet.session.core import SessionCore
from napari_unet.session.seam_tasks import SeamRequest, compare_tiles
from napari_unet.session.state import statistics_key

if TYPE_CHECKING:
    from napari_unet.inference.seams import SeamResult

JOB = "seams"


class SeamChecking(SessionCore):
    """How a model is run, and whether its tiles show."""

    def set_options(self, options: PredictOptions) -> None:
        """Choose how models are run over images from now on."""
        if options != self.settings.options:
            self.settings = replace(self.settings, options=options)

    def check_seams(self, image_id: str, t: int = 0, view: Box | None = None) -> Job | None:
        """Predict a crop around the centre of a view in tiles and at once; what differs becomes a message.

        Labels stay as they are.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point.
        view : tuple of slice, optional
            (z, y, x) box on screen; the whole image when omitted.

        Raises
        ------
        UserError
            If no model is chosen, or a comparison runs.
        """
        version = self.need_model()
        settings = self.settings
        request = SeamRequest(
            version.path,
            self.lazy_source(image_id),
            self.image(image_id).statistics.get(statistics_key(version.header)),
            t,
            view,
            settings.device,
            settings.precision,
            settings.objects,
            settings.options,
        )

        def done(result: SeamResult) -> None:
            self.events.message.emit("info" if result.fine else "warning", result.sentence, "")

        return self.start_job(JOB, compare_tiles, request, on_done=done)
