"""Split along a line, accept by region, new objects and the question before much is accepted, with a real mouse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unet.viewer.sketch import Sketch

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys of the user who runs the tests out of them."""
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))


def labelled(panel: Any, viewer: Any, screen: Any, labels: np.ndarray, axes: str, **options: Any) -> Any:
    """Open an image with given labels as its prediction, and return its Labels layer."""
    names = tuple(letter.lower() for letter in axes)
    viewer.add_image((labels > 0).astype(np.float32), name="image", axis_labels=names, **options)
    screen.pump(0.1)
    image_id = panel.link.image.need()
    panel.session.import_labels(image_id, labels, axes, as_truth=False)
    panel.session.history.clear()
    screen.pump(0.2)
    return panel.link.result().layer


@pytest.fixture
def two(panel: Any, visible_viewer: Any, screen: Any) -> Any:
    """A flat image with two objects."""
    labels = np.zeros((120, 160), np.uint32)
    labels[30:70, 20:80], labels[80:110, 100:150] = 1, 2
    return labelled(panel, visible_viewer, screen, labels, "YX")


def middle_of_screen(viewer: Any) -> Any:
    return np.asarray(viewer.scene.camera.center)


def test_split_by_a_line_dragged_across(two: Any, panel: Any, visible_viewer: Any, screen: Any) -> None:
    before, seen = two.data.copy(), middle_of_screen(visible_viewer)
    for mode in ("pan_zoom", "paint", "polygon"):
        panel.link.viewer.layers.selection.active = two
        two.mode = mode
        screen.move((50, 30))
        screen.key(Qt.Key.Key_S)
        assert "Drag a line" in panel.known.hint.text()
        assert panel.known.hint.isVisible()
        screen.drag((20, 50), (50, 50), (80, 50))
        assert (two.data[30:70, 20:50] == two.data[40, 30]).all()
        assert (two.data[30:70, 51:80] == two.data[40, 70]).all()
        assert two.data[40, 30] != two.data[40, 70]
        assert ((two.data > 0) == (before > 0)).all(), "no tool painted"
        assert np.allclose(middle_of_screen(visible_viewer), seen), "the picture stayed"
        assert two.mode == mode
        assert not panel.known.hint.isVisible()
        assert panel.session.history.next_undo == "split"
        screen.key(Qt.Key.Key_Z, CTRL)
        assert np.array_equal(two.data, before)
    assert not screen.window.findChildren(Sketch)
    two.mode = "paint"
    two.selected_label = 9
    screen.drag((10, 10), (10, 20))
    assert (two.data == 9).any(), "the next drag paints again"


def test_split_by_two_clicks_and_by_two_keys(two: Any, panel: Any, screen: Any) -> None:
    before = two.data.copy()
    screen.move((50, 50))
    screen.key(Qt.Key.Key_S)
    screen.click((50, 30))
    assert "other half" in panel.known.hint.text()
    screen.click((50, 70))
    assert two.data[50, 30] != two.data[50, 70]
    panel.link.undo()
    assert np.array_equal(two.data, before)
    screen.move((50, 30))
    screen.key(Qt.Key.Key_S)
    screen.move((50, 70))
    screen.key(Qt.Key.Key_S)
    assert two.data[50, 30] != two.data[50, 70]
    panel.link.undo()
    # Beside the object, the line from key to key cuts what lies between.
    screen.move((20, 40))
    screen.key(Qt.Key.Key_S)
    screen.move((80, 40))
    screen.key(Qt.Key.Key_S)
    assert 40 * 20 <= (two.data == two.data[50, 30]).sum() <= 40 * 21
    panel.link.undo()
    assert np.array_equal(two.data, before)


def test_what_was_begun_can_be_given_up(two: Any, panel: Any, visible_viewer: Any, screen: Any) -> None:
    before = two.data.copy()
    for key in (Qt.Key.Key_S, Qt.Key.Key_R, Qt.Key.Key_J):
        screen.move((50, 30))
        screen.key(key)
        assert panel.known.hint.isVisible()
        screen.key(Qt.Key.Key_Escape)
        assert not panel.known.hint.isVisible()
        screen.drag((20, 50), (80, 50))
        assert np.array_equal(two.data, before)
        assert panel.session.history.next_undo is None
    screen.key(Qt.Key.Key_S)
    screen.drag((5, 5), (5, 100))
    assert "no object" in panel.message.sentence.text()
    assert not panel.known.hint.isVisible()
    assert panel.session.history.next_undo is None


