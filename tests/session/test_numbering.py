"""Objects that come in several blocks keep their ids, and give them to no other."""

from __future__ import annotations

import numpy as np

from napari_unet.image.boxes import as_box
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobContext
from napari_unet.learning.edits import State
from napari_unet.learning.truth import Truth
from napari_unet.session.inheriting import Inheriting
from napari_unet.session.tasks import LabelBlock, SegmentRequest, segment


def plane_block(z: int, *objects: tuple[int, int]) -> LabelBlock:
    """Return a final plane with objects (column, number)."""
    labels = np.zeros((1, 8, 24), np.uint32)
    for column, number in objects:
        labels[0, 2:6, column : column + 4] = number
    return LabelBlock(0, as_box((z, 0, 0), (z + 1, 8, 24)), labels, provisional=False)


def test_planes_given_again_keep_the_numbers_of_all_objects_that_did_not_merge(session, model_path) -> None:
    image = np.zeros((4, 64, 80), np.float32)
    image[:, 10:20, 10:20] = 1
    image[2:, 10:20, 40:50] = 1
    image[0, 40:50, 60:70] = 1
    image_id = session.add_image(ImageSource.from_array(image, axes="ZYX", name="stack"))
    session.select_model(model_path("instances"))
    views = iter([as_box((z, 0, 0), (z + 1, 64, 80)) for z in (3, 0, 2, 1)])
    given: list[list[np.ndarray]] = [[], [], [], []]

    def take(kind: object, what: object) -> None:
        if isinstance(what, LabelBlock) and not what.provisional:
            given[what.box[0].start].append(what.labels[0].copy())

    context = JobContext(take, lambda: False, lambda: (0, next(views)))
    segment(context, SegmentRequest(session.need_model().path, session.lazy_source(image_id)))
    assert any(len(blocks) > 1 for blocks in given), "the planes must merge for this test to mean anything"
    for row, column in ((15, 45), (45, 65)):
        for blocks in given:
            assert len({int(block[row, column]) for block in blocks}) <= 1
    assert len({int(blocks[-1][15, 15]) for blocks in given}) == 1


def test_an_id_that_the_user_gave_stands_above_that_of_an_earlier_block() -> None:
    truth = Truth(np.zeros((1, 4, 8, 24), np.uint32), instances=True)
    truth.next_id(50)
    known = np.zeros((1, 8, 24), bool)
    known[0, 2:6, 10:14] = True
    truth.restore(0, as_box((3, 0, 0), (4, 8, 24)), State(np.where(known, 7, 0).astype(np.uint32), known, known))
    ids = Inheriting(truth)
    first = plane_block(0, (10, 2))
    assert ids.table(first)[2] != 7
    assert ids.table(plane_block(3, (10, 2)))[2] == 7
