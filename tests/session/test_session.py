"""The loop without a window: segment, correct, undo, retrain, export, with real networks and files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from skimage.measure import label as connected

from napari_unet.errors import ImageError, TrainingError, UserError
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.io.labels import read_labels
from napari_unet.jobs import JobContext, JobRunner
from napari_unet.model.builtin import general_parent
from napari_unet.model.header import ClassInfo
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session, SessionSettings

from .conftest import blobs


def box(y0, y1, x0, x1):
    return slice(0, 1), slice(y0, y1), slice(x0, x1)


def stroke(session, image_id, t, where, value):
    """Paint a box as a napari tool would: in place, between begin and end."""
    session.begin_stroke(image_id)
    labels = session.labels(image_id).truth.labels
    labels[t][where] = value
    shape = [part.stop - part.start for part in where]
    session.end_stroke(image_id, t, where, np.ones(shape, bool))


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_segment_finds_the_blobs_and_is_one_undo_step(opened):
    session, image_id, labels = opened
    found = session.labels_array(image_id)
    assert found.shape == (96, 96)
    assert found.dtype == np.uint32
    assert same_partition(found, labels)
    assert session.undo() == "segment"
    assert not session.labels_array(image_id).any()
    assert session.redo() == "segment"
    assert same_partition(session.labels_array(image_id), labels)


def test_undo_of_a_segmentation_in_many_tiles_brings_the_earlier_labels_back(session, model_path):
    image, _ = blobs((700, 900))
    image_id = session.add_image(ImageSource.from_array(np.stack([image, image[::-1]]), axes="ZYX"))
    session.select_model(model_path("instances"))
    session.import_labels(image_id, np.full((2, 700, 900), 7), "ZYX", as_truth=False)
    session.segment(image_id)
    found = session.labels_array(image_id).copy()
    assert not (found == 7).all()
    assert session.history.newest.nbytes == 2 * found.nbytes
    session.undo()
    assert (session.labels_array(image_id) == 7).all()
    session.redo()
    np.testing.assert_array_equal(session.labels_array(image_id), found)


def test_ids_are_inherited_from_round_to_round(opened):
    session, image_id, _ = opened
    before = session.labels_array(image_id).copy()
    session.segment(image_id)
    np.testing.assert_array_equal(session.labels_array(image_id), before)


def test_paint_segment_again_undo_all_the_way_redo(opened):
    session, image_id, _ = opened
    first = session.labels_array(image_id).copy()
    stroke(session, image_id, 0, box(40, 46, 40, 50), 77)
    painted = session.labels_array(image_id).copy()
    session.decode(image_id, ObjectSettings(min_size=300))  # every blob but the known one vanishes
    decoded = session.labels_array(image_id).copy()
    assert (decoded[40:46, 40:50] == 77).all()
    assert session.undo() == "threshold"
    np.testing.assert_array_equal(session.labels_array(image_id), painted)
    session.redo()
    np.testing.assert_array_equal(session.labels_array(image_id), decoded)
    session.undo(), session.undo()
    np.testing.assert_array_equal(session.labels_array(image_id), first)
    assert session.known_counts(image_id) == (0, 0)
    session.undo()
    assert not session.labels_array(image_id).any()
    for _ in range(3):
        session.redo()
    np.testing.assert_array_equal(session.labels_array(image_id), decoded)


def test_a_stroke_taken_back_after_a_newer_prediction_shows_the_newer_one(opened):
    session, image_id, _ = opened
    image = session.image(image_id)
    stroke(session, image_id, 0, box(15, 25, 15, 25), 0)
    brighter = image.source.data.copy()
    brighter[:40, :40] = 0
    session.replace_image(image_id, ImageSource.from_array(brighter, axes="YX", name="blobs"))
    session.segment(image_id)
    newest = session.history.newest
    newest.undo()
    newest.redo()
    session.history.forget(lambda step: step is newest)  # the stroke is the newest step now, the prediction stays
    session.undo()
    assert not session.labels_array(image_id)[:40, :40].any()


def test_predictions_wait_for_the_end_of_a_stroke(opened):
    session, image_id, _ = opened
    before = session.labels_array(image_id).copy()
    session.begin_stroke(image_id)
    image = session.image(image_id)
    session.replace_image(image_id, ImageSource.from_array(np.zeros_like(image.source.data), axes="YX", name="blobs"))
    session.segment(image_id)
    np.testing.assert_array_equal(session.labels_array(image_id), before)
    with pytest.raises(UserError, match="stroke"):
        session.undo()
    session.labels(image_id).truth.labels[0, 0, 80:84, 5:9] = 9
    session.end_stroke(image_id, 0, box(80, 84, 5, 9), None)
    assert session.busy
    for _ in range(10):  # each saves for about a millisecond only
        session.deliver()
    assert not session.busy
    now = session.labels_array(image_id)
    assert (now[80:84, 5:9] == 9).all()
    assert not now[:70].any()


def test_objects_are_accepted_deleted_joined_and_split(opened):
    session, image_id, _ = opened
    found = session.labels_array(image_id)
    session.accept_object(image_id, 0, (0, 20, 20))
    voxels, regions = session.known_counts(image_id)
    assert voxels > (found == found[20, 20]).sum()
    assert regions == 1
    session.delete_object(image_id, 0, (0, 60, 25))
    assert found[60, 25] == 0
    keep = found[20, 60]
    session.join_objects(image_id, 0, ((0, 20, 60), (0, 65, 70)))
    assert found[65, 70] == keep
    session.undo()
    assert found[65, 70] not in (0, keep)
    session.split_object(image_id, 0, (0, 20, 56), (0, 20, 64))
    assert found[20, 56] != found[20, 64]
    with pytest.raises(UserError, match="no object"):
        session.accept_object(image_id, 0, (0, 0, 0))


def test_accepting_a_view_and_a_slice(opened):
    session, image_id, _ = opened
    assert session.accept_box(image_id, 0, box(0, 32, 0, 32))
    assert session.known_counts(image_id)[0] == 32 * 32
    assert not session.accept_box(image_id, 0, box(0, 32, 0, 32))
    session.accept_slice(image_id, 0, 0)
    assert session.known_counts(image_id)[0] == 96 * 96


def test_a_round_that_ends_early_says_so(opened, monkeypatch):
    session, image_id, _ = opened
    monkeypatch.setattr("napari_unet.learning.budget.LEARNED", {2: 9.0})
    monkeypatch.setattr("napari_unet.learning.budget.LEAST_STEPS", {2: 1})
    session.accept_box(image_id, 0, box(0, 96, 0, 96))
    session.retrain(600)
    assert "The round ended after" in session.last_round.decision.sentence
    assert "it had learned what there is" in session.last_round.candidate.header.provenance["description"]


def test_retrain_learns_and_is_preliminary_with_few_blocks(opened):
    session, image_id, _ = opened
    before = session.labels_array(image_id).copy()
    stroke(session, image_id, 0, box(40, 50, 40, 50), 500)
    session.retrain(steps=3)
    assert session.round is not None, session.messages
    assert session.round.decision.verdict == "preliminary"
    assert len(session.curve.loss) >= 1
    assert (session.labels_array(image_id)[40:50, 40:50] == 500).all()
    with pytest.raises(UserError, match="Keep or Discard"):
        session.retrain(steps=3)
    after = session.labels_array(image_id).copy()
    assert session.flip() is False
    shown = session.labels_array(image_id)
    unknown = ~session.known_mask(image_id)[0, 0]
    np.testing.assert_array_equal(shown[unknown], before[unknown])
    assert session.flip() is True
    np.testing.assert_array_equal(session.labels_array(image_id), after)
    session.discard()
    assert session.round is None
    np.testing.assert_array_equal(session.labels_array(image_id)[unknown], before[unknown])
    assert session.model.header.name == "bright"
    assert session.model.header.parent is None


def test_a_round_that_is_stopped_before_its_first_step_leaves_nothing(opened, monkeypatch):
    session, image_id, _ = opened
    session.segment(image_id)
    session.accept_box(image_id, 0, box(0, 48, 0, 96))
    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "cancelled", property(lambda self: bool(session.curve.seconds)))
        session.retrain(steps=50)
    assert session.messages[-1][1] == "Stopped before there was anything to keep; the model is as it was."
    assert session.round is None and session.last_round is None
    assert len(session.versions) == 1


def test_keep_adopts_and_back_returns(opened):
    session, image_id, _ = opened
    parent = session.model
    stroke(session, image_id, 0, box(40, 50, 40, 50), 500)
    session.retrain(steps=2)
    session.keep()
    assert session.model.header.parent == parent.header.weights_hash
    assert session.in_training(image_id)
    session.back()
    assert session.model is parent
    assert session.undo() == "segment"
    assert session.undo() == "back"
    assert session.model is not parent
    assert session.undo() == "keep"
    assert session.model is parent


def test_many_blocks_are_measured_on_some_that_were_held_back(session, model_path):
    rng = np.random.default_rng(1)
    image = (rng.random((512, 512)) > 0.995).astype(np.float32)
    from scipy.ndimage import binary_dilation

    image = binary_dilation(image, iterations=5).astype(np.float32)
    image_id = session.add_image(ImageSource.from_array(image, axes="YX"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    session.accept_slice(image_id, 0, 0, confirmed=True)
    session.retrain(steps=2)
    decision = session.last_round.decision
    assert decision.verdict in ("adopt", "keep")
    assert decision.n_blocks >= 2
    assert session.round is None


def test_nothing_known_is_an_error_that_says_what_to_do(opened):
    session, _, _ = opened
    with pytest.raises(TrainingError, match="Paint"):
        session.retrain(steps=1)


def test_two_strokes_in_two_classes_give_a_first_result(session):
    image, labels = blobs((128, 128))
    image_id = session.add_image(ImageSource.from_array(image + 0.0, axes="YX", name="new"))
    session.settings = SessionSettings(first_steps=40)
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")), None)
    assert session.model.untrained
    with pytest.raises(UserError, match="not been trained"):
        session.segment(image_id)
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(18, 23, 18, 23), 1)
    assert session.model.untrained
    stroke(session, image_id, 0, box(40, 46, 30, 60), 0)
    assert not session.model.untrained, session.messages
    assert session.messages[-1][1].startswith("A first result")
    found = session.labels_array(image_id) > 0
    truth = labels > 0
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.8


def test_classes_can_be_added_renamed_and_removed(session, model_path):
    image = np.zeros((64, 64), np.float32)
    image[10:20, 10:20], image[40:50, 40:50] = 1, 2
    image_id = session.add_image(ImageSource.from_array(image, axes="YX"))
    session.select_model(model_path("classes"))
    session.segment(image_id)
    found = session.labels_array(image_id)
    assert found.dtype == np.uint16
    assert found[15, 15] == 1 and found[45, 45] == 2
    stroke(session, image_id, 0, box(10, 20, 10, 20), 1)
    session.add_class("spark")
    assert [c.name for c in session.model.header.output.classes] == ["background", "dim", "bright", "spark"]
    assert session.known_counts(image_id)[0] == 100
    session.rename_class(1, "faint")
    session.segment(image_id)
    assert session.labels_array(image_id)[45, 45] == 2
    session.remove_class(1)
    assert session.known_counts(image_id)[0] == 0
    assert [c.name for c in session.model.header.output.classes] == ["background", "bright", "spark"]
    session.segment(image_id)
    assert session.labels_array(image_id)[45, 45] == 1
    with pytest.raises(UserError, match="name of its own"):
        session.add_class("bright")


def test_very_large_ids_teach(opened):
    session, image_id, labels = opened
    truth = labels.astype(np.uint32)
    truth[truth > 0] += 3_000_000_000
    session.import_labels(image_id, truth, "YX", as_truth=True)
    session.retrain(steps=2)
    assert session.last_round is not None, session.messages
    with pytest.raises(ImageError, match="4294967295 at most"):
        session.import_labels(image_id, labels.astype(np.int64) * 2**32, "YX", as_truth=False)


def test_export_and_import_of_labels(opened, tmp_path):
    session, image_id, labels = opened
    path = tmp_path / "out.tif"
    session.export_labels(image_id, path)
    back = read_labels(path)
    np.testing.assert_array_equal(back[0], session.labels_array(image_id))
    assert back[3]["model_hash"] == session.model.header.weights_hash
    session.export_labels(image_id, path)
    assert session.messages[-1][0] == "error"
    session.import_labels(image_id, labels.astype(np.int64), "YX", as_truth=True)
    np.testing.assert_array_equal(session.labels_array(image_id), labels)
    assert session.known_counts(image_id)[0] == labels.size
    session.undo()
    assert session.known_counts(image_id)[0] == 0
    for bad, sentence in ((labels[:5], "shape"), (labels.astype(float), "type"), (labels.astype(int) - 5, "go down")):
        with pytest.raises(UserError, match=sentence):
            session.import_labels(image_id, bad, "YX", as_truth=False)


def test_table_has_a_row_per_object(opened, tmp_path):
    session, image_id, labels = opened
    stroke(session, image_id, 0, box(18, 22, 18, 22), session.labels_array(image_id)[20, 20])
    columns = {}
    session.export_table(image_id, tmp_path / "objects.csv", then=columns.update)
    assert len(columns["label"]) == len(np.unique(labels)) - 1
    rows = list(csv.DictReader((tmp_path / "objects.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 4
    assert rows[0]["model_hash"] == session.model.header.weights_hash
    assert json.loads(rows[0]["settings"])["objects"]["min_size"] == session.settings.objects.least_size(2)
    assert rows[0]["in_training"] == "False"
    assert 0 <= float(rows[0]["edited_fraction"]) <= 1


def test_export_model_is_the_model(opened, tmp_path):
    session, _, _ = opened
    session.export_model(tmp_path / "mine.safetensors")
    again = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "other"))
    again.select_model(tmp_path / "mine.safetensors")
    assert again.model.header.weights_hash == session.model.header.weights_hash
    again.close()


def test_3d_time_series(session, model_path):
    image = np.zeros((2, 8, 32, 32), np.float32)
    image[0, 2:6, 4:12, 4:12] = 1
    image[1, 2:6, 18:28, 18:28] = 1
    image_id = session.add_image(ImageSource.from_array(image, axes="TZYX"))
    session.select_model(model_path("instances", ndim=3))
    session.segment(image_id, t=1)
    found = session.labels_array(image_id)
    assert same_partition(connected(found > 0), found)
    assert found[0, 4, 8, 8] and found[1, 4, 20, 20]
    assert found[0, 4, 8, 8] != found[1, 4, 20, 20]


def test_only_the_view_leaves_the_rest_as_it_is(session, model_path):
    image, _ = blobs()
    image_id = session.add_image(ImageSource.from_array(np.stack([image] * 3), axes="ZYX"))
    session.select_model(model_path("instances"))
    session.segment(image_id, view=(slice(1, 2), slice(0, 96), slice(0, 96)), only_view=True)
    found = session.labels_array(image_id)
    assert found[1, 20, 20]
    assert not found[[0, 2]].any()
    first = found[1].copy()
    session.segment(image_id, view=(slice(1, 2), slice(0, 96), slice(0, 96)))
    assert (found[[0, 2], 20, 20] == first[20, 20]).all()
    np.testing.assert_array_equal(found[1], first)


def test_the_loop_with_worker_processes(tmp_path, model_path):
    session = Session(JobRunner("process"), WorkFolder.create(tmp_path / "work"))
    try:
        image, labels = blobs()
        image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
        session.select_model(model_path("instances"))
        session.runner.wait(session.segment(image_id), 120)
        assert same_partition(session.labels_array(image_id), labels)
        stroke(session, image_id, 0, box(40, 50, 40, 50), 500)
        session.runner.wait(session.retrain(steps=3), 120)
        while "segment" in session.jobs:
            session.runner.wait(session.jobs["segment"].job, 120)
        assert session.round is not None
        session.keep()
        job = session.segment(image_id)
        session.cancel("segment")
        session.runner.wait(job, 120)
        assert (session.labels_array(image_id)[40:50, 40:50] == 500).all()
    finally:
        session.close()


@pytest.mark.parametrize(("kind", "says"), [("instances", "Nothing was found in 'dark'"), ("classes", "is background")])
def test_a_segmentation_without_objects_says_so(session, model_path, kind, says):
    image_id = session.add_image(ImageSource.from_array(np.zeros((64, 64), np.float32), axes="YX", name="dark"))
    session.select_model(model_path(kind))
    session.segment(image_id)
    assert any(level == "info" and says in text for level, text, _ in session.messages), session.messages


def test_a_segmentation_with_objects_does_not_say_that_there_are_none(opened):
    session, _, _ = opened
    assert not any("Nothing was found" in text for _, text, _ in session.messages)


def test_what_new_models_start_from_is_not_offered_for_segmenting(session, monkeypatch, tmp_path):
    for name in ("nuclei-2d", "start-2d", "start-3d"):
        (tmp_path / f"{name}.safetensors").touch()
    monkeypatch.setattr("napari_unet.model.builtin._folder", lambda: tmp_path)
    assert session.model_names() == ("nuclei-2d",)
    assert general_parent(3, 1) == "start-3d"
    assert general_parent(3, 3) is None
    assert general_parent(2, 1) == general_parent(2, 3) == "start-2d"
    assert general_parent(2, 4) is None
