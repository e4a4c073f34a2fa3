"""Code in model files is asked about, and models are handed on, by commands of a session."""

from __future__ import annotations

import hashlib
import warnings
import zipfile

import numpy as np
import pytest
import torch
from tifffile import imwrite
from torch import nn

from napari_unet.errors import OutputError
from napari_unet.image.source import ImageSource
from napari_unet.io.images import read_image
from napari_unet.jobs import JobRunner
from napari_unet.model import consent
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.exporting.about import About
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session


@pytest.fixture(autouse=True)
def nobody_said_yes(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())


@pytest.fixture
def script(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(1, 1, 16, 16)).save(str(tmp_path / "net.ts"))
    return str(tmp_path / "net.ts")


@pytest.fixture
def alone(tmp_path):
    session = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "work"))
    yield session
    session.close()


def test_the_user_is_asked_once_and_the_model_then_segments(alone, script, tmp_path):
    questions, messages = [], []
    alone.events.consent_needed.connect(questions.append)
    alone.events.message.connect(lambda *message: messages.append(message))
    alone.select_model(script)
    (question,) = questions
    assert question.sha256 == hashlib.sha256((tmp_path / "net.ts").read_bytes()).hexdigest()
    assert question.source == script and "trust" in question.sentence and not question.without
    assert alone.model is None and not messages
    alone.select_model(script, run_code=question.sha256)
    assert alone.model is not None and alone.model.header.family == "napari-unet"
    consent._named.clear()  # as in another process: what the user said is remembered
    image = alone.add_image(ImageSource(np.random.default_rng(0).random((40, 50), np.float32), "YX"))
    alone.segment(image)
    assert alone.labels(image) is not None
    assert [level for level, *_ in messages] == ["info"] and "frozen" in messages[0][1]
    # The project's own file is asked about where nobody said yes.
    (tmp_path / "config" / "code.json").unlink()
    path = alone.model.path
    alone.versions.clear()
    alone.select_model(path)
    assert questions[-1].source == path


def test_where_nobody_listens_it_is_an_error(alone, script):
    messages = []
    alone.events.message.connect(lambda *message: messages.append(message))
    alone.select_model(script)
    assert messages[0][0] == "error" and "--run-code" in messages[0][1]
    assert alone.model is None


def test_a_project_from_another_computer_asks_before_its_code_runs(alone, script, tmp_path, monkeypatch):
    image = np.random.default_rng(0).random((40, 50), np.float32)
    imwrite(tmp_path / "cells.tif", image)
    consent.allow(hashlib.sha256((tmp_path / "net.ts").read_bytes()).hexdigest())
    alone.add_image(read_image(tmp_path / "cells.tif"))
    alone.select_model(script)
    alone.save()
    path = alone.project_path
    alone.close()
    consent._named.clear()
    there = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "other"))
    messages = []
    there.events.message.connect(lambda *message: messages.append(message))
    there.open_project(path)
    assert messages[-1][0] == "error" and "--run-code" in messages[-1][1]  # nobody listens: a sentence
    questions = []
    there.events.consent_needed.connect(questions.append)
    (image_id,) = there.images
    there.segment(image_id)
    assert [question.source for question in questions] == [there.model.path]
    assert len(messages) == 1  # a question, no error
    model = there.model
    there.select_model(questions[0].source, run_code=questions[0].sha256)
    assert there.model is model
    there.segment(image_id)
    assert there.labels(image_id) is not None and len(questions) == 1
    there.close()


def test_a_session_hands_its_model_on(opened, tmp_path):
    session, image, _ = opened
    messages = session.messages
    messages.clear()
    session.export_model(tmp_path / "net.ts")
    about = About(("Somebody",), "MIT")
    session.export_model(tmp_path / "net.zip", image_id=image, about=about)
    assert [level for level, *_ in messages] == ["info", "info"], messages
    assert "normalize" in messages[0][1]
    assert load_checkpoint(tmp_path / "net.zip").header.output == session.model.header.output
    with zipfile.ZipFile(tmp_path / "net.zip") as archive:
        assert {"rdf.yaml", "weights.pt", "architecture.py", "weights.torchscript.pt"} <= set(archive.namelist())
    with pytest.raises(OutputError):
        session.export_model(tmp_path / "other.zip")
    with pytest.raises(OutputError):
        session.export_model(tmp_path / "other.keras")
    session.export_model(tmp_path / "net.ts")
    assert messages[-1][0] == "error"  # it is there already
