"""A large OME-Zarr: opened as a pyramid, segmented, corrected and found again in another window's project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_unet.image.boxes import as_box
from napari_unet.io.images import open_image, read_image
from napari_unet.io.lazy import file_behind
from napari_unet.viewer import reader
from napari_unet.viewer.lookup import bare_viewer


@pytest.fixture
def slide(tmp_path: Path, nuclei: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an OME-Zarr of three levels that counts as large."""
    monkeypatch.setattr(reader, "WHOLE_PLANE", 100 * 100)
    path = tmp_path / "slide.zarr"
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets: list[Any] = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [0.25 * 2**n] * 2}]} for n in range(3)
    ]
    ome: Any = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes={"ome": ome})
    big = np.kron(nuclei[0], np.ones((2, 2), nuclei[0].dtype))
    for n in range(3):
        group.create_array(str(n), data=np.ascontiguousarray(big[:: 2**n, :: 2**n]), chunks=(64, 64))
    return path


def test_levels_of_a_file(slide: Path) -> None:
    opened = open_image(slide)
    assert [level.shape for level in opened.levels] == [(320, 400), (160, 200), (80, 100)]
    assert read_image(slide).levels == 1  # who reads a file as one image gets the finest level of it
    ((data, arguments, kind),) = reader.read(slide)
    assert kind == "image" and arguments["multiscale"] and [level.shape for level in data][-1] == (80, 100)
    file = file_behind(data[1])
    np.testing.assert_array_equal(file[:], data[1].compute())
    assert file_behind(data[1] + 0) is None and file_behind(np.zeros(3)) is None


def test_a_level_that_is_missing_ends_the_pyramid(slide: Path) -> None:
    (slide / "1" / "zarr.json").unlink()
    assert len(open_image(slide).levels) == 1


def test_the_project_brings_pyramid_and_work_area_back(
    panel: Any, visible_viewer: Any, screen: Any, slide: Path
) -> None:
    viewer, session, link = bare_viewer(visible_viewer), panel.session, panel.link
    ((data, arguments, _),) = reader.read(slide)
    layer = viewer.add_image(data, **arguments)
    layer.metadata["napari_unet"] = {"path": str(slide)}
    link.image.read()
    link.image.answer_level(1)
    screen.pump(0.2)
    screen.push(panel.segment.button)
    screen.wait_until(lambda: "segment" not in session.jobs and link.pyramids.current(link.image.base_id) is not None)
    link.areas.set_from_view()
    area_id = link.image.image_id
    box = as_box((0, 20, 30), (1, 40, 60))
    session.accept_box(area_id, 0, box)
    known = session.labels(area_id).truth.known.copy()
    pyramid = np.asarray(link.pyramids.current(link.image.base_id).data[0])
    session.save()
    path = session.project_path
    session._leave()
    viewer.layers.clear()
    link.run(lambda: link.projects.open(path))
    screen.pump(0.3)
    names = [one.name for one in viewer.layers]
    assert sorted(names) == ["slide", "slide labels", "slide work area"], (names, panel.message.sentence.text())
    image, labels, area = (viewer.layers[name] for name in ("slide", "slide labels", "slide work area"))
    assert image.multiscale and link.image.source.level == 1 and link.image.image_id == area_id
    np.testing.assert_allclose(link.image.source.scale_um, (1, 0.5, 0.5))
    assert labels.multiscale and not labels.editable and area.editable
    np.testing.assert_array_equal(session.labels(area_id).truth.known, known)
    np.testing.assert_array_equal(np.asarray(labels.data[0]), pyramid)
    start = np.array([span.start for span in session.images[area_id].area.box[1:]])
    np.testing.assert_allclose(area.data_to_world((0, 0)), image.data_to_world((start + 0.5) * 2 - 0.5), atol=1e-6)
