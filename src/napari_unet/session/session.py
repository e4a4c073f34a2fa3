"""The session: everything a viewer or a script can ask for, under one name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box
from napari_unet.session.comparing import Comparing
from napari_unet.session.correcting import Correcting
from napari_unet.session.exporting import Exporting
from napari_unet.session.reopening import Reopening
from napari_unet.session.resuming import Resuming
from napari_unet.session.state import LabelState
from napari_unet.session.suggesting import Suggesting


class Session(Reopening, Suggesting, Resuming, Comparing, Correcting, Exporting):
    """Images, labels, models and jobs of one viewer or one script.

    Commands are methods; what they change is told through `events`, on the main thread. Nothing
    here knows napari or Qt. A script uses ``Session(JobRunner("inline"))``; a window calls
    ``session.deliver()`` from a timer.

    Parameters
    ----------
    runner : JobRunner, optional
        Where jobs run: worker processes by default.
    folder : WorkFolder, optional
        Where models go; made in the user's data folder when first needed.
    """

    def end_stroke(
        self, image_id: str, t: int, box: Box, swept: npt.NDArray[np.bool_] | None, title: str = "paint"
    ) -> bool:
        """Take over what a tool painted; the strokes of a second class start a new model's first round.

        Parameters and return value are those of `Correcting.end_stroke`.
        """
        changed = super().end_stroke(image_id, t, box, swept, title)
        labels = self.labels(image_id)
        untrained = self.model is not None and self.model.untrained
        if changed and untrained and labels is not None and "train" not in self.jobs:
            if self.last_view is None:
                self.last_view = (image_id, None, False, (t,))
            if len(known_classes(labels)) >= 2:
                self.retrain(self.settings.first_seconds, self.settings.first_steps, quick=True)
        return changed


def known_classes(labels: LabelState) -> set[int]:
    """Return the class indices that occur among the known voxels."""
    truth, found = labels.truth, set()
    for t in range(truth.labels.shape[0]):
        box = truth.known_box(t)
        if box is not None:
            found.update(np.unique(truth.labels[t][box][truth.known[t][box]]).tolist())
    return found
