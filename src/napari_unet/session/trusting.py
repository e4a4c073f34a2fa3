"""The question whether code in a model file may run."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.errors import ConsentNeeded, UserError
from napari_unet.model.consent import NEVER, need_consent, remember
from napari_unet.model.header import CheckpointHeader
from napari_unet.session.core import SessionCore
from napari_unet.session.state import ModelVersion


@dataclass(frozen=True)
class CodeQuestion:
    """Code in a file, about which the user is asked once.

    Parameters
    ----------
    source : str
        The file.
    sentence : str
        What it is and what a yes means.
    hint : str
        How to allow it without a window.
    sha256 : str
        Of the code.
    without : bool
        Whether the file has weights that need no code.
    """

    source: str
    sentence: str
    hint: str
    sha256: str
    without: bool


class Trusting(SessionCore):
    """Asks before code in a file runs, and remembers a yes for exactly this code."""

    def check_trusted(self, source: str, header: CheckpointHeader) -> bool:
        """Return whether one of our own files may be used; if not, the user is asked."""
        program = header.program
        if program is None or program.kind == "onnx":
            return True
        try:
            need_consent(program.sha256, program.kind, header.name)
        except ConsentNeeded as needed:
            self.ask_for_code(source, needed)
            return False
        return True

    def tell_failure(self, error: UserError, details: str) -> None:
        """Ask, where a job failed only because nobody allowed a model's code, as in a project from another computer."""
        asked = next((one for one in (self.model, *self.versions) if one is not None and _is_code_of(error, one)), None)
        if asked is not None and isinstance(error, ConsentNeeded):
            self.ask_for_code(asked.path, error)
        else:
            super().tell_failure(error, details)

    def ask_for_code(self, source: str, needed: ConsentNeeded) -> None:
        """Tell about the question; where nobody listens, it is an error."""
        question = CodeQuestion(source, needed.message, needed.hint, needed.sha256, needed.without)
        if len(self.events.consent_needed):
            self.events.consent_needed.emit(question)
        else:
            self.events.message.emit("error", str(needed), "")

    def take_answer(self, source: str, run_code: str | None) -> None:
        """Remember a yes for this user, so that every process of this window knows it."""
        if run_code is not None and run_code != NEVER:
            remember(run_code, source)


def _is_code_of(error: UserError, version: ModelVersion) -> bool:
    """Whether an error is the question about the code of this model."""
    program = version.header.program
    return program is not None and isinstance(error, ConsentNeeded) and error.sha256 == program.sha256
