"""The folder of a project: made, opened by one, refused when newer, moved, swept."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_unet.errors import OutputError, UserError
from napari_unet.project.fingerprint import SMALL, Fingerprint
from napari_unet.project.folder import WorkFolder
from napari_unet.project.lock import is_locked
from napari_unet.project.recent import recent_projects, remember


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def with_work(parent=None):
    """A closed project in which something was painted."""
    folder = WorkFolder.create(parent)
    (folder.path / "truths" / "a-1").mkdir()
    (folder.path / "truths" / "a-1" / "instances.journal").write_bytes(b"")
    folder.close()
    return folder.path


def test_an_empty_project_is_removed_when_it_is_closed(home):
    folder = WorkFolder.create()
    assert folder.path.parent == home
    folder.close()
    assert not folder.path.exists()


def test_two_projects_of_one_second_have_two_folders(tmp_path):
    first, second = WorkFolder.create(tmp_path), WorkFolder.create(tmp_path)
    assert first.path != second.path


def test_a_newer_schema_is_refused_with_a_sentence():
    path = with_work()
    header = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps({**header, "schema": 2}))
    with pytest.raises(UserError, match="schema 2; this version reads up to 1") as error:
        WorkFolder(path)
    assert "Update" in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "1"}'])
def test_a_damaged_header_is_refused(text):
    path = with_work()
    (path / "project.json").write_text(text)
    with pytest.raises(UserError):
        WorkFolder(path)


def test_another_folder_is_no_project(tmp_path):
    with pytest.raises(UserError, match="is no project"):
        WorkFolder(tmp_path)


def test_a_project_is_open_once():
    path = with_work()
    folder = WorkFolder(path)
    with pytest.raises(UserError, match=f"open elsewhere \\(process {os.getpid()}\\)"):
        WorkFolder(path)
    folder.close()
    WorkFolder(path).close()


def test_the_lock_of_a_killed_process_is_stale():
    path = with_work()
    code = (
        "import sys, time; from pathlib import Path; from napari_unet.project.folder import WorkFolder;"
        f"folder = WorkFolder(Path({str(path)!r})); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert is_locked(path / "lock")
        with pytest.raises(UserError, match=f"process {child.pid}"):
            WorkFolder(path)
        child.kill()
    assert not is_locked(path / "lock")
    WorkFolder(path).close()


def test_what_a_killed_process_left_half_written_is_swept():
    path = with_work()
    for name in (".images.12ab34cd.json", "models/.001.12ab34cd.safetensors", "truths/a-1/.instances.aa.journal"):
        (path / name).write_bytes(b"half")
    (path / "scores").mkdir()
    (path / "scores" / "1.npy").write_bytes(b"scores")
    WorkFolder(path).close()
    assert not [file for file in path.rglob(".*") if file.is_file()]
    assert not (path / "scores").exists()
    assert (path / "truths" / "a-1" / "instances.journal").exists()


def test_moving_takes_everything_along(tmp_path):
    folder = WorkFolder(with_work())
    moved = folder.move(tmp_path / "elsewhere" / "work")
    assert not folder.path.exists()
    assert (moved.path / "truths" / "a-1" / "instances.journal").exists()
    assert moved.header["uuid"] == folder.header["uuid"]


def test_what_cannot_be_moved_stays(tmp_path):
    folder = WorkFolder(with_work())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="stays where it is"):
        folder.move(tmp_path / "file" / "work")
    assert is_locked(folder.path / "lock")
    assert (folder.path / "project.json").exists()


def test_recent_projects_are_those_that_can_be_opened(tmp_path):
    one, other = with_work(), with_work(tmp_path / "elsewhere")
    remember(other)
    WorkFolder.create()  # nothing in it
    opened = WorkFolder(with_work())
    assert {project.path for project in recent_projects()} == {one, other}
    opened.close()
    assert len(recent_projects()) == 3
    assert len(recent_projects(1)) == 1


def test_a_fingerprint_tells_a_changed_file(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    rng = np.random.default_rng(0)
    data = rng.integers(0, 255, SMALL + 1000, np.uint8).tobytes()
    large.write_bytes(data)
    first = {path: Fingerprint.of(path) for path in (small, large)}
    assert first[small].whole
    assert not first[large].whole
    assert all(Fingerprint.from_json(json.loads(json.dumps(f.to_json()))) == f for f in first.values())
    assert all(first[path].compare(Fingerprint.of(path)) == "same" for path in first)
    for path in first:
        os.utime(path, ns=(1, 1))
    assert first[small].compare(Fingerprint.of(small)) == "same"
    assert first[large].compare(Fingerprint.of(large)) == "touched"
    small.write_bytes(b"abd")
    large.write_bytes(data[:-1] + b"x")
    assert all(first[path].compare(Fingerprint.of(path)) == "changed" for path in first)


def test_a_path_that_was_given_to_one_job_is_not_given_to_another(tmp_path):
    folder = WorkFolder.create(tmp_path)
    training = folder.next_model()
    opened = folder.next_model()
    assert training != opened, "both jobs write when they end"
    opened.write_bytes(b"model")
    folder.remove_model(opened)
    assert not opened.exists()
    assert folder.next_model() not in (training, opened)
    folder.close()


def test_foreign_files_among_the_scores_are_left_alone(home):
    folder = WorkFolder.create()
    scores = folder.path / "scores"
    scores.mkdir(exist_ok=True)
    foreign = [scores / name for name in (".DS_Store", ".nfs0001", "notes.txt", "²-x.npy")]
    for path in (*foreign, scores / "3.npy", scores / "4-classes.npy"):
        path.write_bytes(b"")
    assert folder.new_scores() == scores / "5.npy"
    assert all(path.exists() for path in foreign)
    folder.close()
