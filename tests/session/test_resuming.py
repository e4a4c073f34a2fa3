"""A round that a kill interrupted goes on and ends where it would have ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from napari_unet.errors import TrainingError
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session
from napari_unet.session.kept import KeptState

from .conftest import blobs, cancelled_at_once, threshold_checkpoint

STEPS = 120

# What the killed process does; `open_work` is this test's own, so that both processes open the same work.
CHILD = """
import sys, time
from pathlib import Path
from tests.session.test_resuming import STEPS, open_work
from napari_unet.learning.reports import TrainReport
session, image_id = open_work(Path(sys.argv[1]))
session.keep_state_every = 0.0
def slowly(name):
    if name == "train":
        time.sleep(0.05)
session.events.job_changed.connect(slowly)
print("ready", flush=True)
session.retrain(steps=STEPS)
"""


def open_work(folder, runner=None):
    """Open an image and a model of a folder and make some of it known, the same each time."""
    session = Session(runner or JobRunner("inline"), WorkFolder(folder))
    session.settings = replace(session.settings, device="cpu")
    session.messages = []
    session.events.message.connect(lambda *message: session.messages.append(message))
    image, labels = blobs((192, 192))
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    session.select_model(folder / "models" / "000.safetensors")
    session.import_labels(image_id, labels, "YX", as_truth=True)
    return session, image_id


@pytest.fixture
def work(tmp_path):
    return new_work(tmp_path)


def new_work(parent):
    folder = WorkFolder.create(parent)
    threshold_checkpoint("instances").save(folder.path / "models" / "000.safetensors")
    folder.close()
    return folder.path


def weights(path):
    from napari_unet.model.checkpoint import load_checkpoint

    return {k: v.numpy() for k, v in load_checkpoint(path).network.state_dict().items()}


def kill_while_training(work):
    """Start a round in a child process and kill it once it has kept its state."""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(work)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    try:
        end = time.monotonic() + 60
        while (kept := KeptState(str(work)).read()) is None or kept.progress == 0:
            assert child.poll() is None, "the child ended before it kept anything"
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def test_a_killed_round_goes_on_and_gives_the_weights_of_an_uninterrupted_one(work, tmp_path):
    kill_while_training(work)
    session, image_id = open_work(work)
    interrupted = session.interrupted_round()
    assert 0 < interrupted.progress <= 0.95
    assert interrupted.settings.steps == STEPS
    assert "interrupted after" in interrupted.sentence

    # What was painted since does not change the round under way: it goes on with what it knew.
    session.delete_object(image_id, 0, (0, 20, 20))
    seen = []
    session.events.job_changed.connect(lambda name: seen.extend(session.curve.seconds[-1:]))
    session.resume_training()
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    resumed = session.last_round
    assert seen[0] >= interrupted.seconds
    assert resumed.steps == STEPS
    assert session.interrupted_round() is None
    assert not (work / "training").exists()

    whole, _ = open_work(new_work(tmp_path / "whole"))
    whole.retrain(steps=STEPS)
    expected = weights(whole.last_round.candidate.path)
    for name, value in weights(resumed.candidate.path).items():
        np.testing.assert_array_equal(value, expected[name])
    assert resumed.decision == whole.last_round.decision
    session.close(), whole.close()


@pytest.fixture(scope="module")
def killed_work(tmp_path_factory):
    """A folder in which a round was killed; made without a second process, by putting the kept files back."""
    work = new_work(tmp_path_factory.mktemp("killed"))
    session, _ = open_work(work)
    session.keep_state_every = 0.0
    kept = {}

    def keep(name):
        if name == "train" and (work / "training" / "round.json").is_file() and not kept:
            kept.update({path: path.read_bytes() for path in (work / "training").iterdir()})

    session.events.job_changed.connect(keep)
    session.retrain(steps=60)
    assert len(kept) == 3
    session.close()
    (work / "training").mkdir()
    for path, content in kept.items():
        path.write_bytes(content)
    return work


@pytest.fixture
def killed(killed_work, work):
    shutil.copytree(killed_work / "training", work / "training")
    session, _ = open_work(work)
    yield session
    session.close()


def test_a_round_that_ends_leaves_nothing_behind(work):
    session, _ = open_work(work)
    session.keep_state_every = 0.0
    session.retrain(steps=30)
    assert not (work / "training").exists()
    assert session.interrupted_round() is None
    with pytest.raises(TrainingError, match="No round"):
        session.resume_training()


@pytest.mark.parametrize("spoil", ["model", "image", "shape", "crops", "facts", "state"])
def test_what_does_not_fit_is_told_and_dropped(killed, work, spoil):
    image_id = next(iter(killed.images))
    match spoil:
        case "model":
            killed.versions[:] = [v for v in killed.versions if v.header.parent is not None]
        case "image":
            killed.remove_image(image_id)
        case "shape":
            other = ImageSource.from_array(np.zeros((9, 9), np.float32), axes="YX", name="blobs")
            killed.images[image_id].source = other
        case "crops":
            (work / "training" / "known.npz").write_bytes(b"no such thing")
        case "facts":
            (work / "training" / "round.json").write_text("{}")
        case "state":
            (work / "training" / "round.state").write_bytes(b"\0" * 100)
    if spoil == "state":  # seen by the job only
        killed.resume_training()
        assert "training state" in killed.messages[-1][1]
    else:
        with pytest.raises(TrainingError):
            killed.resume_training()
    assert killed.interrupted_round() is None
    assert not (work / "training").exists()


def test_a_new_round_replaces_an_interrupted_one(killed, work):
    killed.retrain(steps=1)
    assert killed.interrupted_round() is None


def test_dropping_is_told(killed, work):
    told = []
    killed.events.round_changed.connect(lambda: told.append(1))
    killed.drop_interrupted()
    assert told
    assert killed.interrupted_round() is None


def test_a_disk_that_takes_no_state_does_not_end_the_round(work):
    (work / "training").write_text("in the way")
    session, _ = open_work(work)
    session.keep_state_every = 0.0
    session.retrain(steps=30)
    assert session.last_round.steps == 30
    assert KeptState(str(work)).read() is None


def test_a_full_disk_does_not_end_the_round(work, monkeypatch):
    def full(*arguments, **options):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("napari_unet.learning.resume.save_file", full)
    session, _ = open_work(work)
    session.keep_state_every = 0.0
    session.retrain(steps=10)
    assert session.last_round.steps == 10
    assert KeptState(str(work)).read() is None


def test_a_worker_process_that_dies_leaves_a_round_to_go_on_with(work):
    session = open_work(work, JobRunner("process"))[0]
    session.keep_state_every = 0.0
    job = session.retrain(steps=400)
    end = time.monotonic() + 60
    while (kept := KeptState(str(work)).read()) is None or kept.progress == 0:
        session.deliver()
        time.sleep(0.02)
        assert not job.ended, session.messages
        assert time.monotonic() < end
    session.runner._workers["train"]._process.kill()
    session.runner.wait(job, 30)
    assert session.messages[-1][0] == "error"
    interrupted = session.interrupted_round()
    assert 0 < interrupted.progress < 1
    cancelled_at_once(session, session.resume_training)
    assert session.curve.seconds[0] >= interrupted.seconds
    assert session.interrupted_round() is None  # the user stopped it
    session.close()
