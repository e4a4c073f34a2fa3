"""Which image shows what a round gave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.session.conftest import blobs
from tests.session.test_session import box, stroke

from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.learning.decision import decide
from napari_unet.learning.places import Suggestion
from napari_unet.session import Session, training_tasks


@pytest.fixture
def two(opened):
    """A session with two segmented images, the second one segmented last; the first is corrected."""
    session, first, _ = opened
    session.settings = replace(session.settings, first_steps=2)
    second = session.add_image(ImageSource.from_array(blobs(seed=1)[0], axes="YX", name="other"))
    session.segment(second)
    session.accept_box(first, 0, box(0, 48, 0, 96))
    return session, first, second


def test_a_refit_is_shown_on_the_image_that_is_being_corrected(two):
    session, first, second = two
    session.refit()
    assert session.preview.image_id == first
    session.discard()
    stroke(session, second, 0, box(70, 80, 5, 15), 0)
    session.refit()
    assert session.preview.image_id == second


@pytest.mark.parametrize("scores", [((), ()), ([0.9] * 20, [0.1] * 20)], ids=["preliminary", "adopted"])
def test_a_measured_round_is_shown_on_the_image_that_is_being_corrected(two, monkeypatch, scores):
    session, first, _ = two
    monkeypatch.setattr(training_tasks, "decide", lambda *given, **named: decide(*scores))
    session.retrain(steps=1)
    assert session.labels(first).model.weights_hash == session.last_round.candidate.header.weights_hash


def test_without_a_correction_that_teaches_the_image_segmented_last_shows_it(two):
    session, first, second = two
    session.open_check(Suggestion(second, 0, box(0, 32, 0, 32), "random", ""))
    stroke(session, second, 0, box(10, 20, 10, 20), 0)
    session.refit()
    assert session.preview.image_id == first, "what is labelled in a check teaches nothing"
    session.discard()
    session.last_corrected = None
    session.segment(second)
    session.refit()
    assert session.preview.image_id == second


def test_the_time_point_that_is_being_corrected_is_shown(session, model_path):
    image = np.stack([blobs()[0], blobs(seed=1)[0]])
    image_id = session.add_image(ImageSource.from_array(image, axes="TYX", name="film"))
    session.select_model(model_path("instances"))
    session.segment(image_id, 0, box(0, 48, 0, 48), only_view=True)
    stroke(session, image_id, 0, box(0, 20, 60, 80), 0)
    stroke(session, image_id, 1, box(15, 25, 15, 25), 1)
    session.settings = replace(session.settings, first_steps=2)
    session.refit()
    assert {t for t, _ in session.labels(image_id).frames} == {1}
    assert session.last_view[1:] == ((1, box(0, 48, 0, 48)), True, (1,))


def test_a_session_reopened_shows_a_round_where_it_is_corrected_then(two):
    session, first, _ = two
    session.refit()
    session.keep()
    folder = session.folder.path
    session.close()
    again = Session(JobRunner("inline"))
    again.open_project(folder)
    assert again.last_corrected is None
    stroke(again, first, 0, box(70, 80, 5, 15), 0)
    again.settings = replace(again.settings, first_steps=2)
    again.refit()
    assert again.preview.image_id == first
    again.close()