def test_a_line_cuts_through_the_depth_of_a_stack_in_every_order(panel: Any, visible_viewer: Any, screen: Any) -> None:
    labels = np.zeros((2, 8, 40, 50), np.uint32)
    labels[:, 2:6, 10:30, 10:40] = 3
    layer = labelled(panel, visible_viewer, screen, labels, "TZYX", scale=(1, 2, 1, 1))
    dims = visible_viewer.dims
    dims.set_point(0, 1)
    for order in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
        dims.order = order
        for axis, value in ((1, 8), (2, 20), (3, 25)):  # in the world: z is twice as thick
            dims.set_point(axis, value)
        visible_viewer.reset_view()
        screen.pump(0.2)
        rows, columns = order[-2:]
        half = {1: (2 + 5) / 2 * 2, 2: 19.5, 3: 24.5}[columns]
        lowest, highest = {1: (0, 14), 2: (2, 38), 3: (2, 48)}[rows]
        screen.move((lowest, half))
        screen.key(Qt.Key.Key_S)
        screen.drag((lowest, half), ((lowest + highest) / 2, half), (highest, half))
        assert panel.session.history.next_undo == "split", panel.message.sentence.text()
        body = np.moveaxis(layer.data[1, 2:6, 10:30, 10:40], columns - 1, 0)
        n = len(body) // 2
        assert (body[:n] == body[0, 0, 0]).all()
        assert (body[n:] == body[-1, 0, 0]).all()
        assert body[0, 0, 0] != body[-1, 0, 0]
        assert np.array_equal(layer.data[0], labels[0]), "the other time point stays"
        panel.link.undo()
        assert np.array_equal(layer.data, labels)


def test_a_line_drawn_over_a_volume_in_3d(panel: Any, visible_viewer: Any, screen: Any) -> None:
    labels = np.zeros((20, 40, 40), np.uint32)
    labels[5:15, 8:32, 8:32] = 3
    layer = labelled(panel, visible_viewer, screen, labels, "ZYX")
    visible_viewer.dims.ndisplay = 3
    visible_viewer.reset_view()
    visible_viewer.scene.camera.angles = (20, 15, 100)
    screen.pump(0.3)
    canvas = screen.canvas
    middle = canvas.rect().center()
    height = canvas.height() // 2 - 10
    QTest.mouseMove(canvas, middle)
    screen.pump(0.05)
    screen.key(Qt.Key.Key_S)
    start, stop = middle + type(middle)(0, -height), middle + type(middle)(0, height)
    QTest.mouseMove(canvas, start)
    screen.pump(0.05)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for part in range(1, 9):
        QTest.mouseMove(canvas, start + (stop - start) * part / 8)
        screen.pump(0.03)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, stop)
    screen.pump(0.1)
    assert panel.session.history.next_undo == "split", panel.message.sentence.text()
    sizes = [(layer.data == value).sum() for value in np.unique(layer.data)[1:]]
    assert len(sizes) == 2
    assert min(sizes) > 0.4 * sum(sizes)
    assert np.allclose(visible_viewer.scene.camera.angles, (20, 15, 100)), "the camera did not turn"
    panel.link.undo()
    # Keys act on the first object along the line of sight.
    QTest.mouseMove(canvas, middle)
    screen.pump(0.05)
    screen.key(Qt.Key.Key_A)
    assert panel.session.history.next_undo == "accept object"


def test_a_region_is_accepted_by_key_and_by_menu(two: Any, panel: Any, screen: Any) -> None:
    truth = panel.session.labels(panel.link.image.image_id).truth
    for start in (
        lambda: screen.key(Qt.Key.Key_R),
        lambda: panel.known.accept.more.menu().actions()[2].trigger(),
    ):
        screen.move((10, 10))
        start()
        assert "rectangle" in panel.known.hint.text()
        screen.drag((10, 12), (40, 40), (60, 90))
        expected = np.zeros((120, 160), bool)
        expected[10:61, 12:91] = True
        assert np.array_equal(truth.known[0, 0], expected)
        assert panel.session.history.next_undo == "accept region"
        panel.link.undo()
        assert not truth.known.any()
    screen.key(Qt.Key.Key_R)
    screen.click((50, 50))
    assert not truth.known.any(), "a click is no region"


