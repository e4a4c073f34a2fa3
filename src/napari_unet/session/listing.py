"""What a session says about itself on the disk: its images, models, settings and what others registered."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.project.images import describe
from napari_unet.project.store import Store
from napari_unet.session.describing import (
    image_folder,
    image_to_json,
    models_to_json,
    says_something,
    settings_from_json,
    settings_to_json,
    truth_name,
    view_to_json,
)
from napari_unet.session.keeping import Keeping
from napari_unet.session.state import ImageState, LabelState, TruthKey
from napari_unet.session.tracking import TruthTracker


class Listing(Keeping):
    """Keeps the documents of a project up to date."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._store: Store | None = None
        self._trackers: dict[tuple[str, TruthKey], TruthTracker] = {}
        self._images_json: list[dict[str, Any]] = []
        self._gone: dict[str, dict[str, Any]] = {}  # images that are not open, but whose truths are kept
        self._dropped: list[tuple[str, str]] = []  # truths that became others
        self._decisions: dict[str, dict[str, Any]] = {}  # by the names of the models' files
        self._used: frozenset[str] = frozenset()
        self._saved_settings = self.settings
        self._saved_view: object = None
        self.documents.register("settings", self._dump_settings, self._load_settings)
        self.documents.register("models", self._dump_models, lambda value: None)
        self.documents.register("view", self._dump_view, lambda value: None)
        for signal in (self.events.model_changed, self.events.round_changed):
            signal.connect(self._on_models)

    def _need_store(self) -> Store:
        if self._store is None:
            self._store = Store(self.folder)
            self._touch_all()
            self.events.project_changed.emit()
        return self._store

    def _touch_all(self) -> None:
        for name in self.documents.names:
            self.documents.touch(name)

    def _track(self) -> None:
        """Take up truths that are new, and let go of those that are gone or mean something else now."""
        present = {
            (image_id, key): labels for image_id, image in self.images.items() for key, labels in image.labels.items()
        }
        for place, tracker in tuple(self._trackers.items()):
            if present.get(place) is not tracker.labels:
                del self._trackers[place]
                tracker.close()
                image = self.images.get(place[0])
                if image is not None and self._store is not None and place not in present:
                    # Its classes changed: the same labels come back under another meaning, in other files.
                    self._dropped.append((tracker.image, tracker.name))
        for place, labels in present.items():
            if place not in self._trackers:
                self._add_tracker(self.images[place[0]], place[1], labels, saved=False)

    def _add_tracker(self, image: ImageState, key: TruthKey, labels: LabelState, *, saved: bool) -> None:
        self._trackers[image.image_id, key] = TruthTracker(
            labels, image_folder(image.image_id), truth_name(key), key, saved=saved
        )

    def _save_documents(self) -> None:
        """Hand on the list of images and the documents that changed."""
        store = self._store
        if store is None:
            if self._folder is None:
                return
            store = self._need_store()
        if self.settings is not self._saved_settings:
            self._saved_settings = self.settings
            self.documents.touch("settings")
        view = self._dump_view()
        if view != self._saved_view:
            self._saved_view = view
            self.documents.touch("view")
        entries = self._describe_images()
        if entries != self._images_json:
            self._images_json = entries
            store.put_images(entries)
        for name, value in self.documents.take_touched().items():
            store.put_document(name, value)

    def _describe_images(self) -> list[dict[str, Any]]:
        folder = self.folder.path
        before = {entry["id"]: entry for entry in self._images_json}
        for image_id, entry in before.items():
            # What was corrected in an image that was taken off the screen is not thrown away.
            if image_id not in self.images and says_something(entry):
                self._gone.setdefault(image_id, entry)
        entries = [
            image_to_json(
                image,
                [tracker for (owner, _), tracker in self._trackers.items() if owner == image_id],
                folder,
                self._copies.get(image_id),
            )
            for image_id, image in self.images.items()
        ]
        return entries + [entry for image_id, entry in self._gone.items() if image_id not in self.images]

    def _image_kept(self, image_id: str, source: ImageSource) -> None:
        if image_id in self._gone:
            parts = describe(source, self.folder.path, self._copies.get(image_id))
            copied = image_id in self._copies
            self._gone[image_id] = {**self._gone[image_id], "parts": parts, "copied": copied}

    def _on_models(self) -> None:
        finished = getattr(self, "newest_round", None)
        if finished is not None:
            self._decisions[Path(finished.candidate.path).name] = asdict(finished.decision)
        if self.model is not None:
            self._used |= {Path(self.model.path).name}
        self.documents.touch("models")

    def _dump_settings(self) -> Any:
        return settings_to_json(self.settings)

    def _load_settings(self, value: Any) -> None:
        self.settings = self._saved_settings = settings_from_json(value)

    def _dump_models(self) -> Any:
        return models_to_json(self.versions, self.model, self.folder.path, self._taught, self._decisions, self._used)

    def _dump_view(self) -> Any:
        return view_to_json(getattr(self, "last_view", None))
