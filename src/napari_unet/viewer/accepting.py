"""What becomes known by one click, and the question that comes first where it is much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_unet.errors import ConfirmationNeeded, UserError
from napari_unet.image.boxes import Box

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink


@dataclass(frozen=True)
class Question:
    """What was asked for, and what the user is asked before it is done."""

    text: str
    hint: str
    image_id: str
    accept: Callable[..., Any]  # takes ``confirmed``


class Accepting:
    """Accepts the view, a slice or a region of the current image.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.

    Attributes
    ----------
    question : Question or None
        What waits for the user's answer. It is withdrawn as soon as the labels, the model or the image change:
        the answer would be about something that nobody saw.
    """

    asked = Signal(object)  # a question, or None when it is settled

    def __init__(self, link: ViewerLink) -> None:
        self.link, self.session = link, link.session
        self.question: Question | None = None
        events = self.session.events
        self._connections: tuple[tuple[Any, Any], ...] = (
            (events.labels_changed, self._on_labels_changed),
            (events.model_changed, self.cancel),
            (link.image.changed, self.cancel),
        )
        for signal, slot in self._connections:
            signal.connect(slot)

    def close(self) -> None:
        """Stop following."""
        for signal, slot in self._connections:
            signal.disconnect(slot)

    def view(self) -> None:
        """Accept what is on screen."""

        def command() -> None:
            image_id = self.link.image.need()
            t, view = self.link.image.view()
            if view is None:
                raise UserError("The image is not on screen.", "Move it into view first.")
            self._accept(image_id, t, view, "accept view")

        self.link.run(command)

    def slice(self) -> None:
        """Accept the whole plane that is shown, whatever the order of the axes."""

        def command() -> None:
            image_id = self.link.image.need()
            t, plane = self.link.image.plane()
            self._accept(image_id, t, plane, "accept slice")

        self.link.run(command)

    def region(self, image_id: str, t: int, box: Box, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Accept a region that the user drew.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point.
        box : tuple of slice
            (z, y, x).
        mask : ndarray of bool, of the box's shape, optional
            Which voxels of the box lie in the region; all by default.
        """
        self._accept(image_id, t, box, "accept region", mask)

    def _accept(self, image_id: str, t: int, box: Box, title: str, mask: npt.NDArray[np.bool_] | None = None) -> None:
        self.cancel()
        self.link.tools.cancel()
        accept = partial(self.session.accept_box, image_id, t, box, title, mask=mask)
        try:
            accept()
        except ConfirmationNeeded as needed:
            self.question = Question(needed.message, needed.hint, image_id, accept)
            self.asked.emit(self.question)

    def confirm(self) -> None:
        """Do what was asked about."""
        question = self.question
        self.cancel()
        if question is not None:
            accept = question.accept
            self.link.run(lambda: accept(confirmed=True))

    def cancel(self) -> None:
        """Withdraw the question."""
        if self.question is not None:
            self.question = None
            self.asked.emit(None)

    def _on_labels_changed(self, image_id: str, t: int, box: Box) -> None:
        if self.question is not None and self.question.image_id == image_id:
            self.cancel()
