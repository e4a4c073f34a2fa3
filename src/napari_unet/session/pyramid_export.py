"""Writing the labels of a large image to where the user wants them."""

from __future__ import annotations

import json
from pathlib import Path

from napari_unet.errors import UserError
from napari_unet.jobs import Job
from napari_unet.session.exporting import Exporting
from napari_unet.session.pyramid_tasks import CopyRequest, copy_pyramid
from napari_unet.session.pyramids import Pyramids


class PyramidExport(Pyramids, Exporting):
    """Exports pyramids as they are: OME-Zarr."""

    def export_labels(self, image_id: str, path: str | Path, overwrite: bool = False) -> Job | None:
        """Write the labels of an image; of a large one, or of its work area, all of them as OME-Zarr.

        Raises
        ------
        UserError
            If there are no labels, or the name does not fit.
        OutputError
            Through `events.message`, if the file cannot be written.
        """
        area = self.image(image_id).area
        image_id = image_id if area is None else area.parent
        if not self.image(image_id).large:
            return super().export_labels(image_id, path, overwrite)
        pyramid = self.pyramid(image_id)
        if pyramid is None:
            raise UserError("The image has no labels yet.", "Click Segment first.")
        self.need_idle("segment")  # half of the copy would be of before
        if Path(path).suffix.lower() != ".zarr":
            raise UserError(
                f"The labels of a large image are written as OME-Zarr; the name is '{Path(path).name}'.",
                "Choose a name that ends with .ome.zarr.",
            )
        self._pyramid_writer.finish()
        origin, source = self.pyramid_origin(image_id), self.image(image_id).source
        provenance = {
            "image": source.path or source.name,
            "model": origin.model.name if origin.model else None,
            "model_hash": origin.model.weights_hash if origin.model else None,
            "settings": origin.settings,
            "level": source.level,
            "known_voxels": sum(one.labels.truth.n_known for one in self.worked_on(image_id)),
        }
        request = CopyRequest(str(pyramid.path), str(path), json.dumps(provenance), overwrite)
        return self.start_job(
            "export", copy_pyramid, request, lane="files", on_done=lambda copy: self._written(str(copy))
        )
