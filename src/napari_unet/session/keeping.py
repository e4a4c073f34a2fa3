"""Images that can be opened again: those without a file are copied into the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_unet.image.source import ImageSource
from napari_unet.jobs import Job, JobContext, JobRunner, LazyArray
from napari_unet.project.folder import WorkFolder
from napari_unet.project.images import parts_of
from napari_unet.session.core import SessionCore
from napari_unet.session.describing import image_folder
from napari_unet.session.keeping_tasks import KeepRequest, keep_image


class Keeping(SessionCore):
    """Sees to it that what the user corrected can be opened again.

    As soon as something is known in an image, a job compares it with the file it is said to come from. An
    image without a file, or one that our readers do not find in it, is copied into the project.
    """

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._copies: dict[str, str] = {}  # image id to the copy in the project
        self._kept: dict[str, Any] = {}  # image id to the data that was found in a file, or copied
        self._to_keep: dict[str, ImageSource] = {}

    def remove_image(self, image_id: str) -> None:
        """Forget an image; a copy of it is still made where it is needed."""
        self._ask_to_keep(image_id)
        super().remove_image(image_id)

    def _ask_to_keep(self, image_id: str) -> None:
        image = self.image(image_id)
        known = any(labels.truth.n_known for labels in image.labels.values())
        if known and self._kept.get(image_id) is not image.source.data:
            self._to_keep[image_id] = image.source

    def _keep_images(self) -> None:
        """Start the next comparison or copy, if none runs."""
        for image_id in self.images:
            self._ask_to_keep(image_id)
        if not self._to_keep or "keep" in self.jobs:
            return
        image_id, source = next(iter(self._to_keep.items()))
        request = self._keep_request(image_id, source)

        def done(copy: str | None) -> None:
            self._keep_done(image_id, source, copy)

        def stopped(job: Job) -> None:
            if job.error is not None:  # it was told; to try again would tell it twice a second
                self._keep_done(image_id, source, None)

        self.start_job("keep", keep_image, request, lane="files", on_done=done, on_stopped=stopped)

    def _copy_now(self) -> None:
        """Compare and copy all that is left, here and now."""
        for image_id in self.images:
            self._ask_to_keep(image_id)
        context = JobContext(lambda kind, value: None, lambda: False)
        for image_id, source in tuple(self._to_keep.items()):
            self._keep_done(image_id, source, keep_image(context, self._keep_request(image_id, source)))

    def _keep_request(self, image_id: str, source: ImageSource) -> KeepRequest:
        stem, number = image_folder(image_id), 1
        target = self.folder.path / "images" / f"{stem}.zarr"
        while target.exists():
            number += 1
            target = target.with_name(f"{stem}.{number}.zarr")
        data = source.data if isinstance(source.data, LazyArray) else LazyArray(source.data)
        files = [part.path for part in parts_of(source)]
        # Several files are the channels of one image: each was opened by itself, as one image.
        path = source.path if len(files) == 1 else None
        return KeepRequest(path, data, source.axes, str(target), source.level)

    def _keep_done(self, image_id: str, source: ImageSource, copy: str | None) -> None:
        self._to_keep.pop(image_id, None)
        self._kept[image_id] = source.data
        if copy is None and source.path is not None and Path(source.path).is_relative_to(self.folder.path):
            copy = source.path  # the copy of an earlier day
        if copy is None:
            self._copies.pop(image_id, None)
        else:
            self._copies[image_id] = copy
        self._image_kept(image_id, source)

    def _image_kept(self, image_id: str, source: ImageSource) -> None:
        """Take notice that an image has its file; the list of images is written anew."""
