"""Decoding scores again: what is in view first, then everything as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from tests.session.conftest import OUTPUTS

from napari_unet.image.boxes import as_box, inside
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.jobs import JobContext
from napari_unet.session.decode_tasks import DecodeRequest, decode_again, decoded_settings
from napari_unet.session.tasks import LabelBlock

FRAME = as_box((0, 0, 0), (1, 500, 520))


@pytest.fixture
def scores(tmp_path):
    """A file with the scores of one large plane of squares."""
    inner = np.zeros((500, 520), np.float16)
    for y in range(10, 480, 30):
        for x in range(10, 500, 30):
            inner[y : y + 18, x : x + 18] = 0.8
    values = np.stack([1 - inner, inner, 0 * inner])[None, :, None]
    np.save(tmp_path / "scores.npy", values)
    return str(tmp_path / "scores.npy"), values[0].astype(np.float32)


def blocks(request: DecodeRequest) -> list[LabelBlock]:
    reports: list[object] = []
    decode_again(JobContext(lambda kind, what: reports.append(what), lambda: False), request)
    return [report for report in reports if isinstance(report, LabelBlock)]


def test_the_part_in_view_comes_first(scores) -> None:
    path, values = scores
    seen = as_box((0, 130, 200), (1, 200, 290))
    settings = ObjectSettings(threshold=0.6)
    request = DecodeRequest(path, OUTPUTS["instances"], settings, ((0, FRAME),), True, True, (0, seen))
    first, last = blocks(request)
    assert first.provisional and first.box == seen
    assert not last.provisional and last.box == FRAME
    whole = decode(values, OUTPUTS["instances"], settings)
    np.testing.assert_array_equal(last.labels, whole)
    np.testing.assert_array_equal(first.labels > 0, whole[inside(seen, FRAME)] > 0)


@pytest.mark.parametrize("view", [None, (1, FRAME), (0, FRAME), (0, as_box((0, 0, 0), (1, 300, 300)))])
def test_a_view_that_shows_little_less_is_not_decoded_twice(scores, view) -> None:
    request = DecodeRequest(scores[0], OUTPUTS["instances"], ObjectSettings(), ((0, FRAME),), True, True, view)
    assert [block.provisional for block in blocks(request)] == [False]


def test_what_labels_came_from_is_kept() -> None:
    before: dict[str, object] = {"options": {"flips": True, "join_z": True}, "seconds": 3.0, "objects": {}}
    after = decoded_settings(before, ObjectSettings(threshold=0.3), False)
    assert after["options"] == {"flips": True, "join_z": False}
    assert "seconds" not in after
    assert isinstance(after["objects"], dict) and after["objects"]["threshold"] == 0.3
