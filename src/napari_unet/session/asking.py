"""What a model's file does not say is asked before the model is taken, and tried on the image meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_unet.image.boxes import Box, clip, whole
from napari_unet.model.answers import SUFFIX
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.questions import Questions
from napari_unet.session.asking_tasks import AnswerRequest, Preview, PreviewRequest, answer, preview
from napari_unet.session.trusting import Trusting

JOB = "preview"
SIDES = {2: 512, 3: 256}  # of what is tried, in voxels


@dataclass(frozen=True)
class ModelQuestion:
    """A model that is opened, and what is asked about it.

    Parameters
    ----------
    source : str
        The file or folder.
    questions : Questions
        What no file says.
    run_code : str or None
        The code in it that may run, see `napari_unet.model.consent`.
    """

    source: str
    questions: Questions
    run_code: str | None = None

    @property
    def header(self) -> CheckpointHeader:
        """The model as it is taken for without answers."""
        return self.questions.header


class Asking(Trusting):
    """Asks once about a model, and remembers the answers beside its file."""

    _tried: PreviewRequest | None = None  # the newest preview asked for

    def try_answers(
        self,
        question: ModelQuestion,
        said: Mapping[str, str],
        image_id: str,
        t: int,
        view: Box | None,
        then: Callable[[Preview], None],
    ) -> None:
        """Segment the middle of a view with a model as it would be with these answers; labels stay as they are.

        A preview that runs is stopped first.

        Parameters
        ----------
        question : ModelQuestion
            Which model.
        said : mapping of str to str
            See `napari_unet.model.saying.parsed`.
        image_id : str
            Which image.
        t : int
            Time point.
        view : tuple of slice or None
            (z, y, x) box on screen; the whole image when None.
        then : callable
            Gets the preview.
        """
        shape = self.image(image_id).source.shape[1:]
        box = middle_of(clip(whole(shape) if view is None else view, shape), SIDES[question.header.ndim])
        request = PreviewRequest(
            question.source,
            dict(said),
            self.lazy_source(image_id),
            t,
            box,
            self.settings.objects,
            self.settings.device,
            question.run_code,
        )

        def done(result: Preview) -> None:
            if self._tried is request:
                then(result)

        def start() -> None:
            if self._tried is request:  # and not a newer one
                self.start_job(JOB, preview, request, on_done=done)

        self._tried = request
        self.cancel(JOB)
        self.when_idle((JOB,), start)

    def stop_trying(self) -> None:
        """End the preview: the form was closed."""
        self._tried = None
        self.cancel(JOB)

    def answer_model(
        self, question: ModelQuestion, said: Mapping[str, str], take: Callable[[tuple[str, CheckpointHeader]], None]
    ) -> None:
        """Open a model as its user says it is, and write that beside its file.

        Parameters
        ----------
        question : ModelQuestion
            Which model.
        said : mapping of str to str
            See `napari_unet.model.saying.parsed`; what is not said stays as it was taken for.
        take : callable
            Gets path and header.
        """
        self.stop_trying()
        request = AnswerRequest(question.source, dict(said), str(self.folder.next_model()), question.run_code)

        def done(result: tuple[str, CheckpointHeader, str]) -> None:
            path, header, problem = result
            take((path, header))
            name = Path(question.source).name
            said = f"The answers could not be written beside {name}: opening it again asks again. {problem}"
            self.events.message.emit("info", said if problem else kept_sentence(name), "")

        self.start_job("model", answer, request, on_done=done)


def kept_sentence(name: str) -> str:
    """Return where the answers about a model are, and how to give others."""
    return f"{name} is used as you said; that is kept beside it, in {name}{SUFFIX}. Delete that file to be asked again."


def middle_of(box: Box, side: int) -> Box:
    """Return the middle of a box, one plane of at most `side` by `side` voxels.

    Examples
    --------
    >>> middle_of((slice(0, 9), slice(0, 100), slice(10, 20)), 50)
    (slice(4, 5, None), slice(25, 75, None), slice(10, 20, None))
    """
    z, y, x = (_middle(span, most) for span, most in zip(box, (1, side, side), strict=True))
    return z, y, x


def _middle(span: slice, most: int) -> slice:
    length = min(most, span.stop - span.start)
    start = span.start + (span.stop - span.start - length) // 2
    return slice(start, start + length)
