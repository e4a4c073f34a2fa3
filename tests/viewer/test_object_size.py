"""The size of objects in the panel: typed, drawn, found; and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.image.synthetic import nuclei_2d
from napari_unet.model.checkpoint import load_checkpoint


def model_file(folder: Path, diameter: float | None) -> Path:
    checkpoint = load_checkpoint("nuclei-2d")
    made = replace(checkpoint, header=replace(checkpoint.header, object_diameter=diameter))
    return made.save(folder / f"knows-{diameter}.safetensors")


@pytest.fixture
def sized(panel: Any, visible_viewer: Any, screen: Any, tmp_path: Path) -> Any:
    """The panel with an image of nuclei of half a micrometre per pixel, and a model that knows 18 pixels."""
    image, _ = nuclei_2d((96, 120), seed=4)
    visible_viewer.add_image(image, name="nuclei", scale=(0.5, 0.5), units=("um", "um"), axis_labels=("y", "x"))
    panel.session.select_model(model_file(tmp_path, 18.0))
    screen.pump(0.1)
    panel.segment.options.toggle.click()
    return panel


def test_a_typed_size_is_an_option_and_is_said(sized: Any, screen: Any) -> None:
    options = sized.segment.options
    options.size.diameter.setValue(36.0)
    assert sized.session.settings.options.diameter == 36.0
    assert "the model sees the image 2 times smaller" in options.note.text()
    options.size.diameter.setValue(0.0)
    assert sized.session.settings.options.diameter is None
    options.size.find.setChecked(True)
    assert sized.session.settings.options.find_size
    assert "found by a first look" in options.note.text()


def test_a_drawing_is_measured_in_pixels_of_the_image(sized: Any, visible_viewer: Any, screen: Any) -> None:
    drawings = {
        "line": ([[10, 10], [10, 30]], 40.0),
        "ellipse": ([[10, 10], [10, 26], [20, 26], [20, 10]], np.sqrt(32 * 20)),
        "polygon": ([[10, 10], [10, 20], [20, 20], [20, 10]], 2 * np.sqrt(20 * 20 / np.pi)),
    }
    shapes = visible_viewer.add_shapes()  # drawn in micrometres: the layer has a scale of its own
    for kind, (corners, expected) in drawings.items():
        shapes.add(np.array(corners, float), shape_type=kind)
        visible_viewer.layers.selection.active = shapes
        screen.push(sized.segment.options.size.measure)
        assert sized.segment.options.size.diameter.value() == pytest.approx(expected, abs=0.06), kind


def test_without_a_drawing_the_panel_says_how(sized: Any, screen: Any, tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    sized.session.events.message.connect(lambda level, sentence, details: said.append((level, sentence)))
    screen.push(sized.segment.options.size.measure)
    assert said[0][0] == "error"
    assert "Shapes layer" in said[0][1]
    sized.session.select_model(model_file(tmp_path, None))
    assert not sized.segment.options.size.isVisible(), "this model does not say what it knows"
