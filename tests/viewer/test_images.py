"""Image layers that change, get channels from other layers, or go."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.widgets.panel import UNetPanel


def test_a_layer_that_is_not_chosen_keeps_its_corrections(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any
) -> None:
    viewer = bare_viewer(visible_viewer)
    first, second = (viewer.add_image(nuclei[0], name=name) for name in ("first", "second"))
    viewer.layers.selection.active = first
    screen.push(panel.segment.button)
    panel.link.accept_view()
    image_id = panel.link.image.image_id
    known = panel.session.known_counts(image_id)
    assert known[0]
    viewer.layers.selection.active = second
    first.scale = (2, 2)
    first.data = nuclei[0][::-1]
    source = panel.session.image(image_id).source
    assert source.scale == (1, 2, 2)
    assert source.data is first.data
    viewer.layers.selection.active = first
    assert panel.link.image.image_id == image_id
    assert panel.session.known_counts(image_id) == known
    screen.push(panel.segment.button)
    assert [layer.name for layer in viewer.layers] == ["first", "second", "first labels"]
    viewer.layers.selection.active = second
    first.data = nuclei[0][:100]
    assert "changed its shape" in panel.message.sentence.text()
    viewer.layers.selection.active = first
    assert panel.link.image.image_id is None
    assert panel.session.known_counts(image_id) == known


def test_channels_in_layers_are_followed(panel: Any, visible_viewer: Any, screen: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    first, second = (viewer.add_image(np.full((40, 50), v, np.uint8), name=f"ch{v}") for v in (1, 2))
    viewer.layers.selection.active = first
    image, session = panel.link.image, panel.session
    # As a script gives it: the proxy of a layer.
    image.choose_channel_layers([visible_viewer.layers["ch2"]])
    image_id = image.need()

    def read() -> list[int]:
        assert image.source.n_channels == session.image(image_id).source.n_channels
        return [int(channel.max()) for channel in session.image(image_id).source.read(0)]

    assert read() == [1, 2]
    second.data = np.full((40, 50), 7, np.uint8)
    assert read() == [1, 7]
    second.name = "renamed"
    viewer.layers.selection.active = second
    second.data = np.full((40, 50), 8, np.uint8)
    viewer.layers.selection.active = first
    assert read() == [1, 8]
    second.translate = (5, 5)
    assert "lie at different places" in panel.image.facts.text()
    second.translate = (0, 0)
    assert read() == [1, 8]
    viewer.layers.remove(second)
    assert read() == [1]
    assert "'renamed' is gone" in panel.message.sentence.text()
    assert image.need() == image_id


def test_the_channels_outlive_the_panel(panel: Any, visible_viewer: Any, screen: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    first, second = (viewer.add_image(np.full((40, 50), v, np.uint8), name=f"ch{v}") for v in (1, 2))
    viewer.layers.selection.active = first
    panel.link.image.choose_channel_layers([second])
    image_id = panel.link.image.need()
    visible_viewer.window.remove_dock_widget(panel)
    second.data = np.full((40, 50), 9, np.uint8)
    again = UNetPanel(visible_viewer)
    visible_viewer.window.add_dock_widget(again, name="U-Net")
    assert again.link.image.image_id == image_id
    assert [int(channel.max()) for channel in again.session.image(image_id).source.read(0)] == [1, 9]
    again.dispose()


def test_labels_whose_image_is_gone_are_a_plain_layer(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any
) -> None:
    viewer = bare_viewer(visible_viewer)
    image = viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    layer = panel.link.result().layer
    assert layer.keymap
    viewer.layers.selection.active = layer
    layer.selected_label, layer.mode, layer.brush_size = 77, "paint", 9
    screen.pump(0.1)
    screen.drag((60, 60), (60, 80))
    viewer.layers.remove(image)
    screen.pump(0.1)
    assert not layer.keymap
    assert not layer.mouse_drag_callbacks or all("StrokeRecorder" not in repr(c) for c in layer.mouse_drag_callbacks)
    before = layer.data.copy()
    screen.drag((20, 20), (30, 40))
    assert (layer.data != before).any()
    assert not panel.message.details.isVisible()
    # napari's own undo is the layer's again.
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_a_stroke_that_cannot_begin_is_a_message(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    viewer = bare_viewer(visible_viewer)
    viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    layer = panel.link.result().layer
    viewer.layers.selection.active = layer
    layer.selected_label, layer.mode = 77, "paint"
    panel.session.images[panel.link.image.image_id].labels.clear()
    screen.drag((20, 20), (30, 40))
    assert "no labels yet" in panel.message.sentence.text()
