"""What is measured while the user works: before correction, on random regions, over active minutes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.learning.assignment import GAP
from napari_unet.learning.audit import AuditRegion, audited
from napari_unet.learning.decision import decide
from napari_unet.learning.truth import Truth
from napari_unet.model.checkpoint import own_header
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session, training_tasks
from napari_unet.session.crops import known_crops
from napari_unet.session.state import LabelState

from .conftest import blobs
from .test_session import box, stroke


def audit(image_id, where, score=0.5, weights_hash="other"):
    return AuditRegion(image_id, 0, where, 1.0, score, weights_hash)


def reopened(session):
    """What another session would know from the documents alone."""
    for name in ("blocks", "guard", "prequential", "audits", "audit_scores", "effort"):
        session.documents.touch(name)
    other = Session(JobRunner("inline"))
    other.documents.load(json.loads(json.dumps(session.documents.take_touched())))
    return other


def test_a_region_gets_the_score_of_the_prediction_before(opened):
    session, image_id, _ = opened
    where = box(10, 32, 10, 32)
    before = session.labels_array(image_id)[10:32, 10:32].copy()
    stroke(session, image_id, 0, where, 0)  # all of it is background, says the user
    assert session.corrected == ()
    session.close_region()
    (region,) = session.corrected
    assert before.any()
    assert region.score < 0.3
    assert not region.accepted
    assert region.n_voxels >= 22 * 22
    assert region.weights_hash == session.model.header.weights_hash
    session.close_region()
    assert len(session.corrected) == 1, "each region once"


def test_correcting_elsewhere_closes_a_region_and_accepting_flatters(opened):
    session, image_id, _ = opened
    session.accept_box(image_id, 0, box(0, 20, 0, 20))
    stroke(session, image_id, 0, box(10, 14, 20, 30), 3)  # near: the same region
    assert session.corrected == ()
    image_2 = session.add_image(ImageSource.from_array(blobs((96, 96), 1)[0], axes="YX"))
    session.segment(image_2)
    session.accept_box(image_2, 0, box(0, 40, 0, 40))
    assert [region.accepted for region in session.corrected] == [False]
    session.close_region()
    first, second = session.corrected
    assert (second.image_id, second.accepted, second.score) == (image_2, True, 1.0)
    assert first.n_voxels >= 400


def test_what_was_undone_is_not_scored(opened):
    session, image_id, _ = opened
    stroke(session, image_id, 0, box(10, 32, 10, 32), 0)
    session.undo()
    session.close_region()
    assert session.corrected == ()
    assert session.guard == ()


def test_a_prediction_that_comes_in_meanwhile_does_not_replace_what_was_there(opened):
    session, image_id, _ = opened
    stroke(session, image_id, 0, box(10, 32, 10, 32), 0)
    truth = session.labels(image_id).truth
    truth.write_prediction(0, box(0, 96, 0, 96), np.zeros((1, 96, 96), int))
    session.close_region()
    assert session.corrected[0].score < 0.3


def test_where_nothing_was_predicted_nothing_is_scored(session, model_path):
    image_id = session.add_image(ImageSource.from_array(blobs()[0], axes="YX"))
    session.select_model(model_path("instances"))
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(10, 32, 10, 32), 1)
    session.close_region()
    assert session.corrected == ()


def test_the_first_regions_guard_and_a_candidate_that_forgets_is_not_adopted(opened, monkeypatch):
    session, image_id, _ = opened
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    given = []

    def scores(model, images, *rest):
        given.append(images)
        return (0.9 - 0.3 * (len(given) % 2),)

    monkeypatch.setattr(training_tasks, "region_scores", scores)
    monkeypatch.setattr(training_tasks, "decide", lambda *a, **k: decide([0.2] * 20, [0.1] * 20, guard=k["guard"]))
    session.retrain(steps=1)
    assert len(session.guard) == 1
    assert [sum(int(crop.known.sum()) for crop in images[0].crops) for images in given] == [96 * 96] * 2
    assert session.last_round.decision.verdict == "keep"
    assert "forgets" in session.last_round.decision.sentence
    assert session.model is session.last_round.parent


def test_use_anyway_is_recorded_and_can_be_taken_back(opened, monkeypatch):
    session, image_id, _ = opened
    with pytest.raises(UserError, match="kept out"):
        session.use_anyway()
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    monkeypatch.setattr(training_tasks, "decide", lambda *a, **k: decide([0.4] * 9, [0.5] * 9))
    session.retrain(steps=1)
    parent = session.model
    assert session.overrulable() is session.last_round
    session.use_anyway()
    assert session.model.header.parent == parent.header.weights_hash
    assert session.model.summary.startswith("Used anyway, ")
    assert "The earlier model stays" in session.model.summary
    on_disk = own_header(Path(session.model.path))
    assert on_disk.provenance["used_anyway"] == session.model.summary
    assert on_disk.weights_hash == session.model.header.weights_hash
    assert session.model in session.versions
    assert session.overrulable() is None
    assert session.labels(image_id).model.weights_hash == session.model.header.weights_hash
    session.back()
    assert session.model is parent


def test_the_guard_is_scored_by_the_real_code(opened):
    session, image_id, _ = opened
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    session.retrain(steps=1)
    parent, candidate = session.last_round.decision.guard
    assert parent == pytest.approx(1.0)
    assert 0 <= candidate <= 1


def test_rounds_get_the_blocks_and_hand_them_back(opened):
    session, image_id, _ = opened
    session.settings = replace(session.settings, seed=5)
    session.accept_box(image_id, 0, box(0, 40, 0, 40))
    session.retrain(steps=1)
    first = dict(session.assignment.blocks)
    assert session.assignment.seed == 5
    assert set(first.values()) == {"train"}
    session.discard()
    session.set_group(image_id, "animal 1")
    session.settings = replace(session.settings, seed=6)
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    session.retrain(steps=1)
    assert first.items() <= session.assignment.blocks.items()
    assert len(session.assignment.blocks) > len(first)
    assert session.assignment.groups == {image_id: "animal 1"}


def test_random_regions_never_reach_training_and_tell_the_accuracy_of_the_model_of_now(opened):
    session, image_id, _ = opened
    hidden = box(0, 48, 0, 48)
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    session.labels(image_id).truth.labels[0, 0, 5, 5] = 4711  # what the user would have said there
    session.add_audit(audit(image_id, hidden))
    (image,) = session._known_images(session.model)
    for crop in image.crops:
        inside = audited([(0, hidden)], 0, crop.box)
        assert not crop.known[inside].any()
        assert not crop.changed[inside].any()
        assert not (crop.labels == 4711).any()
    assert session.accuracy() is None
    assert session.guard_images(session.model) == () or not any(
        (crop.known & audited([(0, hidden)], 0, crop.box)).any()
        for one in session.guard_images(session.model)
        for crop in one.crops
    )
    session.measure_audits()
    assert session.accuracy().n == 1
    assert session.accuracy().mean == pytest.approx(0.75, abs=0.01), "one object of two is not predicted"
    session.retrain(steps=1)
    session.keep()
    scores = session.audit_scores
    assert set(scores) == {version.header.weights_hash for version in session.versions}
    session.add_audit(audit(image_id, box(60, 90, 60, 90), 0.25, session.model.header.weights_hash))
    assert session.accuracy().n == 2


def test_what_is_labelled_in_a_random_region_is_no_corrected_region(opened):
    session, image_id, _ = opened
    session.add_audit(audit(image_id, box(0, 96, 0, 96)))
    stroke(session, image_id, 0, box(10, 32, 10, 32), 0)
    session.close_region()
    assert session.corrected == ()
    assert session.guard == ()


def test_active_minutes_leave_pauses_out(opened):
    session, image_id, _ = opened
    now = [100.0]
    session.clock = lambda: now[0]
    session.acted()
    start = session.effort_minutes
    for seconds in (6, 19, 21, 3600, 2):
        now[0] += seconds
        session.acted()
    assert session.effort_minutes - start == pytest.approx((6 + 19 + 2) / 60)
    now[0] += 3
    stroke(session, image_id, 0, box(10, 32, 10, 32), 0)
    assert session.effort_minutes - start == pytest.approx(30 / 60)


def test_the_documents_bring_everything_back(opened):
    session, image_id, _ = opened
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    session.add_audit(audit(image_id, box(0, 20, 0, 20)))
    session.measure_audits()
    stroke(session, image_id, 0, box(40, 60, 40, 60), 7)
    session.retrain(steps=1)
    other = reopened(session)
    assert other.assignment == session.assignment
    assert other.guard == session.guard != ()
    assert other.corrected == session.corrected != ()
    assert other.audits == session.audits
    assert other.audit_scores == session.audit_scores != {}
    assert other.effort_minutes == pytest.approx(session.effort_minutes, abs=0.001)
    other.close()


def test_the_folder_of_work_is_not_needed(tmp_path):
    session = Session(JobRunner("inline"), WorkFolder.create(tmp_path))
    assert session.verdict().kind == "early"
    assert session.measure_audits() is None
    session.close()


boxes = st.tuples(*[st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in (6, 200, 220)])


@settings(max_examples=30, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=3), st.lists(boxes, min_size=1, max_size=4), st.sampled_from([2, 3]))
def test_no_voxel_of_a_random_region_is_known_in_a_crop(hidden, known, ndim):
    truth = Truth(np.zeros((1, 6, 200, 220), np.uint16), instances=False)
    shape = truth.shape
    for corner in known:
        where = tuple(slice(low, min(low + n, size)) for (low, n), size in zip(corner, shape, strict=True))
        truth.paint(0, where, np.ones([p.stop - p.start for p in where], bool), 3)
    places = [(0, tuple(slice(low, low + n) for low, n in corner)) for corner in hidden]
    secret = audited(places, 0, tuple(slice(0, n) for n in shape))
    for _, place in places:
        wide = tuple(slice(max(p.start - g, 0), p.stop + g) for p, g in zip(place, GAP, strict=True))
        assert secret[wide].all()
    seen = np.zeros(shape, bool)
    for crop in known_crops(LabelState(truth, truth.labels), ndim, places):
        seen[crop.box] |= crop.known
        assert not crop.labels[secret[crop.box]].any()
    assert np.array_equal(seen, truth.known[0] & ~secret)
