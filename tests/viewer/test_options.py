"""The options of a prediction in the panel: only those that apply, and what they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_unet.image.synthetic import nuclei_2d


@pytest.fixture
def stack(panel: Any, visible_viewer: Any, screen: Any) -> Any:
    """The panel with a stack of three slightly shifted planes of nuclei, segmented in one go."""
    image, _ = nuclei_2d((96, 120), seed=4)
    planes = np.stack([np.roll(image, shift, axis=1) for shift in (0, 1, 2)])
    visible_viewer.add_image(
        planes, name="stack", scale=(1.0, 0.5, 0.5), units=("um",) * 3, axis_labels=("z", "y", "x")
    )
    screen.pump(0.1)
    panel.segment.options.toggle.click()
    return panel


def shown(panel: Any) -> set[str]:
    return {name for name, editor in panel.segment.options.editors.items() if editor.visible}


def ids(panel: Any) -> int:
    labels = panel.session.labels_array(panel.link.image.image_id)
    return len(np.unique(labels[labels > 0]))


def choose(panel: Any, screen: Any, model: str) -> None:
    session = panel.session
    session.select_model(model)
    screen.wait_until(lambda: not session.busy and session.need_model().header.name == model, 30)
    screen.pump(0.1)


def test_options_that_do_not_apply_are_not_offered(stack: Any, visible_viewer: Any, screen: Any) -> None:
    assert shown(stack) == {"flips", "three_directions", "join_z"}
    stack.segment.options.editors["three_directions"].value = True
    assert stack.session.settings.options.three_directions
    assert shown(stack) == {"flips", "three_directions", "rescale"}
    assert "rescaled from voxels of 1 × 0.5 × 0.5 µm to 0.5 × 0.5 × 0.5 µm" in stack.segment.options.note.text()
    assert stack.segment.options.note.isVisible()
    stack.segment.options.editors["rescale"].value = False
    assert "switched off" in stack.segment.options.note.text()
    visible_viewer.layers.clear()
    visible_viewer.add_image(np.zeros((60, 60), np.uint8), name="flat")
    screen.pump(0.1)
    assert shown(stack) == {"flips"}
    assert not stack.segment.options.note.isVisible()


def test_the_minimum_size_is_that_of_the_dimensions_until_it_is_set(stack: Any, screen: Any) -> None:
    field = stack.segment.editors["min_size"]
    for model, usual in (("nuclei-2d", 20), ("nuclei-3d", 65), ("nuclei-2d", 20)):
        choose(stack, screen, model)
        assert field.value == usual
        assert stack.segment.values().min_size is None
    directions = stack.segment.options.editors["three_directions"]
    for there, usual in ((True, 65), (False, 20)):
        directions.value = there
        assert field.value == usual
    field.value = 30
    choose(stack, screen, "nuclei-3d")
    assert stack.segment.values().min_size == 30


def test_planes_are_joined_and_parted_without_the_network(stack: Any, screen: Any) -> None:
    stack.link.segment()
    screen.wait_until(lambda: not stack.session.jobs and ids(stack) > 0, 60)
    joined = ids(stack)
    stack.segment.options.editors["join_z"].value = False
    screen.wait_until(lambda: ids(stack) > 2 * joined, 30)
    stack.segment.options.editors["join_z"].value = True
    screen.wait_until(lambda: not stack.session.jobs and ids(stack) == joined, 30)


def test_the_check_for_seams_says_what_it_found(stack: Any, screen: Any) -> None:
    said: list[tuple[str, str]] = []
    stack.session.events.message.connect(lambda level, sentence, details: said.append((level, sentence)))
    stack.session.settings = replace(stack.session.settings, precision="float32")
    screen.push(stack.segment.options.seams)
    screen.wait_until(lambda: bool(said), 60)
    level, sentence = said[0]
    assert level == "info", sentence
    assert "tiles and at once, scores differ by at most" in sentence
