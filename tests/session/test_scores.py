"""Which scores stay on the disk: a prediction on screen can be decoded again, whatever previews came and went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.session.conftest import blobs
from tests.session.test_session import box, stroke

from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.keeping import are_kept


@pytest.fixture
def taught(opened):
    """A session in which something is known."""
    session, image_id, _ = opened
    session.settings = replace(session.settings, first_steps=1)
    session.accept_box(image_id, 0, box(0, 48, 0, 96))
    return session, image_id


def decode(session, image_id):
    """Change the threshold, as the slider does, and return the objects found."""
    objects = replace(session.settings.objects, threshold=0.6)
    session.decode(image_id, objects)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    return set(np.unique(session.labels_array(image_id)).tolist())


def test_the_scores_of_the_model_stay_when_previews_come_and_go(taught):
    session, image_id = taught
    before = set(np.unique(session.labels_array(image_id)).tolist())
    for _ in range(4):
        session.refit()
        assert session.preview is not None
        session.discard()
    assert decode(session, image_id) == before


def test_so_do_those_of_an_image_beside_it(taught):
    session, image_id = taught
    other = session.add_image(ImageSource.from_array(blobs(seed=1)[0], axes="YX", name="other"))
    session.segment(other)
    for _ in range(4):
        stroke(session, image_id, 0, box(70, 80, 5, 15), 0)
        session.refit()
        assert session.preview.image_id == image_id
        session.discard()
    decode(session, other)
    decode(session, image_id)


def test_refit_upon_refit_needs_no_more_room_than_two(taught):
    session, image_id = taught
    for _ in range(4):
        session.refit()
    assert len(list((session.folder.path / "scores").glob("*.npy"))) == 2
    session.keep()
    decode(session, image_id)


def test_older_scores_go(opened):
    session, image_id, _ = opened
    for _ in range(5):
        session.segment(image_id)
    assert len(list((session.folder.path / "scores").glob("*.npy"))) <= 4
    assert Path(session.labels(image_id).origin.scores).is_file()


def test_after_a_move_undo_finds_the_scores_of_before(opened, tmp_path) -> None:
    session, image_id, _ = opened
    first = session.labels(image_id).truth.labels.copy()
    session.segment(image_id)
    session.segment(image_id)
    session.undo()  # one step to each side
    session.move_project(tmp_path / "elsewhere")
    for step in (session.undo, session.redo, session.redo):
        step()
        scores = session.labels(image_id).origin.scores
        assert are_kept(scores) and Path(scores).is_relative_to(tmp_path / "elsewhere")
    session.undo()
    session.decode(image_id, replace(session.settings.objects, min_size=10**6))
    assert not session.labels(image_id).truth.labels.any()
    session.decode(image_id, replace(session.settings.objects, min_size=0))
    np.testing.assert_array_equal(session.labels(image_id).truth.labels > 0, first > 0)
