"""Opening a foreign file by someone who can be asked: what it does not say, and the answers written beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from napari_unet.errors import CheckpointError
from napari_unet.model.answers import SUFFIX, Answers, answered, answers_text, read_answers
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint
from napari_unet.model.consent import given
from napari_unet.model.families import open_weights
from napari_unet.model.folders import read_model
from napari_unet.model.opening import find_checkpoint, naming, own_header
from napari_unet.model.packages import program_kind
from napari_unet.model.packages.archive import is_package
from napari_unet.model.program import Kind
from napari_unet.model.programs import open_program
from napari_unet.model.questions import Questions, questions_about
from napari_unet.model.reading import Weights
from napari_unet.model.saying import parsed
from napari_unet.model.turning import turned
from napari_unet.model.writing import replace_file


@dataclass(frozen=True)
class Subject:
    """A file or folder about which something may be said: bare weights, or a program.

    Parameters
    ----------
    path : Path
        What the user picked.
    digest : str
        SHA-256 of the weights, or of the program; answers belong to it.
    weights : Weights or None
        What was read.
    kind : str or None
        Of the program.
    """

    path: Path
    digest: str
    weights: Weights | None
    kind: Kind | None

    def open(self, answers: Answers | None = None) -> Checkpoint:
        """Build the checkpoint with these answers, or without any."""
        answers = answers or Answers(self.digest)
        if self.weights is not None:
            return open_weights(self.weights, answers)
        return open_program(self.path, self.kind or "onnx", answers)


def subject_of(path: Path) -> Subject | None:
    """Read a foreign file; None for what says everything itself: our own files, and packages.

    Raises
    ------
    CheckpointError
        If it is no checkpoint, or damaged.
    """
    from napari_unet.model.weights import hash_tensors

    if _says_everything(path):
        return None
    kind = program_kind(path)
    if kind is not None:
        return Subject(path, hashlib.sha256(path.read_bytes()).hexdigest(), None, kind)
    weights = read_model(path)
    return Subject(path, hash_tensors(weights.tensors), weights, None)


def open_asking(source: str | Path, run_code: str | None = None) -> tuple[Checkpoint, Questions | None]:
    """Open a file, and tell what nobody said about it.

    What was said about other weights under the same name does not count, but is suggested again.

    Parameters
    ----------
    source, run_code
        See `napari_unet.model.checkpoint.load_checkpoint`.

    Raises
    ------
    CheckpointError, ConsentNeeded
        As `load_checkpoint`.
    """
    path = find_checkpoint(source)
    with naming(path), given(run_code):
        if _says_everything(path):
            return load_checkpoint(source, run_code), None
        earlier = read_answers(path)
        checkpoint, digest = _built(str(path), path.stat().st_mtime_ns, ())
        if earlier is not None and earlier.weights == digest:
            # Another argument makes another network; the rest is said of the same one.
            again = subject_of(path) if earlier.arguments else None
            checkpoint = _as_said(checkpoint, earlier) if again is None else again.open(earlier)
            earlier = None
        questions = questions_about(checkpoint.header, earlier)
    if questions is None:
        forget_built()
    return Checkpoint(checkpoint.network, checkpoint.header), questions


def open_answered(
    source: str | Path, said: Mapping[str, str], run_code: str | None = None
) -> tuple[Checkpoint, Answers]:
    """Open a file with answers to everything: what is not said is as it was without answers.

    Parameters
    ----------
    source, run_code
        See `napari_unet.model.checkpoint.load_checkpoint`.
    said : mapping of str to str
        See `napari_unet.model.saying.parsed`.

    Returns
    -------
    Checkpoint
        As the answers say.
    Answers
        To be written beside the file.

    Raises
    ------
    CheckpointError
        If an answer cannot be understood, or does not fit.
    """
    path = find_checkpoint(source)
    with naming(path), given(run_code):
        texts = tuple(sorted((key, text) for key, text in said.items() if key.startswith("argument.")))
        checkpoint, digest = _built(str(path), path.stat().st_mtime_ns, texts)
    answers = _completed(parsed(said, Answers(digest)), checkpoint)
    return _as_said(checkpoint, answers), answers


def forget_built() -> None:
    """Let go of the network that is kept while its user answers."""
    _built.cache_clear()


def write_answers(path: Path, answers: Answers) -> None:
    """Write what was said beside a file or folder.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    replace_file(path.with_name(path.name + SUFFIX), answers_text(answers).encode())


def _says_everything(path: Path) -> bool:
    return own_header(path) is not None or is_package(path)


@lru_cache(maxsize=1)
def _built(path: str, modified: int, arguments: tuple[tuple[str, str], ...]) -> tuple[Checkpoint, str]:
    """Build a network; it is kept, because a preview follows upon the other."""
    subject = subject_of(Path(path))
    if subject is None:
        raise CheckpointError(f"{Path(path).name} says everything itself.", "Open it again.")
    return subject.open(parsed(dict(arguments), Answers(subject.digest))), subject.digest


def _as_said(checkpoint: Checkpoint, answers: Answers) -> Checkpoint:
    """Return a checkpoint with answers that leave its network what it is."""
    return turned(Checkpoint(checkpoint.network, answered(checkpoint.header, answers)), answers.axes)


def _completed(answers: Answers, checkpoint: Checkpoint) -> Answers:
    """Return answers that say everything, so that nothing is asked again."""
    header = checkpoint.header
    output = header.output
    answers = replace(
        answers,
        normalization=answers.normalization or header.normalization,
        activation=answers.activation or output.activation,
    )
    if answers.channels or answers.classes:
        return answers
    if output.instances:
        return replace(answers, channels=output.channels)
    return replace(answers, classes=tuple(info.name for info in output.classes))
