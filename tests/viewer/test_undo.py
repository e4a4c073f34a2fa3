"""The one undo: strokes and predictions in the order in which they happened, never a stale prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.inference.labels.objects import ObjectSettings

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def segmented(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> Any:
    """Return the panel after a first segmentation, the result layer active with the brush."""
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.pump(0.2)
    screen.push(panel.segment.button)
    screen.pump(0.1)
    layer = panel.link.result().layer
    panel.link.viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = "paint", 10
    return panel


def test_paint_segment_again_undo_all_the_way_redo(segmented: Any, screen: Any) -> None:
    panel, session = segmented, segmented.session
    image_id = panel.link.image.image_id
    layer, truth = panel.link.result().layer, session.labels(image_id).truth
    mine: dict[str, np.ndarray] = {}

    def check() -> None:
        known = truth.known[0, 0]
        assert np.array_equal(layer.data[~known], truth.prediction[0, 0][~known]), "a stale prediction"

    first = layer.data.copy()
    assert first.any()
    layer.selected_label = 5000
    screen.drag((20, 20), (25, 60), (40, 90))
    mine["first"] = layer.data == 5000
    check()
    # Segment again, with settings that give something else.
    session.set_objects(ObjectSettings(threshold=0.8, min_size=60))
    screen.push(panel.segment.button)
    screen.pump(0.1)
    assert (layer.data != np.where(mine["first"], 5000, first)).any(), "the second prediction is another one"
    assert (layer.data[mine["first"]] == 5000).all()
    check()
    layer.selected_label = 6000
    screen.drag((120, 40), (120, 160))
    check()
    last, known_last = layer.data.copy(), truth.known.copy()

    titles = []
    while session.history.next_undo and session.history.next_undo != "choose model":
        titles.append(session.history.next_undo)
        screen.key(Qt.Key.Key_Z, CTRL)
        check()
        # napari's own undo finds nothing, at no time.
        before = layer.data.copy()
        layer.undo()
        assert np.array_equal(layer.data, before)
        if len(titles) == 2:
            assert (layer.data[mine["first"]] == 5000).all(), "the stroke stays when the prediction over it goes"
    assert titles == ["paint", "segment", "paint", "segment"]
    assert not layer.data.any()
    assert not truth.known.any()

    for _ in titles:
        screen.key(Qt.Key.Key_Z, CTRL, SHIFT)
        check()
    assert np.array_equal(layer.data, last)
    assert np.array_equal(truth.known, known_last)
    assert layer.mode == "paint"


def test_delete_join_and_accept_are_steps_too(segmented: Any, screen: Any) -> None:
    panel, session = segmented, segmented.session
    layer = panel.link.result().layer
    first = layer.data.copy()
    ids = [value for value in np.unique(first) if value][:3]
    centers = []
    for value in ids:
        voxels = np.argwhere(first == value)
        centers.append(voxels[np.abs(voxels - voxels.mean(0)).sum(1).argmin()])
    screen.move(centers[0])
    screen.key(Qt.Key.Key_D)
    assert not (layer.data == ids[0]).any()
    screen.move(centers[1])
    screen.key(Qt.Key.Key_J)
    assert "other object" in panel.known.hint.text()
    screen.move(centers[2])
    screen.key(Qt.Key.Key_J)
    assert (layer.data[first == ids[2]] == ids[1]).all()
    screen.key(Qt.Key.Key_A, SHIFT)
    assert session.known_counts(panel.link.image.image_id)[0] > 1000
    for title in ("accept view", "join", "delete"):
        assert session.history.next_undo == title
        screen.push(panel.known.undo)
    assert np.array_equal(layer.data, first)
    assert session.known_counts(panel.link.image.image_id) == (0, 0)


def test_painting_never_leaves_the_time_point(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    stack = np.stack([nuclei[0]] * 3)
    visible_viewer.add_image(stack, name="film", axis_labels=("t", "y", "x"))
    screen.pump(0.2)
    panel.link.image.view()
    panel.link.run(lambda: panel.session.segment(panel.link.image.need(), 1, None, all_times=False))
    screen.pump(0.1)
    layer = panel.link.result().layer
    assert layer.n_edit_dimensions == 2
    panel.link.viewer.layers.selection.active = layer
    visible_viewer.dims.set_point(0, 1)
    layer.selected_label, layer.mode = 777, "paint"
    screen.drag((20, 20), (60, 60))
    assert (layer.data[1] == 777).any()
    assert not (layer.data[[0, 2]] == 777).any()
    truth = panel.session.labels(panel.link.image.image_id).truth
    assert not truth.known[[0, 2]].any()
    visible_viewer.dims.order = (1, 0, 2)
    assert not layer.editable
    assert "Painting is off" in panel.known.painting.text()
    visible_viewer.dims.order = (0, 1, 2)
    assert layer.editable
    assert not panel.known.painting.text()
