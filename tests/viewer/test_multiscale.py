"""Multiscale layers: a read-only pyramid of labels, and a work area at the right place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from scipy.ndimage import zoom

from napari_unet.image.boxes import as_box
from napari_unet.viewer.levels import Place, choose_level, factors, placed
from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.making import make_layer


def pyramid_of(image: np.ndarray, levels: int = 3) -> list[np.ndarray]:
    return [np.ascontiguousarray(image[:: 2**n, :: 2**n]) for n in range(levels)]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_labels_of_a_level_lie_where_the_layer_shows_them(level: int) -> None:
    rng = np.random.default_rng(level)
    data = [np.zeros((3, 64 >> n, 96 >> n), np.float32) for n in range(3)]
    affine = np.eye(4)
    affine[1:, 1:] = [[0.9, 0.1, 3], [-0.2, 1.1, 4], [0, 0, 1]]
    layer = Image(
        data, multiscale=True, scale=(2, 0.5, 0.25), translate=(1, 7, 9), rotate=30, shear=(0, 0, 0.1), affine=affine
    )
    start = (1, 5, 6)
    box = as_box(start, (3, 12, 20))
    labels, axes = make_layer(layer, "ZYX", np.zeros((2, 7, 14), np.uint32), None, "l", {}, True, Place(level, 0, box))
    assert axes == "ZYX"
    f = np.array([1, 2**level, 2**level])
    for _ in range(5):
        voxel = rng.uniform(0, 7, 3)
        finest = (np.array(start) + voxel + 0.5) * f - 0.5
        np.testing.assert_allclose(labels.data_to_world(voxel), layer.data_to_world(finest), atol=1e-6)


def test_a_plain_layer_is_taken_as_it_is() -> None:
    layer = Image(np.zeros((20, 30)), scale=(2, 3), translate=(5, 6), rotate=10)
    scale, translate = placed(layer, "YX", Place())
    np.testing.assert_allclose(scale, (2, 3))
    np.testing.assert_allclose(translate, (5, 6))
    np.testing.assert_allclose(factors(layer, 0), (1, 1))


def test_the_level_is_the_one_nearest_to_the_model(panel: Any) -> None:
    header = panel.session.model.header
    sizes = [(1.0, 0.1 * 2**n, 0.1 * 2**n) for n in range(4)]
    from dataclasses import replace

    assert choose_level(sizes, replace(header, voxel_size=(0.45, 0.45)))[0] == 2
    assert choose_level(sizes, replace(header, voxel_size=None)) == (0, "the finest: the model states no voxel size")
    assert choose_level([None, None], replace(header, voxel_size=(1.0, 1.0)))[0] == 0


def test_segment_correct_and_move(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    viewer, session, link = bare_viewer(visible_viewer), panel.session, panel.link
    big = zoom(nuclei[0], 2, order=1)
    layer = viewer.add_image(pyramid_of(big), multiscale=True, name="slide", scale=(0.5, 0.5), rotate=20)
    screen.pump(0.2)
    assert panel.image.level.isVisible() and panel.segment.scope.area.isVisible()
    link.image.answer_level(1)
    viewer.reset_view()
    screen.pump(0.2)
    screen.push(panel.segment.button)
    screen.wait_until(lambda: "segment" not in session.jobs and link.pyramids.current(link.image.base_id) is not None)
    screen.pump(0.3)
    image_id = link.image.base_id
    shown = link.pyramids.current(image_id)
    assert shown.multiscale and not shown.editable and shown.data[0].shape == (160, 200)
    assert viewer.layers.selection.active is layer
    labels = np.asarray(shown.data[0])
    assert len(np.unique(labels)) > 5
    # The labels lie over the image: the brightest places are objects.
    for n in np.unique(labels)[1:4]:
        middle = np.argwhere(labels == n).mean(axis=0)
        finest = np.asarray(layer.world_to_data(shown.data_to_world(middle)))
        np.testing.assert_allclose(finest, (middle + 0.5) * 2 - 0.5, atol=1e-6)

    # Other settings are applied without the network, as with any image.
    panel.segment.editors["min_size"].value = 10**6
    screen.wait_until(lambda: not session.jobs and not np.asarray(shown.data[0]).any())
    panel.segment.editors["min_size"].value = 0
    screen.wait_until(lambda: not session.jobs and np.asarray(shown.data[0]).any())
    screen.pump(0.2)
    labels = np.asarray(shown.data[0])

    # The middle of the image becomes the work area.
    viewer.scene.camera.zoom *= 3
    screen.pump(0.3)
    screen.push(panel.segment.scope.area)
    screen.pump(0.2)
    area_id = session.area_of(image_id)
    area = session.images[area_id].area
    result = link.result()
    assert link.image.image_id == area_id and viewer.layers.selection.active is result.layer
    assert result.layer.editable and panel.segment.scope.scope == "area"
    np.testing.assert_array_equal(result.layer.data, labels[area.box[1:]])
    assert (result.layer._slice.image.raw > 0).any()  # and they are on screen
    assert not np.asarray(shown.data[0])[area.box[1:]].any()  # its own layer shows it
    corner = np.array([area.box[1].start, area.box[2].start], float)
    np.testing.assert_allclose(
        result.layer.data_to_world((0, 0)), layer.data_to_world((corner + 0.5) * 2 - 0.5), atol=1e-6
    )

    # A stroke with the mouse is a truth of the image at its place.
    centre = np.array(result.layer.data.shape) // 2
    result.layer.selected_label, result.layer.brush_size, result.layer.mode = 999, 5, "paint"
    world = np.asarray(result.layer.data_to_world(centre))
    shown.visible = False
    screen.click(world[-2:])
    screen.pump(0.2)
    link.pyramids.ensure(image_id)
    assert not shown.visible  # what the user hides stays hidden
    shown.visible = True
    truth = session.labels(area_id).truth
    assert truth.labels[0, 0][tuple(centre)] == 999 and truth.known[0, 0][tuple(centre)]
    session.save()
    place = tuple(int(c) for c in corner + centre)
    assert session.pyramid(image_id).read(0, as_box((0, *place), (1, place[0] + 1, place[1] + 1))).item() == 999

    # Elsewhere: the first area leaves the screen, its stroke shows in the pyramid.
    viewer.scene.camera.center = tuple(layer.data_to_world((20, 20)))
    viewer.scene.camera.zoom *= 2
    screen.pump(0.3)
    screen.push(panel.segment.scope.area)
    screen.pump(0.3)
    assert session.area_of(image_id) != area_id and result.layer not in viewer.layers
    assert np.asarray(shown.data[0])[place] == 999
    assert session.labels(area_id).truth.n_known
    names = [one.name for one in viewer.layers]
    assert names.count("slide work area") == 1 and names.count("slide labels") == 1

    # Only the work area is segmented, and undone, as an image of its own.
    screen.push(panel.segment.button)
    screen.wait_until(lambda: "segment" not in session.jobs)
    assert "rror" not in panel.message.sentence.text()
    assert session.last_view[0] == session.area_of(image_id)
    link.areas.leave()
    assert link.image.image_id == image_id and link.result() is None
    assert "slide work area" not in [one.name for one in viewer.layers]


def test_planes_and_channels_in_the_middle(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    viewer, session = bare_viewer(visible_viewer), panel.session
    stack = np.stack([np.stack([nuclei[0], nuclei[0][::-1]])[:, None]] * 2)[:, :, 0]  # Z C Y X
    layer = viewer.add_image(
        [stack, stack[..., ::2, ::2]], multiscale=True, name="stack", axis_labels=("z", "c", "y", "x")
    )
    panel.link.image.choose_channels((0,))
    screen.pump(0.1)
    panel.link.segment()
    screen.wait_until(lambda: "segment" not in session.jobs and len(viewer.layers) > 1)
    screen.pump(0.3)
    shown = panel.link.pyramids.current(panel.link.image.base_id)
    assert shown.data[0].shape == (2, 1, 160, 200) and np.asarray(shown.data[0][1, 0]).any()
    viewer.dims.set_point(0, 1)
    screen.pump(0.1)
    panel.link.areas.set_from_view()
    result = panel.link.result()
    assert result.axes == "ZCYX" and result.layer.data.shape[:2] == (2, 1)
    np.testing.assert_allclose(shown.translate, layer.translate + np.array([0, 0.5, 0, 0]))
