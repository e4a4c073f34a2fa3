"""What the user says about images and training on the command line: checked before any work, told with the option."""

from __future__ import annotations

from napari_unet.cli.inputs import numbers
from napari_unet.errors import UserError
from napari_unet.image.axes import parse_axes
from napari_unet.learning.settings import TrainSettings

# What a hint speaks of → the option that does it; the first that fits is named.
OPTIONS = (
    ("overwriting", "--overwrite"),
    ("axes", "--axes"),
    ("channels", "--channels"),
    ("per spatial axis", "--scale"),
    ("voxel size", "--scale"),
    ("longer budget", "--seconds or --steps"),
    ("smaller tiles", "--device cpu"),
)


def sentence(error: UserError) -> str:
    """Return an error as a sentence for the terminal: where the hint means an option, with its name.

    Examples
    --------
    >>> sentence(UserError("The file exists.", "Choose another name, or allow overwriting."))
    'The file exists. Choose another name, or allow overwriting (--overwrite).'
    """
    option = next((option for words, option in OPTIONS if words in error.hint), None)
    if option is None or "--" in str(error):
        return str(error)
    return f"{error.message} {error.hint.rstrip('.')} ({option})."


def axes(text: str) -> str:
    """Take ``--axes``.

    Raises
    ------
    UserError
        Unless it has letters of T, C, Z, Y, X, each at most once, Y and X among them.
    """
    try:
        return parse_axes(text, (1,) * len(text.strip()))
    except UserError as error:
        raise UserError(f"--axes is {text!r}: {error.message}", "For example --axes ZYX.") from error


def scale(text: str) -> str:
    """Take ``--scale``.

    Raises
    ------
    UserError
        Unless it has two or three positive numbers.
    """
    found = numbers(text, "scale", float)
    if len(found) not in (2, 3) or not all(0 < number < float("inf") for number in found):
        raise UserError(
            f"--scale is {text!r}; expected two or three positive numbers in µm.", "For example --scale 2,0.5,0.5."
        )
    return text


def channels(text: str) -> str:
    """Take ``--channels``.

    Raises
    ------
    UserError
        Unless it has different whole numbers from 0.
    """
    found = numbers(text, "channels", int)
    if min(found) < 0 or len(set(found)) < len(found):
        raise UserError(
            f"--channels is {text!r}; expected different numbers, counted from 0.", "For example --channels 0,2."
        )
    return text


def check_training(settings: TrainSettings) -> None:
    """Refuse rates and threads that cannot be meant.

    Raises
    ------
    UserError
        If a rate is not positive, or there is less than one thread.
    """
    for option, rate in (("--rate", settings.rate), ("--encoder-rate", settings.encoder_rate)):
        if not 0 < rate < 1:
            raise UserError(f"{option} is {rate}; expected a number between 0 and 1.", f"For example {option} 0.001.")
    if settings.threads is not None and settings.threads < 1:
        raise UserError(f"--threads is {settings.threads}; expected at least 1.", "Leave it out for one per core.")


def check_budget(seconds: float | None, steps: int | None) -> None:
    """Refuse a budget of nothing.

    Raises
    ------
    UserError
        If seconds or steps are not positive.
    """
    for option, number in (("--seconds", seconds), ("--steps", steps)):
        if number is not None and not number > 0:
            raise UserError(f"{option} is {number}; expected more than 0.", "Give a longer budget.")
