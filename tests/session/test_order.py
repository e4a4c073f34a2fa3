"""Things that happen in an unlucky order: clicks while a job runs, a model that changes under a stroke."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.jobs import JobRunner
from napari_unet.model.header import ClassInfo
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

from .conftest import blobs, threshold_checkpoint
from .test_session import box, stroke


class HeldRunner(JobRunner):
    """Runs inline, but only when the test says so: jobs wait in the order in which they were started."""

    def __init__(self):
        super().__init__("inline")
        self.held = []
        self.hold = False

    def submit(self, function, *args, **callbacks):
        if not self.hold:
            return super().submit(function, *args, **callbacks)

        class Waiting:
            ended = False

            def cancel(self):
                pass

        self.held.append(lambda: super(HeldRunner, self).submit(function, *args, **callbacks))
        return Waiting()

    def run_all(self):
        self.hold = False
        while self.held:
            self.held.pop(0)()


@pytest.fixture
def held(tmp_path, model_path):
    session = Session(HeldRunner(), WorkFolder.create(tmp_path / "work"))
    session.messages = []
    session.events.message.connect(lambda *message: session.messages.append(message))
    image, labels = blobs()
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    yield session, image_id, labels
    session.close()


def everything_checkpoint(path):
    """A model that calls every voxel foreground."""
    import torch

    checkpoint = threshold_checkpoint("instances", name="everything")
    with torch.no_grad():
        checkpoint.network.head.bias[1] = 50.0
    return checkpoint.save(path)


def wait_for_preview(session, image_id):
    stroke(session, image_id, 0, box(40, 50, 40, 50), 500)
    session.close_region()
    session.runner.hold = True
    session.retrain(steps=2)
    session.runner.held.pop(0)()  # the round has ended; the preview waits
    assert session.round is not None and session.preview is None


def test_keep_while_the_preview_is_coming_keeps_its_labels(held):
    session, image_id, _ = held
    wait_for_preview(session, image_id)
    session.keep()
    session.runner.run_all()
    assert session.history.next_undo == "preview"
    assert session.provenance(image_id)["model_hash"] == session.model.header.weights_hash
    assert session.preview is None


def test_discard_while_the_preview_is_coming_leaves_the_earlier_labels(held):
    session, image_id, _ = held
    before = session.labels(image_id).truth.prediction.copy()
    wait_for_preview(session, image_id)
    session.discard()
    session.runner.run_all()
    np.testing.assert_array_equal(session.labels(image_id).truth.prediction, before)
    assert session.provenance(image_id)["model_hash"] == session.model.header.weights_hash
    assert session.round is None


def test_a_stroke_survives_a_model_that_changes_under_it(held, model_path):
    session, image_id, _ = held
    labels = session.labels(image_id)
    session.begin_stroke(image_id)
    labels.truth.labels[0, 0, 80:84, 5:9] = 9
    session.select_model(model_path("classes"))
    assert session.labels(image_id) is None
    assert session.end_stroke(image_id, 0, box(80, 84, 5, 9), None)
    assert not labels.stroking
    assert labels.truth.n_known > 0
    session.undo()
    assert not (labels.truth.labels == 9).any()


def test_origin_follows_the_labels_through_undo_and_redo(held, tmp_path):
    session, image_id, _ = held
    first = session.model.header.weights_hash
    path = everything_checkpoint(tmp_path / "everything.safetensors")
    session.select_model(path)
    session.segment(image_id)
    second = session.model.header.weights_hash
    assert session.provenance(image_id)["model_hash"] == second
    session.undo()
    assert session.provenance(image_id)["model_hash"] == first
    found = session.labels_array(image_id).copy()
    session.decode(image_id, ObjectSettings(threshold=0.6))
    np.testing.assert_array_equal(session.labels_array(image_id) > 0, found > 0)
    session.undo()
    assert session.provenance(image_id)["settings"]["objects"]["threshold"] == 0.5


def test_a_segmentation_that_fails_leaves_the_scores_of_the_one_before(held):
    session, image_id, labels = held
    image = session.image(image_id).source

    class Broken:
        shape, dtype, ndim = image.data.shape, image.data.dtype, image.data.ndim

        def __getitem__(self, index):
            raise OSError("gone")

    session.images[image_id].source = ImageSource(Broken(), "YX", name="blobs")
    session.segment(image_id)
    assert session.messages[-1][0] == "error"
    session.decode(image_id, ObjectSettings(threshold=0.6))
    assert len(np.unique(session.labels_array(image_id))) == len(np.unique(labels))


def test_redo_waits_for_a_segmentation_under_way(held):
    session, image_id, _ = held
    session.segment(image_id)
    session.undo()
    session.runner.hold = True
    session.segment(image_id)
    with pytest.raises(UserError, match="under way"):
        session.redo()
    session.runner.run_all()


def test_classes_change_once_no_job_runs(held):
    session, image_id, _ = held
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")))
    session.ensure_labels(image_id)
    session.runner.hold = True
    stroke(session, image_id, 0, box(18, 23, 18, 23), 1)
    stroke(session, image_id, 0, box(40, 46, 30, 60), 0)
    assert "train" in session.jobs
    session.rename_class(1, "nucleus")
    assert session.model.untrained
    session.runner.run_all()
    assert not session.model.untrained
    assert [c.name for c in session.model.header.output.classes] == ["background", "nucleus"]
    assert session.known_counts(image_id)[0] > 0
    session.runner.hold = True
    session.rename_class(1, "cell")
    with pytest.raises(UserError, match="still runs"):
        session.segment(image_id)
    session.runner.run_all()
    session.segment(image_id)
    assert session.labels(image_id).model.output.classes[1].name == "cell"


def test_statistics_belong_to_the_channels_that_were_measured(tmp_path, model_path):
    session = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "work"))
    messages = []
    session.events.message.connect(lambda *message: messages.append(message))
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    image_id = session.add_image(ImageSource.from_array(image, axes="YXC", rgb=True))
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("a", "#e69f00")), in_channels=1)
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(0, 8, 0, 8), 1)
    stroke(session, image_id, 0, box(20, 28, 0, 8), 0)
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("b", "#e69f00")), in_channels=3)
    session.ensure_labels(image_id)
    stroke(session, image_id, 0, box(0, 8, 0, 8), 1)
    stroke(session, image_id, 0, box(20, 28, 0, 8), 0)
    assert not [m for m in messages if m[0] == "error"]
    assert not session.model.untrained
    session.close()


def test_an_image_that_is_removed_while_it_is_segmented_leaves_no_step(held):
    session, image_id, _ = held
    session.runner.hold = True
    session.segment(image_id)
    session.remove_image(image_id)
    session.runner.run_all()
    assert session.history.next_undo == "choose model"


def test_settings_are_those_of_the_request(held):
    session, image_id, _ = held
    session.runner.hold = True
    session.segment(image_id)
    session.set_objects(ObjectSettings(threshold=0.9))
    session.runner.run_all()
    assert session.provenance(image_id)["settings"]["objects"]["threshold"] == 0.5


def test_a_discarded_round_has_taught_nothing(held):
    session, image_id, _ = held
    stroke(session, image_id, 0, box(40, 50, 40, 50), 500)
    session.retrain(steps=2)
    session.discard()
    assert not session.in_training(image_id)
    session.retrain(steps=2)
    session.keep()
    assert session.in_training(image_id)
    session.back()
    assert not session.in_training(image_id)


def test_labels_are_not_imported_under_a_running_segmentation(held):
    session, image_id, labels = held
    session.runner.hold = True
    session.segment(image_id)
    with pytest.raises(UserError, match="still runs"):
        session.import_labels(image_id, labels, "YX", as_truth=False)
    session.runner.run_all()
