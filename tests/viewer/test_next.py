"""Next leads the viewer to a region: sliders, camera, frame; nothing is taken from the user, nothing stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.image.boxes import as_box
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.learning.places import RANDOM_REASON, Suggestion
from napari_unet.viewer.next import FILLED


def suggestion(image_id: str, t: int, low: Any, high: Any, kind: Any = "uncertain") -> Suggestion:
    return Suggestion(image_id, t, as_box(low, high), kind, RANDOM_REASON if kind == "random" else "Uncertain: a test.")


def corners_on_canvas(viewer: Any, screen: Any, layer: Any, low: Any, high: Any) -> np.ndarray:
    """Return the canvas pixels, from the middle, of the corners of a box of a layer's voxels."""
    corners = [np.where(pick, np.array(high) - 0.5, np.array(low) - 0.5) for pick in np.ndindex(*(2,) * len(low))]
    world = np.array([layer.data_to_world(corner) for corner in corners])[:, list(viewer.dims.displayed)]
    camera = viewer.scene.camera
    return (world - np.array(camera.center)[-2:]) * camera.zoom


def assert_fills(viewer: Any, screen: Any, layer: Any, low: Any, high: Any) -> None:
    pixels = corners_on_canvas(viewer, screen, layer, low, high)
    size = np.array([screen.canvas.height(), screen.canvas.width()])
    share = np.ptp(pixels, axis=0) / size
    assert share.max() == pytest.approx(FILLED, abs=0.03)
    assert np.allclose(pixels.max(axis=0) + pixels.min(axis=0), 0, atol=1)


@pytest.fixture
def series(panel: Any, visible_viewer: Any, screen: Any) -> tuple[Any, str]:
    """Return the layer and the id of a series of stacks, (T, Z, Y, X), rotated and not isotropic."""
    plane, _ = nuclei_2d((200, 240), seed=3)
    layer = visible_viewer.add_image(
        np.broadcast_to(plane, (4, 6, 200, 240)).copy(),
        name="series",
        axis_labels=("t", "z", "y", "x"),
        scale=(1, 2, 0.5, 0.25),
        rotate=np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.8, -0.6], [0, 0, 0.6, 0.8]]),
    )
    screen.pump(0.1)
    image_id = panel.link.image.need()
    panel.session.ensure_labels(image_id)
    screen.pump(0.1)
    return layer, image_id


def test_the_view_goes_to_the_region_in_every_order_of_the_axes(
    panel: Any, visible_viewer: Any, screen: Any, series: Any
) -> None:
    layer, image_id = series
    dims = visible_viewer.dims
    there = suggestion(image_id, 2, (1, 40, 60), (4, 140, 120))
    before = [other.name for other in visible_viewer.layers]
    for order in ((0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 3, 2)):
        dims.order = order
        dims.set_point(0, 0)
        panel.session._go_to(there)
        screen.pump(0.1)
        for axis, middle in ((0, 2), (1, 2)):
            if axis in dims.not_displayed:
                assert dims.current_step[axis] == middle
        assert_fills(visible_viewer, screen, layer, (2, 1, 40, 60), (3, 4, 140, 120))
        assert sum(other.name == "region" for other in visible_viewer.layers) == 1
    screen.picture("next_series")
    panel.link.skip_region()
    assert [other.name for other in visible_viewer.layers] == before


def test_selection_tool_and_mode_stay_and_the_frame_cannot_be_edited(
    panel: Any, visible_viewer: Any, screen: Any, series: Any
) -> None:
    _, image_id = series
    labels = panel.link.result().layer
    visible_viewer.layers.selection.active = labels
    labels.mode = "paint"
    panel.session._go_to(suggestion(image_id, 1, (2, 40, 60), (3, 140, 120)))
    screen.pump(0.1)
    assert visible_viewer.layers.selection.active.name == labels.name
    assert labels.mode == "paint"
    frame = visible_viewer.layers["region"]
    assert not frame.editable and frame.mode == "pan_zoom"
    visible_viewer.layers.remove("region")  # the user may, and Next goes on
    panel.session._go_to(suggestion(image_id, 0, (0, 0, 0), (1, 100, 100)))
    assert sum(layer.name == "region" for layer in visible_viewer.layers) == 1
    panel.link.close()
    assert "region" not in visible_viewer.layers


def test_the_frame_lies_around_the_region(panel: Any, visible_viewer: Any, screen: Any, series: Any) -> None:
    layer, image_id = series
    panel.session._go_to(suggestion(image_id, 1, (2, 40, 60), (3, 140, 120)))
    frame = visible_viewer.layers["region"]
    for voxel, value in (((1, 2, 40, 60), 0), ((1, 2, 139, 119), 0), ((1, 2, 39, 60), 1), ((1, 2, 141, 100), 2)):
        assert frame.get_value(layer.data_to_world(voxel), world=True) == value
    assert frame.data.shape == (1, 1, 104, 64)


def test_another_image_is_turned_to(panel: Any, visible_viewer: Any, screen: Any) -> None:
    first, _ = nuclei_2d((160, 200), seed=3)
    second, _ = nuclei_2d((300, 260), seed=4)
    one = visible_viewer.add_image(first, name="one")
    panel.link.start_labels()
    one_id = panel.link.image.image_id
    two = visible_viewer.add_image(second, name="two")
    panel.link.start_labels()
    two_id = panel.link.image.image_id
    visible_viewer.layers.selection.active = visible_viewer.layers["two labels"]
    visible_viewer.layers["two labels"].mode = "paint"
    panel.session._go_to(suggestion(one_id, 0, (0, 20, 30), (1, 120, 130)))
    screen.pump(0.1)
    assert panel.link.image.layer.name == "one" and one.visible and not two.visible
    assert visible_viewer.layers.selection.active.name == "one labels"
    assert visible_viewer.layers["one labels"].mode == "paint"
    assert not visible_viewer.layers["two labels"].visible
    assert_fills(visible_viewer, screen, one, (20, 30), (120, 130))
    assert two_id != one_id


def test_a_random_check_from_the_button_to_done(panel: Any, visible_viewer: Any, screen: Any) -> None:
    picture, truth = nuclei_2d((300, 400), seed=5)
    visible_viewer.add_image(picture, name="nuclei")
    screen.push(panel.segment.button)
    session, image_id = panel.session, panel.link.image.image_id
    for _ in range(5):
        if session.check is None:
            screen.push(panel.known.next.button)
    screen.pump(0.2)
    here = session.check
    labels = session.labels(image_id).truth
    assert not labels.labels[0][here.box].any() and labels.prediction[0][here.box].any()
    assert panel.known.next.reason.text() == RANDOM_REASON
    assert (panel.known.next.done.text(), panel.known.next.skip.text()) == ("Done", "Skip")
    screen.picture("next_random")
    screen.push(panel.known.next.skip)
    assert np.array_equal(labels.labels, labels.prediction)
    panel.link.undo()
    assert session.check is here and not labels.labels[0][here.box].any()
    labels.labels[0][here.box] = truth[None][here.box]
    session.end_stroke(image_id, 0, here.box, None)
    screen.push(panel.known.next.done)
    assert labels.known[0][here.box].all() and session.check is None
    assert [region.box for region in session.audits] == [here.box]
    assert not panel.known.next.isVisible() and "region" not in visible_viewer.layers
    screen.picture("next_done")
