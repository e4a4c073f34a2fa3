"""The session: everything a viewer or a script can ask for, under one name."""

from __future__ import annotations

from napari_unet.session.areas import Areas
from napari_unet.session.comparing import Comparing
from napari_unet.session.exporting import Exporting
from napari_unet.session.refitting import Refitting
from napari_unet.session.resuming import Resuming
from napari_unet.session.seams import SeamChecking
from napari_unet.session.suggesting import Suggesting


class Session(SeamChecking, Areas, Suggesting, Resuming, Comparing, Refitting, Exporting):
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
