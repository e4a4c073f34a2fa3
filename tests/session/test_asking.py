"""What a model's file does not say is asked once, tried on the image, and remembered beside the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.session.conftest import blobs

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.model.answers import SUFFIX
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.families.residual3d import ResidualUNet

SAID = {"normalization": "percentile:2:98", "activation": "sigmoid", "channels": "interior,boundary"}


def write(path, seed=0):
    torch.manual_seed(seed)
    torch.save({"model_state_dict": ResidualUNet(2, 1, 2, [4, 8], "gcr", 4).state_dict()}, path)


@pytest.fixture
def file(tmp_path):
    write(tmp_path / "best_checkpoint.pytorch")
    return tmp_path / "best_checkpoint.pytorch"


@pytest.fixture
def asked(session):
    questions = []
    session.events.answers_needed.connect(questions.append)
    return questions


def test_it_is_asked_once_for_these_weights(session, asked, file):
    session.select_model(file)
    (question,) = asked
    assert session.model is None
    assert question.questions.unknown == ("normalization", "activation", "classes")
    assert [finding.argument for finding in question.questions.arguments] == ["layer_order", "num_groups"]
    assert "pytorch-3dunet" in question.questions.sentence
    session.answer(question, SAID | {"argument.num_groups": "4", "voxel_size": "0.5,0.25"})
    header = session.model.header
    assert header.output.instances and header.output.activation == "sigmoid"
    assert (header.normalization.low, header.voxel_size) == (2.0, (0.5, 0.25))
    assert header.blueprint.arguments["groups"] == 4
    assert load_checkpoint(file).header.output == header.output  # the command line knows it, too
    session.select_model(file)
    assert len(asked) == 1 and "used as you said" in session.messages[-1][1]


def test_what_is_left_as_it_was_is_not_asked_again(session, asked, file):
    session.select_model(file)
    session.answer(asked[0], {})
    assert session.model.header.output.activation == "softmax"
    session.select_model(file)
    assert len(asked) == 1


def test_other_weights_are_asked_about_with_the_earlier_answers(session, asked, file):
    session.select_model(file)
    session.answer(asked[0], SAID)
    write(file, seed=1)
    session.select_model(file)
    assert asked[1].questions.earlier == SAID


def test_without_anybody_to_ask_it_opens_as_it_is(session, file):
    session.select_model(file)
    assert session.model.header.origin.findings
    assert not file.with_name(file.name + SUFFIX).exists()


def test_where_nothing_can_be_written_the_model_opens_all_the_same(session, asked, file):
    session.select_model(file)
    file.with_name(file.name + SUFFIX).mkdir()
    session.answer(asked[0], SAID)
    assert session.model.header.output.instances
    assert "could not be written" in session.messages[-1][1]


def test_answers_that_do_not_fit_change_nothing(session, asked, file):
    session.select_model(file)
    session.answer(asked[0], {"argument.num_groups": "3"})
    assert session.model is None and session.messages[-1][0] == "error"
    assert not file.with_name(file.name + SUFFIX).exists()


def test_a_preview_shows_the_result_and_leaves_no_trace(session, asked, file):
    image, _ = blobs()
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    session.select_model(file)
    seen = []
    session.try_answers(asked[0], SAID, image_id, 0, None, seen.append)
    session.try_answers(asked[0], {"activation": "softmax"}, image_id, 0, None, seen.append)
    session.try_answers(asked[0], {"argument.num_groups": "3"}, image_id, 0, None, seen.append)
    objects, classes, wrong = seen
    assert objects.picture.shape == (*image.shape, 3) and objects.picture.dtype == np.uint8
    assert "object" in objects.sentence or "nothing" in objects.sentence
    assert classes.sentence.startswith("Here: ") or "nothing" in classes.sentence
    assert wrong.picture is None and "groups" in wrong.sentence
    assert session.model is None and session.labels(image_id) is None


def test_the_preview_is_of_the_middle_of_what_is_on_screen(session, asked, file):
    image = np.random.default_rng(0).random((40, 700, 600)).astype(np.float32)
    image_id = session.add_image(ImageSource.from_array(image, axes="ZYX", name="stack"))
    session.select_model(file)
    seen = []
    view = (slice(7, 8), slice(0, 700), slice(100, 300))
    session.try_answers(asked[0], SAID, image_id, 0, view, seen.append)
    assert seen[0].picture.shape == (512, 200, 3)
    session.stop_trying()


@pytest.mark.parametrize("said", [{"normalization": "magic"}, {"channels": "interior,edge"}, {"voxel_size": "1"}])
def test_what_cannot_be_understood_is_a_sentence_in_the_preview(session, asked, file, said):
    image_id = session.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="blobs"))
    session.select_model(file)
    seen = []
    session.try_answers(asked[0], said, image_id, 0, None, seen.append)
    assert seen[0].picture is None and seen[0].sentence


def test_the_answers_are_plain_json_with_the_hash(session, asked, file):
    session.select_model(file)
    session.answer(asked[0], SAID)
    written = json.loads(file.with_name(file.name + SUFFIX).read_text())
    assert len(written["weights"]) == 64
    assert written["channels"] == ["interior", "boundary"] and written["normalization"]["low"] == 2.0


def test_a_round_that_waits_comes_first(session, asked, file, monkeypatch):
    session.select_model(file)

    def waits():
        raise UserError("A round waits.", "")

    monkeypatch.setattr(session, "need_no_round", waits)
    with pytest.raises(UserError):
        session.answer(asked[0], SAID)
