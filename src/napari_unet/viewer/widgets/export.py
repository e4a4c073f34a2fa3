"""The section that writes files, and takes labels from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton

from napari_unet.errors import UserError
from napari_unet.image.axes import label_axes
from napari_unet.model.exporting import FORMATS
from napari_unet.viewer.layers import remembered
from napari_unet.viewer.widgets.about_model import AboutDialog
from napari_unet.viewer.widgets.parts import Section, enable

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.viewer.link import ViewerLink

MODEL_FILES = ";;".join(f"{what} (*{ending})" for ending, what in FORMATS.values())


class ExportSection(Section):
    """Labels as TIFF, the model as one file, the objects as a table; labels from elsewhere.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Export")
        self.link, self.session = link, link.session
        self.labels = QPushButton("Labels")
        self.labels.clicked.connect(self._export_labels)
        self.model = QPushButton("Model")
        self.model.clicked.connect(self._export_model)
        self.table = QPushButton("Table")
        self.table.clicked.connect(self._export_table)
        for button in (self.labels, self.model, self.table):
            self.header.addWidget(button, 1)
        self.take = QPushButton("Import labels")
        self.take.setMenu(QMenu(self.take))
        self.take.menu().aboutToShow.connect(self._fill_import)
        self.row(self.take, stretch=True)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be written now."""
        image_id, model = self.link.image.image_id, self.session.model
        labels = None if image_id is None else self.session.labels(image_id)
        large = None if self.link.image.base_id is None else self.session.pyramid(self.link.image.base_id)
        busy = "A file is being written." if "export" in self.session.jobs else ""
        none = "" if labels is not None else "The image has no labels yet: click Segment first."
        kind = "OME-Zarr, all of the image" if large is not None else "TIFF"
        tip = f"Write the labels as {kind}, with voxel size and where they come from"
        enable(self.labels, busy or ("" if large is not None else none), tip)
        enable(self.table, busy or none, "Measure the objects: a CSV file, and the features of the layer")
        enable(self.model, busy or ("" if model is not None else "No model is chosen."), "Write the model as one file")
        missing = "" if self.link.image.source is not None else "There is no image."
        enable(self.take, missing or ("" if model is not None else "No model is chosen."), "Take labels from a layer")

    # ---- writing -------------------------------------------------------------------------------

    def _export_labels(self) -> None:
        large = self.link.image.is_large
        kind, ending = ("OME-Zarr (*.zarr)", "_labels.ome.zarr") if large else ("TIFF (*.tif)", "_labels.tif")
        self._write("Write labels", kind, ending, self.session.export_labels)

    def _export_table(self) -> None:
        def write(image_id: str, path: str, overwrite: bool) -> None:
            self.session.export_table(image_id, path, overwrite, self._features)

        self._write("Write a table", "CSV (*.csv)", "_objects.csv", write)

    def _export_model(self) -> None:
        model = self.session.model
        if model is None:
            return
        path, asked = self._ask("Write the model", MODEL_FILES, f"{model.header.name}.safetensors")
        if not path:
            return
        if Path(path).suffix.lower() != FORMATS["bioimageio"][0]:
            self.link.run(lambda: self.session.export_model(path, overwrite=asked))
            return
        dialog = AboutDialog(self, model.header.name)
        if dialog.exec():
            about, fixed = dialog.about(), not dialog.measure.isChecked()
            image = self.link.image
            self.link.run(
                lambda: self.session.export_model(path, asked, image_id=image.need(), about=about, fixed=fixed)
            )

    def _write(self, title: str, kind: str, ending: str, write: Callable[[str, str, bool], Any]) -> None:
        image_id, layer = self.link.image.image_id, self.link.image.layer
        if image_id is None or layer is None:
            return
        path, asked = self._ask(title, kind, f"{layer.name}{ending}")
        if path:
            self.link.run(lambda: write(image_id, path, asked))

    def _ask(self, title: str, kind: str, name: str) -> tuple[str, bool]:
        """Return a path, empty if there is none, and whether an existing file of this name may go.

        The file dialog asks that, but about files, and about the name as it was typed: about a folder, and about
        a name that is completed here, the question comes here.
        """
        layer = self.link.image.layer
        folder = Path(layer.source.path).parent if layer is not None and layer.source.path else Path()
        safe = "".join(c if c.isalnum() or c in " ._-+[]()" else "_" for c in name)
        path, chosen = QFileDialog.getSaveFileName(self, title, str(folder / safe), kind)
        suffix = chosen.rpartition("*")[2].rstrip(")") or Path(safe).suffix
        if not path:
            return "", False
        if Path(path).suffix and not Path(path).is_dir():
            return path, True
        path = path if Path(path).suffix else f"{path}{suffix}"
        if not Path(path).exists():
            return path, False
        question = f"{Path(path).name} exists already. Replace it?"
        agreed = QMessageBox.question(self, title, question) == QMessageBox.StandardButton.Yes
        return (path, True) if agreed else ("", False)

    def _features(self, columns: dict[str, Any]) -> None:
        """Put the measurements into the layer's features too, where napari shows them."""
        result = self.link.result()
        if result is not None:
            result.layer.features = {("index" if name == "label" else name): column for name, column in columns.items()}

    # ---- reading -------------------------------------------------------------------------------

    def _fill_import(self) -> None:
        menu, result = self.take.menu(), self.link.result()
        menu.clear()
        for layer in self.link.viewer.layers:
            ours = result is not None and layer is result.layer
            if type(layer).__name__ == "Labels" and not ours and not remembered(layer).get("helper"):
                sub = menu.addMenu(layer.name)
                sub.addAction("as prediction", lambda chosen=layer: self._import(chosen, False))
                sub.addAction("as truth: every voxel becomes known", lambda chosen=layer: self._import(chosen, True))
        if menu.isEmpty():
            menu.addAction("Open or make a Labels layer first").setEnabled(False)

    def _import(self, layer: Labels, as_truth: bool) -> None:
        def command() -> None:
            image_id, source = self.link.image.need(), self.link.image.source
            axes = label_axes("" if source is None else source.axes)
            data = layer.data[0] if layer.multiscale else layer.data
            if data.ndim != len(axes):
                shape = tuple(data.shape)
                raise UserError(
                    f"The layer '{layer.name}' has shape {shape}; the labels of this image have the axes {axes}.",
                    "Choose a Labels layer of the image's shape without channels.",
                )
            import numpy as np

            self.session.import_labels(image_id, np.asarray(data), axes, as_truth=as_truth)

        self.link.run(command)
