"""The errors a user sees: one sentence of what happened, one of what to do next."""

from __future__ import annotations

import errno


class UserError(Exception):
    """An error whose text is meant for the person at the screen.

    It is deliberately no ``RuntimeError``: Qt worker libraries swallow those.

    Parameters
    ----------
    message : str
        What came and what was expected, as a sentence.
    hint : str, optional
        What to do next, as a sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ImageError(UserError):
    """The image cannot be used: its shape, type, values or file."""


class AxesError(ImageError):
    """The meaning of the image's axes is unclear.

    Parameters
    ----------
    message, hint : str
        See `UserError`.
    candidates : tuple of str
        Axes strings that would fit the shape, most usual first.
    """

    def __init__(self, message: str, hint: str = "", candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.candidates = candidates


class CheckpointError(UserError):
    """The file is no checkpoint that can be used, or it is damaged."""


class DeviceError(UserError):
    """The device that was asked for is not there or ran out of memory."""


class TrainingError(UserError):
    """There is nothing to train on, or training diverged."""


class OutputError(UserError):
    """A result cannot be written or does not fit its format."""


class ConfirmationNeeded(UserError):
    """What was asked for is done only when it is asked for again, with ``confirmed=True``.

    Parameters
    ----------
    message, hint : str
        See `UserError`; the message is a question.
    count : int
        How many objects it is about.
    """

    def __init__(self, message: str, hint: str = "", count: int = 0) -> None:
        super().__init__(message, hint)
        self.count = count


class ConsentNeeded(CheckpointError):
    """A model file contains code, which runs only after a yes for exactly this code.

    Parameters
    ----------
    message, hint : str
        See `UserError`; the message says what a yes means.
    sha256 : str
        Of the code, hexadecimal.
    without : bool
        Whether the file also has weights that need no code.
    """

    def __init__(self, message: str, hint: str = "", sha256: str = "", without: bool = False) -> None:
        super().__init__(message, hint)
        self.sha256 = sha256
        self.without = without


def disk_advice(error: OSError, full: str) -> str:
    """Return what to do about a file that could not be written: `full` if the disk has no room."""
    no_room = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full if no_room else "Check that the folder exists and may be written to."


def first_line(error: BaseException) -> str:
    """Return what an error of a library says in its first line, at most 200 characters without a full stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
