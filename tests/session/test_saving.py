"""A session on the disk: whatever was done is there again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.io.images import read_image
from napari_unet.jobs import Job, JobRunner, JobState
from napari_unet.model.header import ClassInfo
from napari_unet.project.folder import WorkFolder, read_json
from napari_unet.session import Session

from .conftest import blobs


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "home"))


def new_session(folder=None):
    session = Session(JobRunner("inline"), folder)
    session.messages = []
    session.events.message.connect(lambda *message: session.messages.append(message))
    return session


def state(session):
    """Everything that must be there again."""
    return {
        (image_id, key): tuple(
            array.tobytes()
            for array in (labels.truth.labels, labels.truth.known, labels.truth.changed, labels.truth.prediction)
        )
        for image_id, image in session.images.items()
        for key, labels in image.labels.items()
    }


def reopened(session):
    """Close a session and open its project in another."""
    session.save()
    path = session.project_path
    session.close()
    again = new_session()
    again.open_project(path)
    return again


def paint(session, image_id, box, value, t=0):
    """Paint into the labels array, as a viewer does."""
    labels = session.labels(image_id)
    session.begin_stroke(image_id)
    labels.truth.labels[t][box] = value
    return session.end_stroke(image_id, t, box, np.ones([s.stop - s.start for s in box], bool))


@pytest.fixture
def work(tmp_path, model_path):
    """A session without a folder of its own yet, with a segmented image from a file."""
    image, _ = blobs()
    tifffile.imwrite(tmp_path / "field.tif", image)
    session = new_session()
    image_id = session.add_image(read_image(tmp_path / "field.tif"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    yield session, image_id
    session.close()


BOX = (slice(0, 1), slice(2, 12), slice(30, 50))


def test_strokes_accepts_and_predictions_are_there_again(work):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    session.accept_object(image_id, 0, (0, 20, 60))
    session.undo()
    before, last, header = state(session), session.labels(image_id).truth.last_id, session.model.header
    again = reopened(session)
    assert state(again) == before
    assert again.labels(image_id).truth.last_id == last
    assert again.model.header == header
    assert again.labels(image_id).model == header
    assert again.images[image_id].source.path.endswith("field.tif")
    assert again.messages == []
    assert again.add_image(ImageSource.from_array(np.zeros((9, 9)), axes="YX", name="field")) == "field-2"
    again.close()


def test_nothing_is_left_behind_when_nothing_was_corrected(work):
    session, _ = work
    path = session.project_path
    assert path.is_dir()
    session.close()
    assert not path.exists()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("paint"), st.integers(0, 80), st.integers(0, 80), st.integers(1, 20), st.integers(0, 12)),
        st.tuples(st.just("accept"), st.integers(0, 80), st.integers(0, 80), st.integers(1, 40)),
        st.sampled_from([("undo",), ("redo",), ("segment",), ("save",), ("delete",)]),
    ),
    max_size=12,
)


@given(steps)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_steps_is_there_again(tmp_path, model_path, steps):
    session = new_session(WorkFolder.create(tmp_path / "work"))
    tifffile.imwrite(tmp_path / "field.tif", blobs()[0])
    image_id = session.add_image(read_image(tmp_path / "field.tif"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    labels = session.labels(image_id)
    for name, *values in steps:
        if name == "paint":
            y, x, size, value = values
            paint(session, image_id, (slice(0, 1), slice(y, y + size), slice(x, x + size)), value)
        elif name == "accept":
            y, x, size = values
            session.accept_box(image_id, 0, (slice(0, 1), slice(y, y + size), slice(x, x + size)))
        elif name == "segment":
            session.segment(image_id)
        elif name == "delete":
            points = np.argwhere(labels.truth.labels[0])
            if len(points):
                session.delete_object(image_id, 0, tuple(int(p) for p in points[0]))
        else:
            getattr(session, name)()
    session.save()
    before, path = state(session), session.project_path
    worth = labels.truth.n_known > 0 or any((path / "truths").rglob("*.journal"))
    session.close()
    assert path.exists() == worth
    if worth:
        again = new_session()
        again.open_project(path)
        assert state(again) == before
        again.close()


def test_a_stroke_under_way_is_saved_and_lost_again_when_it_is_given_up(work):
    session, image_id = work
    paint(session, image_id, (slice(0, 1), slice(90, 92), slice(0, 5)), 3)
    session.save()
    before = state(session)
    session.begin_stroke(image_id)
    array = session.labels(image_id).truth.labels
    array[0][BOX] = 77
    session.save_stroke_so_far(image_id, 0, BOX, None)
    session.save()
    assert len(session.history._done) == 3  # the model, the prediction, the first stroke
    with_killed_session(session, lambda again: check_stroke(again, image_id))
    array[0][BOX] = session.labels(image_id).truth.shadow[0][BOX]
    session.abort_stroke(image_id)
    session.save()
    with_killed_session(session, lambda again: pytest.fail("differs") if state(again) != before else None)


def check_stroke(again, image_id):
    truth = again.labels(image_id).truth
    assert (truth.labels[0][BOX] == 77).all()
    assert truth.known[0][BOX].all()


def with_killed_session(session, check):
    """Open a copy of the project as it lies on the disk, as after a kill of the process."""
    import shutil

    path = session.project_path
    copy = path.with_name(f"{path.name}-copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    again = new_session()
    again.open_project(copy)
    check(again)
    again.close()


def test_deliver_alone_saves(work):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    session.deliver()
    while session.busy:
        session.deliver()
    session._store.finish()
    with_killed_session(session, lambda again: again.labels(image_id).truth.n_known or pytest.fail("lost"))


def test_images_without_a_file_are_copied(tmp_path, model_path):
    session = new_session()
    image = np.stack([blobs((96, 96))[0], 2 * blobs((96, 96), 1)[0]])
    source = ImageSource.from_array(image, axes="TYX", scale=(0.3, 0.3), name="from memory")
    image_id = session.add_image(source)
    session.select_model(model_path("instances"))
    session.segment(image_id)
    paint(session, image_id, BOX, 9, t=1)
    before = state(session)
    again = reopened(session)
    assert state(again) == before
    copied = again.images[image_id].source
    assert (copied.axes, copied.scale, copied.name) == ("TYX", (1.0, 0.3, 0.3), "from memory")
    assert np.array_equal(copied.read(1), source.read(1))
    path = again.move_project(tmp_path / "moved")
    assert again.images[image_id].source.path.startswith(str(path))
    again.segment(image_id)
    assert [m for m in again.messages if m[0] == "error"] == []
    last = reopened(again)
    assert last.images[image_id].source.path.startswith(str(path))
    last.close()


def test_a_file_that_holds_something_else_than_the_layer_is_not_trusted(tmp_path, model_path):
    image, _ = blobs()
    tifffile.imwrite(tmp_path / "field.tif", image)
    session = new_session()
    changed = ImageSource(data=image + 1, axes="YX", name="brighter", path=str(tmp_path / "field.tif"))
    image_id = session.add_image(changed)
    session.select_model(model_path("instances"))
    session.ensure_labels(image_id)
    paint(session, image_id, BOX, 9)
    again = reopened(session)
    assert np.array_equal(again.images[image_id].source.read(0)[0, 0], image + 1)
    again.close()


def test_classes_models_settings_and_scores_are_there_again(tmp_path):
    session = new_session()
    session.set_objects(ObjectSettings(connected=True))
    image_id = session.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="blobs"))
    session.settings = session.settings.__class__(first_steps=3, objects=ObjectSettings())
    session.new_model((ClassInfo("out", "#000000"), ClassInfo("in", "#ff0000")), name="mine")
    session.ensure_labels(image_id)
    paint(session, image_id, (slice(0, 1), slice(15, 25), slice(15, 25)), 1)
    paint(session, image_id, (slice(0, 1), slice(40, 50), slice(40, 50)), 0)
    assert session.model.header.parent is not None
    session.add_class("edge")
    before, versions = state(session), session.versions
    taught = dict(session._taught)
    again = reopened(session)
    assert state(again) == before
    assert next(iter(before))[1] == ("classes", "out", "in", "edge")
    assert again.versions == versions
    assert again.model == session.model
    assert again.settings == session.settings
    assert again._taught == taught
    models = {model["name"]: model for model in read_json(again.project_path / "models.json")["models"]}
    again.save()
    assert models == {m["name"]: m for m in read_json(again.project_path / "models.json")["models"]}
    assert any(model["decision"] for model in read_json(again.project_path / "models.json")["models"])
    assert again.last_view == session.last_view
    again.retrain(None, steps=2)
    assert [m for m in again.messages if m[0] == "error"] == []
    again.close()


def test_a_removed_image_is_not_forgotten_if_it_was_corrected(work):
    session, image_id = work
    other = session.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="other"))
    paint(session, image_id, BOX, 9)
    before = state(session)
    session.remove_image(image_id)
    session.remove_image(other)
    again = reopened(session)
    assert {key: value for key, value in state(again).items() if key[0] == image_id} == before
    assert other not in again.images
    again.close()


def test_an_image_that_is_opened_again_has_its_corrections(work, tmp_path):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    session.save()
    before = state(session)
    session.remove_image(image_id)
    assert session.add_image(read_image(tmp_path / "field.tif")) == image_id
    assert state(session) == before
    paint(session, image_id, (slice(0, 1), slice(70, 80), slice(1, 9)), 5)
    before = state(session)
    again = reopened(session)
    assert state(again) == before
    again.close()


def test_a_moved_image_is_told_and_pointed_to_anew(work, tmp_path):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    session.save()
    before, path = state(session), session.project_path
    session.close()
    (tmp_path / "field.tif").rename(tmp_path / "elsewhere.tif")
    again = new_session()
    again.open_project(path)
    assert "no longer at" in again.messages[0][1]
    assert set(again.missing_images) == {image_id}
    tifffile.imwrite(tmp_path / "wrong.tif", np.zeros((5, 5), np.float32))
    with pytest.raises(UserError, match="shape"):
        again.relink_image(image_id, tmp_path / "wrong.tif")
    again.relink_image(image_id, tmp_path / "elsewhere.tif")
    assert state(again) == before
    last = reopened(again)
    assert last.messages == []
    assert state(last) == before
    last.close()


def test_a_changed_image_is_told(work, tmp_path):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    path = session.project_path
    session.close()
    tifffile.imwrite(tmp_path / "field.tif", np.ones((96, 96), np.float32))
    again = new_session()
    again.open_project(path)
    assert "its content changed" in again.messages[0][1]
    again.close()
    last = new_session()
    last.open_project(path)
    assert set(last.missing_images) == {image_id}  # still there, with what is known in it
    last.close()


def test_a_project_moved_together_with_its_images_finds_them(tmp_path, model_path):
    (tmp_path / "all").mkdir()
    tifffile.imwrite(tmp_path / "all" / "field.tif", blobs()[0])
    session = new_session(WorkFolder.create(tmp_path / "all"))
    image_id = session.add_image(read_image(tmp_path / "all" / "field.tif"))
    session.select_model(model_path("instances"))
    session.ensure_labels(image_id)
    paint(session, image_id, BOX, 9)
    before, name = state(session), session.project_path.name
    session.close()
    (tmp_path / "all").rename(tmp_path / "another disk")
    again = new_session()
    again.open_project(tmp_path / "another disk" / name)
    assert again.messages == []
    assert state(again) == before
    assert again.images[image_id].source.path == str(tmp_path / "another disk" / "field.tif")
    again.close()


def test_opening_another_project_leaves_the_first_as_it_was(work, tmp_path):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    session.save()
    first, before = session.project_path, state(session)
    other = new_session(WorkFolder.create(tmp_path / "other"))
    other.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="blobs"))
    other.start_with("nuclei-2d")
    other.ensure_labels("blobs-1")
    paint(other, "blobs-1", BOX, 5)
    second = other.project_path
    other.close()
    with pytest.raises(UserError, match="is no project"):
        session.open_project(tmp_path)
    assert state(session) == before
    session.open_project(second)
    assert set(session.images) == {"blobs-1"}
    assert session.history.newest is None
    session.open_project(first)
    assert state(session) == before


def test_a_full_disk_is_told_and_tried_again(work, monkeypatch):
    session, image_id = work
    from napari_unet.project import journal
    from napari_unet.session import saving

    def full(record):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "encode", full)
        paint(session, image_id, BOX, 9)
        session.save()
    assert "No space left" in session.messages[-1][1]
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)
    session._retry_at = 0.0
    session.deliver()
    session.save()
    before = state(session)
    again = reopened(session)
    assert state(again) == before
    again.close()


def test_where_no_folder_can_be_made_the_work_goes_on(tmp_path, monkeypatch, model_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "file" / "home"))
    session = new_session()
    image_id = session.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="blobs"))
    session.select_model(model_path("instances"))
    session.ensure_labels(image_id)
    paint(session, image_id, BOX, 9)
    for _ in range(5):
        session.deliver()
    assert [message[0] for message in session.messages] == ["error"]  # told once, not at every tick
    assert "cannot be made" in session.messages[0][1]
    session.close()


def test_a_large_accept_is_saved_in_pieces(tmp_path, model_path):
    session = new_session()
    tifffile.imwrite(tmp_path / "wide.tif", np.zeros((1500, 1400), np.float32))
    image_id = session.add_image(read_image(tmp_path / "wide.tif"))
    session.select_model(model_path("instances"))
    session.ensure_labels(image_id)
    session.accept_slice(image_id, 0, 0)
    before = state(session)
    session.deliver()
    ticks = 1
    while session.busy:
        session.deliver()
        ticks += 1
    assert ticks > 1
    session._store.finish()
    with_killed_session(session, lambda again: None if state(again) == before else pytest.fail("differs"))
    session.close()


def test_documents_belong_to_one_project(work, tmp_path):
    session, image_id = work
    session.clock = iter(range(0, 1000, 10)).__next__
    for _ in range(3):
        paint(session, image_id, BOX, 9)
    minutes, first = session.effort_minutes, session.project_path
    assert minutes > 0
    fresh = new_session(WorkFolder.create(tmp_path / "other"))
    fresh.start_with("nuclei-2d")
    fresh.save()
    (fresh.project_path / "models" / "001.safetensors").write_bytes(model_bytes())
    second = fresh.project_path
    fresh.close()
    session.open_project(second)
    assert session.effort_minutes == 0
    assert [version.summary for version in session.versions][-1] == "Made just before the work was interrupted."
    session.open_project(first)
    assert session.effort_minutes == pytest.approx(minutes, abs=1e-3)


def model_bytes():
    from napari_unet.model.checkpoint import find_checkpoint

    return find_checkpoint("nuclei-2d").read_bytes()


def test_a_region_that_is_being_corrected_is_not_scored_in_another_project(work, tmp_path):
    session, image_id = work
    paint(session, image_id, BOX, 9)
    session.save()
    other = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "other"))
    assert other.add_image(session.images[image_id].source) == image_id
    other.select_model(session.model.path)
    other.segment(image_id)
    paint(other, image_id, BOX, 9)
    other.open_project(shutil.copytree(session.project_path, tmp_path / "copy"))
    assert image_id in other.images
    other.close_region()
    assert other.corrected == () and other.guard == ()
    other.close()


def test_a_score_that_comes_after_another_project_was_opened_is_not_its(work, tmp_path, monkeypatch):
    session, image_id = work
    session.save()
    folder = shutil.copytree(session.project_path, tmp_path / "copy")
    paint(session, image_id, (slice(0, 1), slice(10, 40), slice(10, 40)), 0)
    ends = []
    with monkeypatch.context() as patch:
        patch.setattr(session.runner, "submit", lambda *given, on_end, **options: ends.append(on_end))
        session.close_region()
    session.open_project(folder)
    (ended,) = ends
    job = Job("score")
    job.state, job.result = JobState.DONE, 0.5
    ended(job)
    assert session.corrected == ()
