"""The whole loop in a real window: real mouse strokes, keys and clicks, a real worker process, a real file.

With NAPARI_UNET_SCREENSHOTS set to a folder, pictures of the window are written there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from skimage.data import immunohistochemistry

from napari_unet.io.labels import read_labels
from napari_unet.model.header import COLORS, ClassInfo
from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.widgets.panel import UNetPanel

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
WINDOW = (1366, 768)


def test_segment_paint_undo_accept_retrain_export(
    visible_viewer: Any, screen: Any, work_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = visible_viewer
    viewer.window.resize(*WINDOW)
    image = immunohistochemistry()[200:456, 60:316]
    layer = viewer.add_image(image, name="tissue", scale=(0.5, 0.5), units=("µm", "µm"))
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net")
    session = panel.session
    screen.pump(0.5)
    try:
        # Segment: labels appear; selection and mode stay the user's.
        screen.push(panel.segment.button)
        screen.wait_until(lambda: "segment" not in session.jobs)
        screen.pump(0.2)
        result = panel.link.result()
        assert result is not None
        labels = result.layer
        assert labels.data.max() > 3
        assert bare_viewer(viewer).layers.selection.active is bare_viewer(layer)
        assert np.allclose(labels.scale, (0.5, 0.5))
        predicted = labels.data.copy()
        screen.picture("segmented")

        # Paint with napari's own brush, then Ctrl-Z and Ctrl-Shift-Z on the canvas.
        bare_viewer(viewer).layers.selection.active = labels
        labels.selected_label = int(predicted.max()) + 1
        labels.brush_size, labels.mode = 8, "paint"
        screen.drag((22.5, 43.5), (26, 46.5), (29.5, 49.5))
        painted = labels.data.copy()
        assert (painted == labels.selected_label).sum() > 100
        screen.picture("painted")
        screen.key(Qt.Key.Key_Z, CTRL)
        assert np.array_equal(labels.data, predicted)
        assert session.known_counts(panel.link.image.image_id)[0] == 0
        screen.key(Qt.Key.Key_Z, CTRL, SHIFT)
        assert np.array_equal(labels.data, painted)
        assert labels.mode == "paint"

        # Accept and delete objects under the pointer by key.
        ids = [value for value in np.unique(predicted) if value]
        centers = [np.argwhere(predicted == value).mean(0).round().astype(int) for value in ids]
        inside = [c for c, value in zip(centers, ids, strict=True) if predicted[tuple(c)] == value and min(c) > 80]
        assert len(inside) >= 2
        labels.mode = "pan_zoom"
        before = session.known_counts(panel.link.image.image_id)[0]
        for center in inside[:-1][:4]:
            screen.move(center * 0.5)
            screen.key(Qt.Key.Key_A)
        accepted = session.known_counts(panel.link.image.image_id)[0]
        assert accepted > before

        # Zoom in and accept the view, background included.
        camera = bare_viewer(viewer).scene.camera
        center, zoom = camera.center, camera.zoom
        camera.center, camera.zoom = (0, 95, 76), 3 * zoom
        screen.pump(0.2)
        screen.key(Qt.Key.Key_A, SHIFT)
        camera.center, camera.zoom = center, zoom
        screen.pump(0.2)
        assert session.known_counts(panel.link.image.image_id)[0] > accepted + 2000
        screen.move(inside[-1] * 0.5)
        screen.key(Qt.Key.Key_D)
        assert labels.data[tuple(inside[-1])] == 0
        corrected, known = labels.data.copy(), session.known_mask(panel.link.image.image_id)[0, 0].copy()

        # What is known, shown and hidden by key; nothing is left behind.
        n_layers = len(viewer.layers)
        screen.key(Qt.Key.Key_K)
        assert len(viewer.layers) == n_layers + 1
        screen.pump(0.3)
        screen.picture("known")
        screen.key(Qt.Key.Key_K)
        assert len(viewer.layers) == n_layers

        steps = 40 if os.environ.get("NAPARI_UNET_SCREENSHOTS") else 4
        # Retrain for a few steps: what is known stays exactly as the user left it.
        panel.retrain.button.clicked.disconnect()
        panel.retrain.button.clicked.connect(lambda: panel.link.run(lambda: session.retrain(None, steps=steps)))
        screen.push(panel.retrain.button)
        screen.wait_until(lambda: len(session.curve.loss) > steps // 2 or "train" not in session.jobs)
        screen.picture("retraining")
        screen.wait_until(lambda: not session.jobs)
        screen.pump(0.2)
        assert panel.retrain.verdict.text()
        screen.picture("retrained")
        if session.round is not None:
            assert panel.retrain.keep.isVisible()
            screen.push(panel.retrain.keep)
            screen.wait_until(lambda: not session.jobs)
        assert np.array_equal(labels.data[known], corrected[known])

        # Export, and read the file back.
        target = tmp_path / "tissue_labels.tif"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(target), ""))
        screen.push(panel.export.labels)
        screen.wait_until(lambda: "export" not in session.jobs)
        written, axes, scale, provenance = read_labels(target)
        assert axes == "YX"
        assert np.array_equal(written, labels.data)
        assert np.allclose(scale[-2:], (0.5, 0.5))
        assert provenance["model_hash"] == session.model.header.weights_hash
        screen.picture("exported")
    finally:
        panel.dispose()
    # Closing the panel leaves plain layers behind: no callback of ours, no helper.
    assert not any("napari_unet" in getattr(f, "__module__", "") for f in labels.mouse_drag_callbacks)
    assert [other.name for other in viewer.layers] == ["tissue", "tissue labels"]


def test_two_strokes_give_a_first_result(
    panel: Any, visible_viewer: Any, screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible_viewer.window.resize(*WINDOW)
    classes = (ClassInfo("glass", COLORS[0]), ClassInfo("gland", COLORS[1]))
    monkeypatch.setattr("napari_unet.viewer.widgets.model.ask_classes", lambda *args: ("glands", classes))
    visible_viewer.add_image(immunohistochemistry()[::4, ::4], name="tissue")
    screen.pump(0.3)
    panel.model.start_from_strokes()
    screen.pump(0.1)
    session = panel.session
    session.settings = replace(session.settings, first_steps=30)
    result = panel.link.result()
    result.layer.brush_size = 6
    for row, (start, stop) in enumerate((((84, 4), (92, 8)), ((20, 25), (35, 35)))):
        panel.classes.list.itemClicked.emit(panel.classes.list.item(row))
        screen.drag(start, stop)
    screen.wait_until(lambda: not session.jobs)
    screen.pump(0.1)
    labels = result.layer.data
    assert not session.model.untrained
    assert set(np.unique(labels)) == {0, 1}
    assert labels[28, 30] == 1
    assert labels[88, 6] == 0
    assert (labels == 1).sum() > 500
    screen.picture("classes")
