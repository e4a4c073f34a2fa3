"""The window of versions, what changed on the image, finalize and resume: in a real viewer, with real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QDialogButtonBox

from napari_unet.jobs import JobRunner
from napari_unet.learning.changes import CHANGED, GAINED, LOST
from napari_unet.model.header import ClassInfo
from napari_unet.session.comparing import Comparison
from napari_unet.viewer.changes import EDGE, ChangesOverlay, drawn
from napari_unet.viewer.lookup import bare_viewer


@pytest.fixture
def stricter(tmp_path: Path) -> Path:
    """Return a model file: nuclei-2d that is less easily convinced of an object."""
    import torch

    from napari_unet.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint("nuclei-2d")
    with torch.no_grad():
        checkpoint.network.head.bias[0] += 4.0
    return checkpoint.save(tmp_path / "stricter.safetensors")


@pytest.fixture
def opened(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, stricter: Path) -> Any:
    """Return the panel with a faint image, segmented by the first of two versions; the second is current."""
    image = nuclei[0].astype(np.float32)
    image[:, 100:] = image[:, 100:] * 0.6 + np.random.default_rng(0).normal(0, image.std() / 3, image[:, 100:].shape)
    visible_viewer.add_image(image, name="cells", scale=(0.5, 0.5), colormap="gray")
    screen.push(panel.segment.button)
    panel.session.select_model(stricter)
    screen.pump(0.1)
    return panel


def state(viewer: Any) -> tuple[Any, ...]:
    layers = bare_viewer(viewer).layers
    return (
        [layer.name for layer in layers],
        {layer.name for layer in layers.selection},
        layers.selection.active,
        [layer.mode for layer in layers],
        tuple(viewer.dims.point),
    )


def test_what_changed_is_shown_and_goes_with_the_window(opened: Any, visible_viewer: Any, screen: Any) -> None:
    session, layers = opened.session, bare_viewer(visible_viewer).layers
    labels = opened.link.result().layer
    layers.selection.active = labels
    labels.mode = "paint"
    before, values = state(visible_viewer), labels.data.copy()
    screen.push(opened.model.info)
    window = opened.model.history
    assert [window.tree.topLevelItem(row).text(0) for row in range(2)] == ["→ v2 nuclei-2d", "v1 nuclei-2d"]
    assert not window.compare.isEnabled()
    assert "current version" in window.compare.toolTip()
    assert state(visible_viewer) == before

    window.choose(session.versions[0])
    screen.push(window.compare)
    assert window.sentence.text().startswith("v1 → v2 in view: ")
    assert "gone" in window.sentence.text()
    shown = window.overlay.layer
    assert not shown.editable
    assert layers[-1] is shown
    assert set(np.unique(shown.data)) <= {0, GAINED, LOST, CHANGED, EDGE}
    assert (shown.data == LOST).any()
    np.testing.assert_allclose(shown.scale, labels.scale)
    after = state(visible_viewer)
    assert after[1:3] == before[1:3]
    assert after[3][:-1] == before[3]
    np.testing.assert_array_equal(labels.data, values)
    screen.picture("what_changed_dark")
    window.grab().save(str(screen_folder() / "history_dark.png")) if screen_folder() else None
    visible_viewer.theme = "light"
    screen.picture("what_changed_light")
    window.grab().save(str(screen_folder() / "history_light.png")) if screen_folder() else None

    # Painting goes on under it; hiding and closing leave nothing behind.
    screen.drag((20, 20), (25, 30))
    assert not np.array_equal(labels.data, values)
    screen.push(window.hide_changes)
    assert state(visible_viewer) == before
    screen.push(window.compare)
    assert len(layers) == len(before[0]) + 1
    window.reject()
    screen.pump(0.1)
    assert state(visible_viewer) == before
    assert opened.model.history is None
    assert "compare" not in session.jobs


def screen_folder() -> Path | None:
    import os

    folder = os.environ.get("NAPARI_UNET_SCREENSHOTS")
    return Path(folder) if folder else None


def test_use_returns_to_a_version_and_undo_back(opened: Any, screen: Any) -> None:
    session = opened.session
    first, second = session.versions
    screen.push(opened.model.info)
    window = opened.model.history
    assert window.chosen is second
    assert "nuclei" in window.card.toPlainText()
    window.choose(first)
    screen.push(window.use)
    assert session.model is first
    assert window.chosen is first
    assert window.tree.currentItem().text(0).startswith("→ v1")
    assert not window.use.isEnabled()
    session.undo()
    assert session.model is second
    screen.push(opened.model.info)  # a second click makes no second window
    assert opened.model.history is window


def test_closing_the_panel_or_removing_the_layer_leaves_nothing(opened: Any, visible_viewer: Any, screen: Any) -> None:
    layers = bare_viewer(visible_viewer).layers
    screen.push(opened.model.info)
    window = opened.model.history
    window.choose(opened.session.versions[0])
    screen.push(window.compare)
    layers.remove(window.overlay.layer)
    screen.push(window.compare)
    assert window.overlay.alive
    visible_viewer.layers.selection.active = layers["cells"]
    layers.remove(layers["cells"])
    screen.pump(0.1)
    assert "what changed" not in layers
    assert window.overlay is None
    opened.dispose()
    assert opened.model.history is None


def test_versions_with_other_classes_cannot_be_compared(opened: Any, screen: Any) -> None:
    opened.session.new_model((ClassInfo("background", "#000000"), ClassInfo("cell", "#e69f00")))
    screen.push(opened.model.info)
    window = opened.model.history
    window.choose(opened.session.versions[0])
    assert not window.compare.isEnabled()
    assert window.compare.toolTip() == "An untrained model finds nothing yet."


def test_finalize_asks_and_then_trains(opened: Any, screen: Any) -> None:
    more = opened.retrain.more
    assert not more.isEnabled()
    assert "Nothing is known" in more.toolTip()
    session, image_id = opened.session, opened.link.image.image_id
    session.segment(image_id)
    session.accept_box(image_id, 0, (slice(0, 1), slice(0, 128), slice(0, 128)))
    screen.pump(0.1)
    assert more.isEnabled(), more.toolTip()
    dialog = more.ask()
    assert dialog.steps.value() == session.final_plan().steps
    screen.pump(0.1)
    if screen_folder():
        dialog.grab().save(str(screen_folder() / "finalize.png"))
    dialog.steps.setValue(2)
    screen.push(dialog.buttons.button(QDialogButtonBox.StandardButton.Ok))
    assert session.final_version() is not None
    assert session.final_version().header.provenance["final"]["steps"] == 2


def test_an_interrupted_round_is_offered(opened: Any, screen: Any) -> None:
    session, image_id = opened.session, opened.link.image.image_id
    session.segment(image_id)
    session.accept_box(image_id, 0, (slice(0, 1), slice(0, 128), slice(0, 128)))
    folder, kept = session.folder.path / "training", {}
    session.keep_state_every = 0.0

    def keep(name: str) -> None:
        if (folder / "round.json").is_file() and not kept:
            kept.update({path: path.read_bytes() for path in folder.iterdir()})

    session.events.job_changed.connect(keep)
    session.retrain(steps=3)
    session.events.job_changed.disconnect(keep)
    row = opened.retrain.interrupted
    assert row.isHidden()
    if session.round is not None:
        session.discard()
    folder.mkdir()
    for path, content in kept.items():
        path.write_bytes(content)
    opened.retrain.refresh()
    assert not row.isHidden()
    assert "was interrupted" in row.sentence.text()
    screen.picture("interrupted")
    screen.push(row.resume)
    assert session.last_round.steps == 3
    assert row.isHidden()
    folder.mkdir()
    for path, content in kept.items():
        path.write_bytes(content)
    opened.retrain.refresh()
    screen.push(row.drop)
    assert row.isHidden()


def test_a_round_under_way_when_the_panel_closes_can_be_resumed(opened: Any, screen: Any) -> None:
    session, image_id = opened.session, opened.link.image.image_id
    session.segment(image_id)
    session.accept_box(image_id, 0, (slice(0, 1), slice(0, 128), slice(0, 128)))
    session.runner, session.keep_state_every = JobRunner("process"), 0.0
    session.retrain(seconds=300)
    screen.wait_until(lambda: (session.folder.path / "training" / "round.json").is_file())
    opened.dispose()
    assert not session.jobs
    assert session.interrupted_round().settings.seconds == 300


def test_patches_have_dark_edges_and_small_ones_keep_their_colour() -> None:
    changes = np.zeros((1, 30, 30), np.uint8)
    changes[0, 2:12, 2:12], changes[0, 20, 20], changes[0, 15:25, 2:12] = GAINED, GAINED, LOST
    found = drawn(changes)
    assert found[0, 2, 2] == EDGE
    assert found[0, 5, 5] == GAINED
    assert found[0, 20, 20] == GAINED
    assert (found[0, 16:24, 3:11] == EDGE).any()
    assert (found[0, 16:24, 3:11] == LOST).any()
    assert not found[changes == 0].any()


@pytest.mark.parametrize("axes", ["TZYX", "CYX", "TCYX", "YXC"])
def test_patches_lie_where_the_view_is(visible_viewer: Any, axes: str) -> None:
    from napari_unet.image.source import ImageSource

    lengths = {"T": 3, "C": 3, "Z": 4, "Y": 30, "X": 40}
    data = np.zeros([lengths[letter] for letter in axes], np.uint8)
    viewer, rgb = bare_viewer(visible_viewer), axes == "YXC"
    shown = "YX" if rgb else axes
    image = viewer.add_image(
        data,
        rgb=rgb,
        scale=[{"Y": 0.5, "X": 0.25}.get(letter, 1.0) for letter in shown],
        axis_labels=tuple(shown.lower()),
    )
    source = ImageSource.from_array(data, axes=axes)
    t, z = (2 if "T" in axes else 0), (3 if "Z" in axes else 0)
    changes = np.full((1, 10, 12), GAINED, np.uint8)
    box = (slice(z, z + 1), slice(5, 15), slice(20, 32))
    version: Any = None  # the overlay does not look at it
    comparison = Comparison(version, version, "image", t, box, changes, (), "")
    overlay = ChangesOverlay(viewer, image, axes, source.shape, comparison)
    point = {"T": 2.0, "Z": 3.0, "C": 1.0, "Y": 10 * 0.5, "X": 26 * 0.25}
    world = [point[letter] for letter in shown][-overlay.layer.ndim :]
    voxel = tuple(np.round(overlay.layer.world_to_data(world)).astype(int))
    assert overlay.layer.data[voxel] == GAINED
    assert np.count_nonzero(overlay.layer.data) == changes.size
    overlay.close()
    assert list(viewer.layers) == [image]
