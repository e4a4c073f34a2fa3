"""Commands around the project as a whole: open it again, point to a moved image, move it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_unet.errors import UserError
from napari_unet.project.folder import WorkFolder
from napari_unet.project.images import open_again
from napari_unet.project.recent import RecentProject, recent_projects, remember
from napari_unet.project.store import Store
from napari_unet.session.describing import view_from_json
from napari_unet.session.restoring import OWN, Restoring
from napari_unet.session.state import ModelVersion
from napari_unet.session.steps import ModelStep, PredictionStep, moved, origin_moved


class Reopening(Restoring):
    """What the user does with the project as a whole."""

    @property
    def project_path(self) -> Path | None:
        """The folder of the project; None until there is something to save."""
        return None if self._folder is None else self._folder.path

    def recent_projects(self, limit: int = 10) -> list[RecentProject]:
        """Return the projects that can be opened again, the latest first."""
        return recent_projects(limit)

    def open_project(self, path: str | Path) -> None:
        """Open a project in place of what the session holds, which is saved first.

        Images are opened from where they were, seen from the project first. One that was moved or that
        changed is told, and waits in `missing_images` for `relink_image`; what is known in it stays.

        Parameters
        ----------
        path : path
            The folder of the project.

        Raises
        ------
        UserError
            If it is no project, of a newer version, damaged, or open elsewhere, or if a job runs. The
            session then is as it was.
        """
        self._need_rest()
        path = Path(path).resolve()
        if self.project_path == path:
            return
        folder = WorkFolder(path)
        try:
            documents = folder.documents()
            entries = list(documents.get("images", {}).get("images", ()))
            models = list(documents.get("models", {}).get("models", ()))
        except (UserError, AttributeError, TypeError) as error:
            folder.close()
            raise (
                error
                if isinstance(error, UserError)
                else UserError(
                    f"The project '{path.name}' is damaged: {error}.", "Restore its JSON files from a backup."
                )
            ) from error
        self._leave()
        self._folder, self._store = folder, Store(folder)
        remember(path)
        problems: list[UserError] = []
        self.documents.load({**self._fresh, "settings": documents.get("settings", {})})
        self._load_models(models, folder, problems)
        for entry in entries:
            self._load_image(entry, folder, problems)
        self._number_on(str(entry["id"]) for entry in entries)
        view = view_from_json(documents.get("view"))
        if view is not None and view[0] in self.images:
            self.last_view = view
        self.documents.load({name: value for name, value in documents.items() if name not in OWN})
        self._tell_opened(problems)
        if self.model is not None:
            self.check_trusted(self.model.path, self.model.header)  # it may come from another computer

    def relink_image(self, image_id: str, path: str | Path) -> None:
        """Point to where an image of the project is now; what is known in it comes back.

        Parameters
        ----------
        image_id : str
            A key of `missing_images`.
        path : path
            The image file.

        Raises
        ------
        UserError
            If the image is not missing, or this file does not fit what is known.
        """
        from napari_unet.io.images import read_image  # slow to import, and the panel opens at once

        entry = self._gone.get(image_id)
        if entry is None or image_id not in self.missing_images:
            raise UserError(f"No image '{image_id}' is missing.", "Choose one of those that are.")
        parts = entry["parts"]
        if len(parts) > 1 or parts[0]["file"] is None:
            source = replace(read_image(path), name=entry["name"])
        else:
            file = {"relative": None, "absolute": str(Path(path).resolve())}
            source, _ = open_again([{**parts[0], "file": file}], self.folder.path, entry["name"], check=False)
        if list(source.shape) != list(entry["shape"]):
            raise UserError(
                f"'{path}' has the shape {source.shape} (T, Z, Y, X); the image had {tuple(entry['shape'])}.",
                "Point to the image that was worked on.",
            )
        self._take_image(entry, source)
        del self.missing_images[image_id]
        self._images_json = []
        self.events.images_changed.emit()
        self.events.known_changed.emit(image_id)

    def move_project(self, to: str | Path) -> Path:
        """Move the project to another folder, also on another disk, and go on there.

        Parameters
        ----------
        to : path
            The new folder; an existing one gets the project as a folder inside it.

        Returns
        -------
        Path
            Where the project is now.

        Raises
        ------
        UserError
            If a job runs, nothing is saved yet, or it cannot be moved.
        """
        self._need_rest()
        self.need_no_round()
        target = Path(to).resolve()
        before = self.folder
        if target.is_dir():
            target = target / before.path.name
        if target.exists():
            raise UserError(f"'{target}' exists already.", "Choose another folder.")
        if target.is_relative_to(before.path):
            raise UserError("The project cannot be moved into itself.", "Choose another folder.")
        self._close_project()
        try:
            self._folder = before.move(target)
        finally:
            self._store = Store(self.folder)
            self._track_saved()
        remember(target)
        self._rebase(before.path, target)
        self._images_json = []
        self._touch_all()
        self.save()
        self.events.project_changed.emit()
        return target

    def _need_rest(self) -> None:
        """Raise a `UserError` while a job runs or a stroke is under way."""
        for name in self.jobs:
            if name != "keep":
                self.need_idle(name)
        for image in self.images.values():
            for labels in image.labels.values():
                self.need_lifted(labels)
        if "keep" in self.jobs:  # it stops within a plane, and what is left is copied when the project is left
            job = self.jobs["keep"].job
            self.cancel("keep")
            self.runner.wait(job)

    # ---- moving --------------------------------------------------------------------------------

    def _rebase(self, old: Path, new: Path) -> None:
        """Let everything that lies in the project be found at its new place."""
        from napari_unet.io.images import read_image

        versions: dict[int, ModelVersion] = {}
        for version in self.versions:
            path = Path(version.path)
            if path.is_relative_to(old):
                versions[id(version)] = replace(version, path=str(new / path.relative_to(old)))
        current = self.model
        self.versions = [versions.get(id(version), version) for version in self.versions]
        self.model = None if current is None else versions.get(id(current), current)
        # Steps that change the model speak of the old paths.
        self.history.forget(lambda step: isinstance(step, ModelStep))
        self.last_round, self.newest_round = None, None
        for image_id, scores in tuple(self._unfinished.items()):
            self._unfinished[image_id] = moved(scores, old, new)
        for labels in (labels for image in self.images.values() for labels in image.labels.values()):
            labels.origin = origin_moved(labels.origin, old, new)
        self.history.change(lambda step: step.moved(old, new) if isinstance(step, PredictionStep) else step)
        for image_id, copy in tuple(self._copies.items()):
            path = new / Path(copy).relative_to(old)
            self._copies[image_id] = str(path)
            source = self.images[image_id].source if image_id in self.images else None
            if source is not None and source.path == copy:
                again = replace(source, data=read_image(path, source.axes).data, path=str(path))
                self._kept[image_id] = again.data
                self.replace_image(image_id, again)
        self.events.model_changed.emit()
