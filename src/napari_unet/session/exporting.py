"""Commands that write and read files: labels, tables, models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError, OutputError, UserError
from napari_unet.image.axes import canonical_view, from_canonical, label_axes
from napari_unet.image.boxes import Box, whole
from napari_unet.jobs import Job
from napari_unet.learning.edits import combine
from napari_unet.model.checkpoint import find_checkpoint
from napari_unet.model.exporting import format_of
from napari_unet.model.exporting.about import About
from napari_unet.session.core import SessionCore
from napari_unet.session.export_tasks import LabelFile, TableFile, export_labels, export_model, export_table
from napari_unet.session.handing_on import ModelFile, hand_on
from napari_unet.session.predicting import PredictionWriter
from napari_unet.session.state import LabelState, Origin
from napari_unet.session.tasks import LabelBlock


class Exporting(SessionCore):
    """What leaves the session and what comes in from files."""

    def provenance(self, image_id: str) -> dict[str, Any]:
        """Return what the labels of an image came from: model, settings, image, hand edits."""
        image, labels = self.image(image_id), self._labels_to_export(image_id)
        model = labels.model
        return {
            "image": image.source.path or image.source.name,
            "model": model.name if model else None,
            "model_hash": model.weights_hash if model else None,
            "classes": [c.name for c in model.output.classes] if model else None,
            "settings": labels.origin.settings,
            "in_training": self.in_training(image_id),
            "edited_voxels": int(np.count_nonzero(labels.truth.changed)),
            "known_voxels": labels.truth.n_known,
        }

    def in_training(self, image_id: str) -> bool:
        """Whether the model that made the labels on screen, or a parent of it, has learned from this image."""
        labels = self.labels(image_id)
        return labels is not None and labels.model is not None and image_id in self.taught_by(labels.model.weights_hash)

    def export_labels(self, image_id: str, path: str | Path, overwrite: bool = False) -> Job | None:
        """Write the labels of an image as TIFF, with voxel size, axes and provenance.

        Raises
        ------
        UserError
            If there are no labels.
        OutputError
            Through `events.message`, if the file cannot be written.
        """
        image, labels = self.image(image_id), self._labels_to_export(image_id)
        source = image.source
        request = LabelFile(
            str(path),
            labels.array.copy(),
            label_axes(source.axes),
            source.scale,
            source.units,
            self.provenance(image_id),
            overwrite,
            (source.path,) if source.path else (),
        )
        return self.start_job("export", export_labels, request, lane="files", on_done=self._written)

    def export_table(
        self,
        image_id: str,
        path: str | Path | None,
        overwrite: bool = False,
        then: Callable[[dict[str, Any]], None] = lambda columns: None,
    ) -> Job | None:
        """Measure the objects of an image; write a CSV if a path is given; hand the columns on."""
        labels, axes = self._labels_to_export(image_id), label_axes(self.image(image_id).source.axes)
        settings = {name: value for name, value in labels.origin.settings.items() if name != "seconds"}
        request = TableFile(
            None if path is None else str(path),
            labels.array.copy(),
            axes,
            self.lazy_source(image_id),
            labels.model.weights_hash if labels.model else "",
            json.dumps(settings, sort_keys=True),
            self.in_training(image_id),
            from_canonical(labels.truth.changed, axes).copy(),
            overwrite,
        )

        def done(columns: dict[str, Any]) -> None:
            then(columns)
            if path is not None:
                self._written(str(path))

        return self.start_job("export", export_table, request, lane="files", on_done=done)

    def export_model(
        self,
        path: str | Path,
        overwrite: bool = False,
        *,
        format: str | None = None,
        image_id: str | None = None,
        about: About | None = None,
        fixed: bool = True,
    ) -> Job | None:
        """Write the current model: as our own file, a bioimage.io package, TorchScript or ONNX.

        Parameters
        ----------
        path : str or Path
            Where; its ending tells the format.
        overwrite : bool
            Replace an existing file.
        format : str, optional
            One of `napari_unet.model.exporting.FORMATS`, where the ending does not tell.
        image_id : str, optional
            For a package: the image that its test values are taken from.
        about : About, optional
            For a package: authors and licence.
        fixed : bool
            For a package: normalize every tile by the intensities of that image.

        Raises
        ------
        OutputError
            If the format is not known, or what a package needs is missing.
        """
        model, kind = self.need_model(), format_of(Path(path), format)
        if kind == "safetensors":
            plain = (str(find_checkpoint(model.path)), str(path), overwrite)
            return self.start_job("export", export_model, plain, lane="files", on_done=self._written)
        if kind == "bioimageio" and (image_id is None or about is None):
            raise OutputError(
                "A package needs an image for its test values, authors and a licence.", "Choose an image and say who."
            )
        example = None if image_id is None else self.lazy_source(image_id)
        request = ModelFile(model.path, str(path), kind, overwrite, example, about, fixed)
        return self.start_job("export", hand_on, request, lane="files", on_done=self._handed_on)

    def _handed_on(self, result: tuple[str, tuple[str, ...]]) -> None:
        path, notes = result
        self.events.message.emit("info", " ".join((f"Wrote {Path(path).name}.", *notes)), path)

    def import_labels(self, image_id: str, array: npt.NDArray[Any], axes: str, *, as_truth: bool) -> None:
        """Take labels from elsewhere as a prediction, or as the truth about every voxel.

        Parameters
        ----------
        image_id : str
            Which image.
        array : ndarray of int
            Labels in the order of `axes`, of the image's shape without channels.
        axes : str
            Letters of T, Z, Y, X.
        as_truth : bool
            Make every voxel known.

        Raises
        ------
        ImageError
            If the labels do not fit the image.
        """
        if not np.issubdtype(array.dtype, np.integer):
            raise ImageError(
                f"The labels have type {array.dtype}, expected integers.", "Convert them to an integer type first."
            )
        if array.size and int(array.min()) < 0:
            raise ImageError(
                f"The labels go down to {int(array.min())}, expected 0 or more.", "Remove negative labels."
            )
        largest = np.iinfo(np.uint32).max
        if array.size and int(array.max()) > largest:
            raise ImageError(
                f"The labels go up to {int(array.max())}, expected {largest} at most.", "Number them anew."
            )
        values, shape = canonical_view(array, axes), self.image(image_id).source.shape
        if values.shape != shape:
            raise ImageError(
                f"The labels have shape {values.shape} (T, Z, Y, X), the image has {shape}.",
                "Choose the labels of this image.",
            )
        self.need_no_round()
        self.need_idle("segment")
        labels = self.ensure_labels(image_id)
        self.need_lifted(labels)
        if as_truth:
            self._import_truth(image_id, labels, values)
            return
        writer = PredictionWriter(self, image_id, labels, "import labels")
        for t in range(shape[0]):
            writer.take(LabelBlock(t, whole(shape[1:]), values[t].astype(np.uint32), provisional=False))
        writer.finish(Origin(settings={"imported": True}))

    def _import_truth(self, image_id: str, labels: LabelState, values: npt.NDArray[Any]) -> None:
        box: Box = whole(values.shape[1:])
        everywhere = np.ones(values.shape[1:], bool)
        edits = [labels.truth.paint(t, box, everywhere, plane) for t, plane in enumerate(values)]
        change = combine(edit for edit in edits if edit is not None)
        self.record("import truth", image_id, labels, change)
        self.tell_places(image_id, labels, tuple((t, box) for t in range(len(values))))

    def _labels_to_export(self, image_id: str) -> LabelState:
        labels = self.labels(image_id)
        if labels is None:
            raise UserError("The image has no labels yet.", "Click Segment first.")
        return labels

    def _written(self, path: str) -> None:
        self.events.message.emit("info", f"Wrote {Path(path).name}.", str(path))
