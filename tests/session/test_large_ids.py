"""Ids and the history of work areas while their whole image is segmented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_unet.image.boxes import as_box, whole
from napari_unet.session.tasks import LabelBlock

from .test_areas import VIEW, home, large, settle  # noqa: F401


def test_two_objects_of_one_run_do_not_share_an_id_from_the_screen(large):  # noqa: F811
    session, image_id = large
    truth = session.labels(session.set_area(image_id, 0, as_box((0, 0, 0), (1, 64, 80)))).truth
    before = np.zeros((1, 64, 80), np.uint32)
    before[0, 10:30, 10:60] = truth.next_id(1)
    truth.write_prediction(0, whole(truth.shape), before)
    writer = session.writer(image_id, "segment")
    for number, column, (start, stop) in ((1, 0, (10, 38)), (2, 40, (2, 20))):
        labels = np.zeros((1, 64, 40), np.uint32)
        labels[0, 10:30, start:stop] = number
        box = as_box((0, 0, column), (1, 64, column + 40))
        for piece in writer.prepare(LabelBlock(0, box, labels, False)):
            writer.take(piece)
    settle(session)
    found = session.pyramid(image_id).read(0, as_box((0, 0, 0), (1, 64, 80)))[0]
    assert 0 != found[15, 20] != found[15, 50] != 0


def test_undo_after_all_was_segmented_brings_no_earlier_labels_back(large):  # noqa: F811
    session, image_id = large
    area_id = session.set_area(image_id, 0, VIEW)
    session.segment(area_id)
    session.settings = replace(session.settings, objects=replace(session.settings.objects, min_size=10**6))
    session.segment(image_id)
    settle(session)
    truth = session.labels(area_id).truth
    assert not truth.labels.any()
    session.undo()
    assert not truth.labels.any()
