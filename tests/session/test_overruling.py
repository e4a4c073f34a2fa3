"""Use anyway: the last measured round stays the last one, whatever quick refits come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.session.test_session import box, stroke

from napari_unet.learning.decision import decide
from napari_unet.session import training_tasks


@pytest.fixture
def kept_out(opened, monkeypatch):
    """A session whose measured round kept its candidate out."""
    session, image_id, _ = opened
    session.settings = replace(session.settings, first_steps=1)
    session.accept_box(image_id, 0, box(0, 48, 0, 96))
    with monkeypatch.context() as patch:
        patch.setattr(training_tasks, "decide", lambda *given, **named: decide([0.4] * 9, [0.5] * 9))
        session.retrain(steps=1)
    assert session.overrulable() is session.last_round is not None
    return session, image_id


def test_a_refit_leaves_the_last_measured_round_alone(kept_out):
    session, image_id = kept_out
    measured = session.last_round
    stroke(session, image_id, 0, box(70, 80, 5, 15), 0)
    session.refit()
    assert session.round.quick
    assert session.last_round is measured
    session.discard()
    assert session.overrulable() is measured
    session.use_anyway()
    assert session.model.header.weights_hash == measured.candidate.header.weights_hash
    assert session.model.summary.startswith("Used anyway, ")


def test_using_the_measured_candidate_anyway_drops_a_refit_that_is_shown(kept_out):
    session, image_id = kept_out
    measured = session.last_round
    session.refit()
    session.use_anyway()
    assert session.round is None
    assert session.model.header.weights_hash == measured.candidate.header.weights_hash
    assert session.labels(image_id).model.weights_hash == session.model.header.weights_hash


def test_a_refit_that_is_kept_ends_the_choice(kept_out):
    session, _ = kept_out
    session.refit()
    session.keep()
    assert session.overrulable() is None
