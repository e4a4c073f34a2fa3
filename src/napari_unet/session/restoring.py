"""Taking a session apart, and putting it together again from a project."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.jobs.parallel import in_threads
from napari_unet.learning.edits import State
from napari_unet.learning.truth import Truth
from napari_unet.project.fingerprint import Fingerprint
from napari_unet.project.folder import WorkFolder
from napari_unet.project.images import open_again
from napari_unet.project.truths import Piece, TruthFiles
from napari_unet.session.describing import model_from_json, origin_from_json, says_something, unlisted_model
from napari_unet.session.history import History
from napari_unet.session.saving import Saving
from napari_unet.session.state import Curve, ImageState, LabelState
from napari_unet.session.training import Training

OWN = ("project", "images", "models", "settings", "view")  # documents that are read in an order of their own


@dataclass(frozen=True)
class MissingImage:
    """An image of the project that could not be opened.

    Parameters
    ----------
    image_id : str
        Its id; the same once it is found.
    name : str
        Its name.
    problem : UserError
        Why: moved, changed, or never saved.
    folder : bool
        It was an OME-Zarr, which is a folder.
    """

    image_id: str
    name: str
    problem: UserError
    folder: bool = False


class Restoring(Saving, Training):
    """Reads what `Saving` wrote."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self.missing_images: dict[str, MissingImage] = {}
        # This class stands first: every other group of commands has registered its documents by now.
        self._fresh = self.documents.dump(name for name in self.documents.names if name not in OWN)

    def add_image(self, source: ImageSource) -> str:
        """Take an image into the session and return its id.

        An image of the project that was taken off the screen comes back with what was corrected in it.
        """
        self._save_documents()  # which notices what was taken off the screen
        entry = next((entry for entry in self._gone.values() if _is_same(entry, source)), None)
        if entry is None:
            return super().add_image(source)
        self._take_image(entry, source)
        image_id = str(entry["id"])
        self.missing_images.pop(image_id, None)
        self.events.images_changed.emit()
        self.events.known_changed.emit(image_id)
        self.events.message.emit("info", f"What was corrected in {source.name!r} before is back.", "")
        return image_id

    # ---- leaving and arriving ------------------------------------------------------------------

    def _leave(self) -> None:
        """Save and let go of everything."""
        self._close_project()
        if self._folder is not None:
            self._folder.close()
        self._folder = None
        self.images.clear()
        self.versions.clear()
        self.missing_images.clear()
        kept: tuple[dict[str, Any], ...] = (self._gone, self._copies, self._kept, self._to_keep)
        for memory in (*kept, self._taught, self._decisions, self._unfinished):
            memory.clear()
        self._images_json, self._used = [], frozenset()
        self.history, self.curve = History(), Curve()
        self.model, self.round, self.preview = None, None, None
        self.last_view, self.last_round, self.newest_round, self._open = None, None, None, None
        self.last_corrected, self._last_edit = None, None

    def _tell_opened(self, problems: list[UserError]) -> None:
        events = self.events
        for tell in (events.project_changed, events.images_changed, events.model_changed):
            tell.emit()
        for image_id, image in self.images.items():
            if self.model is not None and self.key(self.model) in image.labels:
                events.labels_created.emit(image_id)
            events.known_changed.emit(image_id)
        events.round_changed.emit()
        events.history_changed.emit()
        for problem in problems:
            events.message.emit("error", str(problem), "")

    def _number_on(self, ids: Iterable[str]) -> None:
        numbers = [int(number) for _, _, number in (image_id.rpartition("-") for image_id in ids) if number.isdigit()]
        self._numbers = itertools.count(max(numbers, default=0) + 1)

    # ---- models --------------------------------------------------------------------------------

    def _load_models(self, entries: list[Any], folder: WorkFolder, problems: list[UserError]) -> None:
        for entry in entries:
            version = _tried(partial(model_from_json, entry, folder.path), problems)
            if version is None:
                continue
            self.versions.append(version)
            if entry.get("taught_by"):
                self._taught[version.header.weights_hash] = frozenset(entry["taught_by"])
            if entry.get("used"):
                self._used |= {Path(version.path).name}
            if entry.get("decision"):
                self._decisions[Path(version.path).name] = dict(entry["decision"])
            if entry.get("current"):
                self.model = version
        listed = {version.path for version in self.versions}
        for path in folder.models():
            if str(path) not in listed:
                # The process ended between writing the model and saying so.
                version = _tried(partial(unlisted_model, path), problems)
                if version is not None:
                    self.versions.append(version)

    # ---- images --------------------------------------------------------------------------------

    def _load_image(self, entry: dict[str, Any], folder: WorkFolder, problems: list[UserError]) -> None:
        image_id, name = str(entry["id"]), str(entry["name"])
        try:
            source, touched = open_again(entry["parts"], folder.path, name)
        except UserError as error:
            self._gone[image_id] = entry
            if says_something(entry):
                file = entry["parts"][0]["file"]
                folded = file is not None and Path(file["absolute"]).suffix == ".zarr"
                self.missing_images[image_id] = MissingImage(image_id, name, error, folded)
                problems.append(error)
            return
        if touched:
            hint = "If it is another image now, remove its layer."
            problems.append(UserError(f"The file of {name!r} was written since; what was sampled is the same.", hint))
        _tried(lambda: self._take_image(entry, source), problems)

    def _take_image(self, entry: dict[str, Any], source: ImageSource) -> None:
        """Take an image of the project into the session, with its truths."""
        image_id = str(entry["id"])
        image = ImageState(image_id, source)
        store = self._store
        if store is not None:
            store.let_go(entry["folder"])
        for part in entry["parts"]:
            file = part["file"]
            if store is not None and file and file.get("fingerprint") and source.path == file["absolute"]:
                store.know(file["absolute"], Fingerprint.from_json(file["fingerprint"]))
        for truth in entry["truths"]:
            image.labels[tuple(truth["key"])] = self._load_truth(entry, truth, source)
        self.images[image_id] = image
        self._gone.pop(image_id, None)
        if entry.get("copied") and source.path is not None:
            self._copies[image_id] = source.path
        self._kept[image_id] = source.data
        self._track_saved()

    def _load_truth(self, entry: dict[str, Any], truth: dict[str, Any], source: ImageSource) -> LabelState:
        """Return the labels of an image as they were saved last."""
        axes = label_axes(source.axes)
        lengths = dict(zip("TZYX", source.shape, strict=True))
        array = np.zeros([lengths[letter] for letter in axes], np.dtype(truth["dtype"]))
        restored = Truth(
            canonical_view(array, axes), empty=True, instances=bool(truth["instances"]), rim_z=int(truth["rim_z"])
        )
        files = TruthFiles.at(self.folder.path / "truths" / entry["folder"], truth["name"])
        known, predicted = files.read(restored.shape)
        for canvas, write in ((predicted, _predict), (known, _restore)):
            for _ in in_threads(partial(write, restored), canvas.boxes()):  # they do not overlap
                pass
        restored.see(max(int(canvas.meta.get("last_id", 0)) for canvas in (known, predicted)))
        return LabelState(restored, array, origin_from_json(predicted.meta.get("origin")))

    def _track_saved(self) -> None:
        """Watch truths that are on the disk as they are."""
        for image in self.images.values():
            for key, labels in image.labels.items():
                if (image.image_id, key) not in self._trackers:
                    self._add_tracker(image, key, labels, saved=True)


def _predict(truth: Truth, piece: Piece) -> None:
    t, box, arrays = piece
    if arrays["values"].any():  # zeros are there already, and to touch fresh memory is what takes the time
        truth.set_prediction(t, box, arrays["values"])


def _restore(truth: Truth, piece: Piece) -> None:
    t, box, arrays = piece
    truth.restore(t, box, State(arrays["labels"], arrays["known"], arrays["changed"]))


def _is_same(entry: dict[str, Any], source: ImageSource) -> bool:
    """Tell whether an image is one of the project: the same file, read in the same way."""
    part, *others = entry["parts"]
    if others or part["file"] is None or source.path is None or list(source.shape) != list(entry["shape"]):
        return False
    same_file = os.path.realpath(source.path) == os.path.realpath(part["file"]["absolute"])
    channels = None if part["channels"] is None else tuple(part["channels"])
    return same_file and source.axes == part["axes"] and source.channels == channels


def _tried(command: Callable[[], Any], problems: list[UserError]) -> Any:
    """Return what a command returns, or None after noting its error."""
    try:
        return command()
    except UserError as error:
        problems.append(error)
        return None
