"""A 2D model over a stack: one id for each object in z, live settings, and time points apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.image.boxes import as_box
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.jobs import JobContext
from napari_unet.session.decode_tasks import in_view_first
from napari_unet.session.tasks import LabelBlock, SegmentRequest, segment


def columns(depth: int = 5, shift: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Three slanted columns, one of which ends in the third plane, and their labels."""
    truth = np.zeros((depth, 64, 80), np.uint32)
    rows, cols = np.indices(truth.shape[1:])
    for number, (y, x, last) in enumerate([(15, 15, depth), (15, 50, 3), (45, 30, depth)], start=1):
        for z in range(last):
            truth[z][(rows - y) ** 2 + (cols - x - shift * z) ** 2 < 60] = number
    return (truth > 0).astype(np.float32), truth


def same_objects(found: np.ndarray, truth: np.ndarray) -> bool:
    pairs = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(found)) == len(np.unique(truth))


@pytest.fixture
def stack(session, model_path):
    """A session with a 2D model and a stack of slanted columns, the image's id, and the truth."""
    image, truth = columns()
    image_id = session.add_image(ImageSource.from_array(image, axes="ZYX", name="columns"))
    session.select_model(model_path("instances"))
    return session, image_id, truth


@pytest.mark.parametrize("z", [0, 2, 4])
def test_an_object_has_one_id_in_all_planes(stack, z) -> None:
    session, image_id, truth = stack
    session.segment(image_id, view=as_box((z, 0, 0), (z + 1, 64, 80)))
    found = session.labels_array(image_id).copy()
    assert same_objects(found, truth)
    session.segment(image_id)
    np.testing.assert_array_equal(session.labels_array(image_id), found)
    session.decode(image_id, ObjectSettings(min_size=5), (0, as_box((3, 0, 0), (4, 64, 80))))
    np.testing.assert_array_equal(session.labels_array(image_id), found)
    assert not [m for m in session.messages if m[0] == "error"]


def test_planes_stay_apart_where_that_is_wanted(stack) -> None:
    session, image_id, truth = stack
    session.settings = replace(session.settings, options=PredictOptions(join_z=False))
    session.segment(image_id)
    found = session.labels_array(image_id)
    assert len(np.unique(found[found > 0])) == 2 * 5 + 3
    # Joined afterwards, without the network.
    session.settings = replace(session.settings, options=PredictOptions())
    session.decode(image_id, session.settings.objects)
    assert same_objects(session.labels_array(image_id), truth)


def test_an_id_that_the_user_gave_is_kept_in_its_plane(stack) -> None:
    session, image_id, truth = stack
    session.segment(image_id)
    first = session.labels_array(image_id).copy()
    session.begin_stroke(image_id)
    session.labels(image_id).truth.labels[0, 2, 40:50, 30:36] = 77
    session.end_stroke(image_id, 0, as_box((2, 40, 30), (3, 50, 36)), None)
    session.segment(image_id)
    found = session.labels_array(image_id)
    assert (found[2, 40:50, 30:36] == 77).all()
    assert same_objects(found[:2], truth[:2])
    assert set(np.unique(found[:2])) == set(np.unique(first[:2]))


def test_planes_that_come_in_any_order_are_joined_in_the_end(stack) -> None:
    session, image_id, truth = stack
    reports: list[object] = []
    views = iter([as_box((z, 0, 0), (z + 1, 64, 80)) for z in (0, 4, 2, 1, 3)])
    context = JobContext(lambda kind, what: reports.append(what), lambda: False, lambda: (0, next(views)))
    segment(context, SegmentRequest(session.need_model().path, session.lazy_source(image_id)))
    found = np.zeros(truth.shape, np.uint32)
    for block in reports:
        if isinstance(block, LabelBlock) and not block.provisional:
            found[block.box] = block.labels
    assert same_objects(found, truth)


def test_objects_in_three_directions_are_decoded_again_in_3d(stack) -> None:
    session, image_id, truth = stack
    session.settings = replace(session.settings, options=PredictOptions(three_directions=True))
    session.segment(image_id)
    found = session.labels_array(image_id).copy()
    assert same_objects(found, truth)
    session.decode(image_id, ObjectSettings(min_size=5))
    np.testing.assert_array_equal(session.labels_array(image_id), found)


def test_time_points_have_ids_of_their_own(session, model_path) -> None:
    image, truth = columns(3)
    movie = np.stack([image, image[::-1]])
    image_id = session.add_image(ImageSource.from_array(movie, axes="TZYX", name="movie"))
    session.select_model(model_path("instances"))
    session.segment(image_id, t=1)
    found = session.labels_array(image_id)
    assert same_objects(found[0], truth)
    assert same_objects(found[1], truth[::-1])
    assert not set(np.unique(found[0])) & set(np.unique(found[1])) - {0}


def test_frames_in_view_come_first() -> None:
    frames = tuple((t, as_box((z, 0, 0), (z + 1, 9, 9))) for t in range(2) for z in range(4))
    order = in_view_first(frames, (1, as_box((2, 0, 0), (3, 9, 9))))
    assert [(t, box[0].start) for t, box in order][:5] == [(1, 2), (1, 1), (1, 3), (1, 0), (0, 2)]
    assert in_view_first(frames, None) == frames
