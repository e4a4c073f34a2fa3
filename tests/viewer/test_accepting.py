"""Accept slice makes known the plane that is on screen, and nothing where none is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.image.synthetic import nuclei_2d


@pytest.fixture
def known(panel: Any, visible_viewer: Any, screen: Any) -> Any:
    """Return the known mask (z, y, x) of a segmented stack of 4 × 48 × 56."""
    plane, _ = nuclei_2d((48, 56), seed=3)
    visible_viewer.add_image(np.stack([plane] * 4), name="stack", axis_labels=("z", "y", "x"))
    screen.push(panel.segment.button)
    screen.pump(0.05)
    return panel.session.known_mask(panel.link.image.image_id)[0]


def test_the_plane_on_screen_is_accepted_in_every_order(
    panel: Any, visible_viewer: Any, screen: Any, known: Any
) -> None:
    dims = visible_viewer.dims
    for order, axis, index in (((0, 1, 2), 0, 2), ((1, 0, 2), 1, 15), ((2, 0, 1), 2, 7)):
        dims.order = order
        dims.set_point(axis, index)
        screen.pump(0.05)
        panel.link.accept_slice()
        expected = np.zeros_like(known)
        expected[tuple(index if a == axis else slice(None) for a in range(3))] = True
        assert np.array_equal(known, expected)
        assert panel.session.history.next_undo == "accept slice"
        panel.link.undo()


def test_the_whole_plane_counts_also_what_is_beyond_the_window(
    panel: Any, visible_viewer: Any, screen: Any, known: Any
) -> None:
    visible_viewer.scene.camera.zoom *= 5
    screen.pump(0.1)
    panel.link.accept_slice()
    assert known.any((1, 2)).sum() == 1
    assert known.sum() == known[0].size


def test_nothing_is_accepted_that_is_not_one_plane_on_screen(
    panel: Any, visible_viewer: Any, screen: Any, known: Any
) -> None:
    visible_viewer.scene.camera.center = (0, 1e5, 1e5)
    screen.pump(0.1)
    for accept in (panel.link.accept_view, panel.link.accept_slice):
        accept()
        assert not known.any()
        assert "not on screen" in panel.message.sentence.text()
    visible_viewer.reset_view()
    visible_viewer.dims.ndisplay = 3
    screen.pump(0.1)
    panel.link.accept_slice()
    assert not known.any()
    assert "three dimensions" in panel.message.sentence.text()
