"""The quick refit: seen at once, adopted by nobody but the user."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.session.conftest import blobs
from tests.session.test_session import box, stroke

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.jobs import Job, JobRunner
from napari_unet.learning.audit import AuditRegion
from napari_unet.learning.places import Suggestion
from napari_unet.learning.quick import FEATURES
from napari_unet.learning.trainer import Trainer
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.header import ClassInfo
from napari_unet.session import Session, refitting
from napari_unet.session.kept import KeptState
from napari_unet.session.state import JobView


@pytest.fixture
def taught(opened):
    """A session in which one object is deleted and something is known."""
    session, image_id, _ = opened
    session.settings = replace(session.settings, first_steps=2)
    session.segment(image_id)
    session.accept_box(image_id, 0, box(0, 48, 0, 96))
    return session, image_id


def test_a_refit_is_shown_and_not_adopted(taught):
    session, _ = taught
    parent = session.model
    session.refit()
    assert session.round is not None and session.round.quick
    assert session.model is parent
    assert session.preview is not None
    assert "not measured" in session.round.decision.sentence
    session.keep()
    assert session.model.header.parent == parent.header.weights_hash


def test_each_refit_starts_from_the_current_model_and_replaces_the_last_one(taught):
    session, image_id = taught
    parent, before = session.model, session.labels_array(image_id).copy()
    session.refit()
    first = session.round
    stroke(session, image_id, 0, box(70, 80, 5, 15), 0)
    session.refit()
    assert session.round is not first and session.round.parent is parent
    session.discard()
    after = session.labels_array(image_id)
    known = session.known_mask(image_id)[0, 0]
    np.testing.assert_array_equal(after[~known] > 0, before[~known] > 0)
    assert session.model is parent


def test_retrain_drops_a_refit_that_is_shown(taught):
    session, _ = taught
    session.refit()
    session.retrain(steps=2)
    assert session.last_round is not None and not session.last_round.quick
    assert session.round is None or not session.round.quick


def test_a_measured_round_has_to_be_decided_before_a_refit(taught):
    session, _ = taught
    session.retrain(steps=1)
    if session.round is None:
        session.round = session.last_round
    with pytest.raises(UserError, match="Keep or Discard"):
        session.refit()


def test_blocks_held_back_do_not_teach_the_refit(session, model_path, monkeypatch):
    image, _ = blobs((256, 256))
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="wide"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    session.accept_slice(image_id, 0, 0, confirmed=True)
    session.retrain(steps=1)
    roles = session.current_assignment()
    assert "validation" in roles.blocks.values()
    if session.round is not None:
        session.discard()
    taught = []
    begin = Trainer.__init__

    def noting(trainer, checkpoint, regions, *rest):
        taught.extend(regions)
        begin(trainer, checkpoint, regions, *rest)

    monkeypatch.setattr(Trainer, "__init__", noting)
    session.refit()
    assert taught and session.current_assignment() == roles
    for region in taught:
        assert not (region.known & roles.held_out(region.image_id, region.box)).any()


def test_the_refit_comes_by_itself_when_the_user_pauses(taught, monkeypatch):
    session, image_id = taught
    monkeypatch.setattr(refitting, "PAUSE", 0.05)
    session.deliver()
    assert session.round is None
    session.refit_when_pausing(True)
    stroke(session, image_id, 0, box(70, 80, 5, 15), 0)
    session.begin_stroke(image_id)
    time.sleep(0.06)
    session.deliver()
    assert session.round is None, "a stroke was under way"
    session.abort_stroke(image_id)
    session.deliver()
    assert session.round is not None and session.round.quick
    seen = session.round
    session.deliver()
    assert session.round is seen, "nothing new was painted"


def test_a_new_model_grows_with_its_first_whole_round(session):
    image, _ = blobs((128, 128))
    image_id = session.add_image(ImageSource.from_array(image + 0.0, axes="YX", name="new"))
    session.settings = replace(session.settings, first_steps=5)
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")), None)
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(18, 23, 18, 23), 1)
    stroke(session, image_id, 0, box(40, 46, 30, 60), 0)
    first = session.model
    assert first.header.config.features == FEATURES[2]
    session.refit()
    assert session.round.candidate.header.config.features == FEATURES[2], "a quick look stays quick"
    session.retrain(steps=5)
    candidate = session.last_round.candidate
    general = load_checkpoint("start-2d").header.config.features
    assert candidate.header.config.features == general
    assert candidate.header.parent == first.header.weights_hash
    if session.round is not None:
        session.keep()
    session.refit()
    assert session.round.candidate.header.config.features == general


def test_a_head_of_one_s_own_still_has_to_learn_after_the_first_look(session):
    image, _ = blobs((128, 128))
    image_id = session.add_image(ImageSource.from_array(image + 0.0, axes="YX", name="new"))
    session.settings = replace(session.settings, first_steps=5)
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")), "nuclei-2d")
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(18, 23, 18, 23), 1)
    stroke(session, image_id, 0, box(40, 46, 30, 60), 0)
    session.deliver()
    assert not session.model.untrained
    assert session.model.header.provenance["fresh_head"]


def test_a_grown_model_is_measured_against_the_one_before(session):
    image, labels = blobs((256, 256))
    image_id = session.add_image(ImageSource.from_array(image + 0.0, axes="YX", name="new"))
    session.settings = replace(session.settings, first_steps=40)
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")), None)
    session.ensure_labels(image_id)
    for where, value in ((box(18, 23, 18, 23), 1), (box(40, 46, 30, 60), 0)):
        stroke(session, image_id, 0, where, value)
    truth = session.labels(image_id).truth
    for y in range(0, 256, 32):
        truth.labels[0, 0, y : y + 32] = labels[y : y + 32] > 0
        session.begin_stroke(image_id)
        session.end_stroke(image_id, 0, box(y, y + 32, 0, 256), np.ones((1, 32, 256), bool))
    session.retrain(steps=1)
    decision = session.last_round.decision
    assert decision.n_blocks >= 2
    assert decision.parent > 0.6, "the earlier model is right; a fresh network is not"


def test_a_stroke_under_way_survives_that_a_refit_is_dropped(taught):
    session, image_id = taught
    session.refit()
    session.begin_stroke(image_id)
    where = box(70, 80, 5, 15)
    session.labels(image_id).truth.labels[0][where] = 77
    session.discard()
    assert (session.labels(image_id).truth.labels[0][where] == 77).all(), "what is being painted stays"
    session.end_stroke(image_id, 0, where, np.ones((1, 10, 10), bool))
    session.deliver()
    truth = session.labels(image_id).truth
    assert (truth.labels[0][where] == 77).all()
    assert session.labels(image_id).model.weights_hash == session.model.header.weights_hash, "the preview is gone"


def test_a_refit_that_was_dropped_before_it_was_seen_is_never_shown(taught):
    session, image_id = taught
    before = session.labels(image_id).origin
    # A segmentation runs while two refits end.
    session.jobs["segment"] = JobView(job=Job("segment"))
    session.refit()
    session.refit()
    session.discard()
    del session.jobs["segment"]
    for action in session._afterwards.pop("segment"):
        action()
    assert session.labels(image_id).origin is before


def test_a_refit_leaves_an_interrupted_round_alone(taught):
    session, _ = taught
    kept = KeptState(str(session.folder.path))
    kept.facts.parent.mkdir()
    kept.facts.write_text("{}")
    session.refit()
    assert kept.facts.is_file()
    session.retrain(steps=1)
    assert not kept.facts.is_file()


def test_what_a_waiting_refit_predicts_is_not_saved(taught):
    session, image_id = taught
    session.save()
    before = session.labels(image_id).truth.prediction.copy()
    session.refit()
    truth = session.labels(image_id).truth
    truth.set_prediction(0, box(60, 90, 60, 90), np.full((1, 30, 30), 9, np.uint32))
    folder = session.folder.path
    session.close()
    again = Session(JobRunner("inline"))
    again.open_project(folder)
    labels = again.labels(image_id)
    np.testing.assert_array_equal(labels.truth.prediction, before)
    assert labels.model.weights_hash == again.model.header.weights_hash
    again.close()


def test_refits_that_were_dropped_leave_no_models_behind(taught):
    session, _ = taught
    versions = tuple(session.versions)
    session.refit()
    dropped = session.round.candidate
    session.refit()
    session.discard()
    assert tuple(session.versions) == versions
    assert not Path(dropped.path).exists()
    session.refit()
    kept = session.round.candidate
    session.keep()
    assert kept in session.versions and Path(kept.path).is_file()


def test_what_is_labelled_in_a_random_check_starts_no_refit(opened, monkeypatch):
    session, image_id, _ = opened
    monkeypatch.setattr(refitting, "PAUSE", 0.0)
    session.refit_when_pausing(True)
    session.open_check(Suggestion(image_id, 0, box(0, 64, 0, 64), "random", ""))
    stroke(session, image_id, 0, box(10, 20, 10, 20), 1)
    stroke(session, image_id, 0, box(40, 50, 40, 50), 0)
    session.deliver()
    assert session.round is None
    assert not [m for m in session.messages if m[0] == "error"], session.messages


def test_what_a_random_check_taught_nobody_does_not_count_for_a_refit(opened, monkeypatch):
    session, image_id, _ = opened
    monkeypatch.setattr(refitting, "PAUSE", 0.0)
    stroke(session, image_id, 0, box(0, 20, 0, 20), 1)
    stroke(session, image_id, 0, box(30, 40, 0, 20), 0)
    session.audits = (AuditRegion(image_id, 0, box(0, 48, 0, 48), 0.0, None, ""),)
    session.refit_when_pausing(True)
    stroke(session, image_id, 0, box(80, 90, 80, 90), 0)
    session.deliver()
    session.undo()
    session.deliver()
    assert session.round is None
    assert not [m for m in session.messages if m[0] == "error"], session.messages


def test_a_pause_is_looked_at_once(taught, monkeypatch):
    session, image_id = taught
    monkeypatch.setattr(refitting, "PAUSE", 0.0)
    looks = []
    monkeypatch.setattr(refitting, "known_classes", lambda *given: looks.append(given) or {0})
    session.refit_when_pausing(True)
    stroke(session, image_id, 0, box(70, 80, 5, 15), 0)
    session.deliver()
    session.deliver()
    assert len(looks) == 1


def test_finalize_drops_a_refit_that_is_shown(taught):
    session, _ = taught
    session.refit()
    session.finalize(steps=1)
    assert session.last_round is not None and not session.last_round.quick


@pytest.mark.parametrize(
    "command",
    [
        lambda session, image_id: session.segment(image_id),
        lambda session, image_id: session.next_region(),
        lambda session, image_id: session.decode(image_id, replace(session.settings.objects, threshold=0.6)),
        lambda session, image_id: session.undo(),
    ],
    ids=["segment", "next", "threshold", "undo"],
)
def test_whatever_comes_next_takes_the_place_of_a_refit(taught, command):
    session, image_id = taught
    parent = session.model
    session.refit()
    assert session.round.quick and session.undecided is None
    command(session, image_id)
    assert session.round is None and session.preview is None
    assert session.model is parent
    assert not [m for m in session.messages if m[0] == "error"]


def test_undo_after_a_refit_was_dropped_goes_on_with_the_user_s_steps(taught):
    session, image_id = taught
    known = session.known_counts(image_id)[0]
    session.refit()
    assert session.undo() == "quick refit"
    assert session.known_counts(image_id)[0] == known
    assert session.undo() == "accept view"
    assert session.known_counts(image_id)[0] == 0


def test_opening_a_project_starts_no_refit(taught, monkeypatch):
    session, _ = taught
    session.save()
    folder = session.folder.path
    session.close()
    again = Session(JobRunner("inline"))
    other = again.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="other"))
    again.start_with("nuclei-2d")
    again.ensure_labels(other)
    stroke(again, other, 0, box(10, 20, 10, 20), 1)
    stroke(again, other, 0, box(40, 50, 40, 50), 0)
    assert again._last_edit is not None
    monkeypatch.setattr(refitting, "PAUSE", 0.0)
    monkeypatch.setattr(again, "refit", lambda: pytest.fail("nothing was corrected here"))
    again.open_project(folder)
    again.refit_when_pausing(True)
    again.deliver()
    again.close()


@pytest.fixture
def rounds(monkeypatch):
    """For each round that begins, which crops to learn from and which blocks know what was left uncorrected."""
    found: list[tuple[list[bool], list[bool]]] = []
    made = Trainer.__init__

    def init(self, checkpoint, regions, validation=(), settings=None):
        assert all(region.mostly_wrong for region in regions if region.soft is not None)
        found.append(tuple([region.soft is not None for region in some] for some in (regions, validation)))
        made(self, checkpoint, regions, validation, settings)

    monkeypatch.setattr(Trainer, "__init__", init)
    return found


def correct_a_first_look(session, image, ndim, places, times=1):
    """Begin from nothing, paint what is wrong at some places (y, x), and train, several times."""
    axes = "YX" if ndim == 2 else "ZYX"
    image_id = session.add_image(ImageSource.from_array(image + 0.0, axes=axes, name="new"))
    session.settings = replace(session.settings, first_steps=2)
    classes = (ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00"))
    session.new_model(classes, None, ndim=ndim)
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(18, 23, 18, 23), 1)
    stroke(session, image_id, 0, box(40, 46, 30, 60), 0)
    for number in range(times):
        session.segment(image_id)
        for y, x in places:
            where = box(y + 20 * number, y + 20 * number + 4, x, x + 40)
            wrong = 1 - int(session.labels(image_id).truth.labels[0][where].max())
            stroke(session, image_id, 0, where, wrong)
        session.retrain(steps=2)
        if session.round is not None:
            session.keep()
        elif session.model is session.last_round.parent:
            session.use_anyway()


def test_what_was_left_of_a_first_look_does_not_judge(session, rounds):
    image, _ = blobs((384, 384))
    places = [(128 * y + 90, 128 * x + 70) for y, x in np.ndindex(3, 3)]
    correct_a_first_look(session, image, 2, places, times=2)
    first, second = rounds[-2:]
    assert any(first[0]) and first[1] and not any(first[1])
    assert any(second[0]) and any(second[1])


def test_what_was_left_of_a_first_look_teaches_no_volume(session, rounds):
    image, _ = blobs((128, 128))
    correct_a_first_look(session, np.repeat(image[None], 4, 0), 3, [(80, 20), (100, 60)])
    assert rounds[-1][0] and not any(rounds[-1][0])