def test_a_region_in_a_rotated_layer_is_what_was_drawn(panel: Any, visible_viewer: Any, screen: Any) -> None:
    labels = np.zeros((3, 100, 100), np.uint32)
    labels[:, 40:60, 40:60] = 1
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    layer = labelled(panel, visible_viewer, screen, labels, "ZYX", rotate=turn, scale=(2, 1, 1), translate=(0, 30, 50))
    middle = np.asarray(layer.data_to_world((1, 50, 50)))
    visible_viewer.dims.set_point(0, 2)
    screen.pump(0.1)
    screen.move(middle[1:])
    screen.key(Qt.Key.Key_R)
    half = np.array((20, 30))
    screen.drag(middle[1:] - half, middle[1:], middle[1:] + half)
    truth = panel.session.labels(panel.link.image.image_id).truth
    known = truth.known[0, 1]
    assert known.sum() == truth.n_known == pytest.approx(40 * 60, rel=0.03)
    world = np.array([layer.data_to_world((1, *voxel)) for voxel in np.argwhere(known)])[:, 1:]
    assert (np.abs(world - middle[1:]) <= (20.6, 30.6)).all()


def test_an_object_is_accepted_by_the_menu(two: Any, panel: Any, screen: Any) -> None:
    truth = panel.session.labels(panel.link.image.image_id).truth
    panel.known.accept.more.menu().actions()[1].trigger()
    screen.click((50, 50))
    assert truth.known[0, 0, 30:70, 20:80].all()
    assert not truth.known[0, 0, 80:110, 100:150].any()
    assert panel.session.history.next_undo == "accept object"


def test_a_new_object_gets_a_label_never_used(two: Any, panel: Any, visible_viewer: Any, screen: Any) -> None:
    visible_viewer.layers.selection.active = visible_viewer.layers["image"]
    screen.move((50, 50))
    screen.key(Qt.Key.Key_M)
    assert two.mode == "paint"
    assert panel.link.viewer.layers.selection.active is two
    first = two.selected_label
    assert first == 3
    screen.drag((10, 100), (10, 120))
    screen.move((10, 110))
    screen.key(Qt.Key.Key_D)
    assert not (two.data == first).any()
    screen.push(panel.known.new_object)
    assert two.selected_label == first + 1, "a deleted object's label is not used again"
    screen.drag((10, 100), (10, 120))
    assert panel.session.history.next_undo == "paint"
    panel.link.undo()
    assert not (two.data == first + 1).any()


@pytest.fixture
def many(panel: Any, visible_viewer: Any, screen: Any) -> Any:
    labels = np.zeros((120, 120), np.uint32)
    for number, (y, x) in enumerate(np.ndindex(8, 8), start=1):
        labels[15 * y + 3 : 15 * y + 12, 15 * x + 3 : 15 * x + 12] = number
    return labelled(panel, visible_viewer, screen, labels, "YX")


def test_many_objects_are_accepted_after_a_question(many: Any, panel: Any, visible_viewer: Any, screen: Any) -> None:
    session, bar = panel.session, panel.known.question
    image_id = panel.link.image.image_id
    for ask in (panel.link.accept_view, panel.link.accept_slice, lambda: screen.push(panel.known.accept.button)):
        ask()
        assert bar.isVisible()
        assert "Accept 64 objects" in bar.sentence.text()
        assert session.known_counts(image_id) == (0, 0)
        screen.picture("question")
        screen.push(bar.no)
        assert not bar.isVisible()
        ask()
        screen.push(bar.yes)
        assert not bar.isVisible()
        assert session.known_counts(image_id)[0] > 120 * 100
        panel.link.undo()
    screen.move((5, 5))
    screen.key(Qt.Key.Key_A, SHIFT)
    assert bar.isVisible()
    many.selected_label, many.mode = 70, "paint"
    panel.link.viewer.layers.selection.active = many
    screen.drag((60, 60), (60, 70))
    assert not bar.isVisible(), "the labels are others than those that were asked about"


def test_what_is_drawn_is_shown_while_it_is_drawn(two: Any, panel: Any, screen: Any) -> None:
    screen.move((50, 30))
    screen.key(Qt.Key.Key_R)
    QTest.mousePress(screen.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, screen.at((10, 12)))
    screen.move((60, 90))
    (sketch,) = screen.canvas.findChildren(Sketch)
    assert sketch.isVisible()
    screen.picture("region")
    QTest.mouseRelease(screen.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, screen.at((60, 90)))
    screen.pump(0.1)
    assert not screen.canvas.findChildren(Sketch)
    assert panel.session.history.next_undo == "accept region"


def test_few_objects_are_accepted_at_once(two: Any, panel: Any) -> None:
    panel.link.accept_view()
    assert not panel.known.question.isVisible()
    assert panel.session.history.next_undo == "accept view"
