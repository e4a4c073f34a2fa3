"""A result lies where its image lies, is shown region by region, and takes nothing from the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.model.header import COLORS, ClassInfo
from napari_unet.viewer import showing
from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.making import add_quietly, make_layer
from napari_unet.viewer.results import ResultLayer
from napari_unet.viewer.sweep import Sweep

CLASSES = tuple(ClassInfo(f"class {i}", COLORS[i]) for i in range(3))


def result_for(viewer: Any, image: Any, axes: str, array: np.ndarray, classes: Any = None) -> ResultLayer:
    layer, shown = make_layer(image, axes, array, classes, "labels", {})
    add_quietly(viewer, layer)
    return ResultLayer(viewer, layer, shown)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_a_region_looks_as_after_a_full_refresh(visible_viewer: Any, screen: Any, dtype: type, ndisplay: int) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(np.zeros((2, 3, 4, 60, 70), np.uint8), axis_labels=("t", "c", "z", "y", "x"))
    array = np.zeros((2, 4, 60, 70), dtype)
    result = result_for(viewer, image, "TCZYX", array)
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_point((0, 1, 2), (1, 2, 2))
    orders = ((0, 1, 2, 3, 4), (0, 1, 3, 4, 2)) if ndisplay == 2 else ((0, 1, 2, 3, 4),)
    for seed, order in enumerate(orders):
        viewer.dims.order = order
        screen.pump(0.2)
        array[1, 2, 10:40, 20:60] = np.random.default_rng(seed).integers(1, 60000, (30, 40))
        result.show(1, (slice(2, 3), slice(10, 20), slice(20, 60)))
        result.show(1, (slice(2, 3), slice(20, 40), slice(20, 60)))
        screen.pump(0.4)
        partly = viewer.screenshot(canvas_only=True, flash=False)
        result.layer.refresh()
        screen.pump(0.2)
        assert partly.std() > 0
        assert np.array_equal(partly, viewer.screenshot(canvas_only=True, flash=False))
    result.close()


def test_without_the_private_copy_a_wide_layer_is_refreshed_as_a_whole(
    visible_viewer: Any, screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    array = np.zeros((60, 70), np.uint32)
    result = result_for(viewer, image, "YX", array)
    monkeypatch.setattr(showing, "_texture", lambda layer, values, shown: None)
    refreshed: list[Any] = []
    result.layer.events.set_data.connect(refreshed.append)
    array[10:20, 10:20] = 3
    result.show(0, (slice(0, 1), slice(10, 20), slice(10, 20)))
    screen.wait_until(lambda: bool(refreshed), 5)
    result.close()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_a_blank_layer_appears_and_is_painted_as_any_other(visible_viewer: Any, screen: Any, dtype: type) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(np.zeros((3, 60, 70), np.uint8), axis_labels=("z", "y", "x"))
    layer, axes = make_layer(image, "ZYX", np.zeros((3, 60, 70), dtype), None, "labels", {}, visible=False)
    add_quietly(viewer, layer)
    result = ResultLayer(viewer, layer, axes)
    result.appear(blank=True)
    assert layer.visible
    layer.paint((1, 30, 30), 4)
    screen.pump(0.2)
    partly = viewer.screenshot(canvas_only=True, flash=False)
    layer.refresh()
    screen.pump(0.2)
    assert partly.std() > 0
    assert np.array_equal(partly, viewer.screenshot(canvas_only=True, flash=False))


def test_channels_in_the_middle_and_in_front(visible_viewer: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(
        np.zeros((2, 3, 4, 20, 30)),
        axis_labels=("t", "c", "z", "y", "x"),
        scale=(1, 1, 2, 0.5, 0.5),
        translate=(0, 5, 0, 7, 0),
        units=("s", "pixel", "um", "um", "um"),
    )
    result = result_for(viewer, image, "TCZYX", np.zeros((2, 4, 20, 30), np.uint32))
    layer = result.layer
    assert (result.axes, layer.data.shape) == ("TCZYX", (2, 1, 4, 20, 30))
    assert np.allclose(layer.scale, (1, 3, 2, 0.5, 0.5))
    for channel in range(3):
        viewer.dims.set_point((0, 1, 2), (1, 5 + channel, 2))
        assert result.point((1, 5 + channel, 2, 8, 3)) == (1, (1, 2, 6))
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    front = viewer.add_image(np.zeros((3, 4, 20, 30)), affine=np.diag([1, 1, 2, 1, 1.0]))
    layer, axes = make_layer(front, "CZYX", np.zeros((4, 20, 30), np.uint16), CLASSES, "x", {})
    assert axes == "ZYX"
    assert np.allclose(layer.affine.affine_matrix, np.diag([1, 2, 1, 1]))
    assert tuple(layer.colormap.color_dict[1]) == pytest.approx((0.902, 0.624, 0, 1), abs=0.01)
    swept = Sweep((slice(1, 2), slice(0, 1), slice(2, 3), slice(4, 6), slice(5, 8)), np.ones((1, 1, 1, 2, 3), bool))
    ((place, mask),) = result.places(swept)
    assert place == (1, (slice(2, 3), slice(4, 6), slice(5, 8)))
    assert mask.shape == (1, 2, 3)


def test_adding_keeps_selection_tool_and_place(visible_viewer: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(np.zeros((5, 20, 30)))
    mine = viewer.add_labels(np.zeros((5, 20, 30), np.uint8))
    mine.mode = "polygon"
    viewer.dims.set_point(0, 3)
    viewer.layers.selection = {image, mine}
    viewer.layers.selection.active = mine
    result_for(viewer, image, "ZYX", np.zeros((5, 20, 30), np.uint32))
    assert viewer.layers.selection.active is mine
    assert mine.mode == "polygon"
    assert viewer.dims.point[0] == 3


def test_napari_forgets_its_strokes_but_keeps_the_tool(visible_viewer: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(np.zeros((20, 30)))
    array = np.zeros((20, 30), np.uint16)
    result = result_for(viewer, image, "YX", array)
    result.layer.mode = "paint"
    result.layer.paint((5, 5), 3)
    painted = array.copy()
    result.forget_strokes()
    result.layer.undo()
    assert np.array_equal(array, painted)
    assert result.layer.mode == "paint"


def test_tools_stay_in_space(visible_viewer: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(np.zeros((3, 4, 20, 30)), axis_labels=("t", "z", "y", "x"))
    result = result_for(viewer, image, "TZYX", np.zeros((3, 4, 20, 30), np.uint16))
    assert result.clamp(3)
    assert result.layer.n_edit_dimensions == 3
    viewer.dims.order = (1, 0, 2, 3)
    assert result.clamp(3)
    assert result.layer.n_edit_dimensions == 2
    viewer.dims.order = (1, 2, 0, 3)
    assert not result.clamp(3)
    assert not result.layer.editable
    viewer.dims.order = (0, 1, 2, 3)
    assert result.clamp(2)
    assert result.layer.editable
