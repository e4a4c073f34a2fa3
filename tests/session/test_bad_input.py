"""What goes wrong says what came, what was expected and what to do; nothing half-done stays."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet import load_checkpoint
from napari_unet.errors import CheckpointError, ImageError, UserError
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

from .conftest import blobs, threshold_checkpoint


def errors(session):
    return [sentence for level, sentence, _ in session.messages if level == "error"]


class Fading:
    """An image whose rows below `end` can no longer be read: a file that disappears during the job."""

    def __init__(self, array, end):
        self.array, self.end, self.broken = array, end, False
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index):
        if self.broken:
            raise OSError("The network name is no longer available")
        return self.array[index]


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0])
def test_constant_and_nan_images_end_in_labels_or_a_sentence(session, model_path, value):
    image_id = session.add_image(ImageSource.from_array(np.full((40, 40), value, np.float32), axes="YX"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    found = session.labels_array(image_id)
    if np.isnan(value):
        assert not found.any()
    elif value:
        assert len(np.unique(found)) == 1


def test_scattered_nan_and_inf_do_not_spread(session, model_path):
    image, labels = blobs()
    image[5, 5], image[90, 3] = np.nan, np.inf
    image_id = session.add_image(ImageSource.from_array(image, axes="YX"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    assert not errors(session)
    assert len(np.unique(session.labels_array(image_id))) == len(np.unique(labels))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (33, 47)])
def test_tiny_images_are_segmented(session, model_path, shape):
    image_id = session.add_image(ImageSource.from_array(np.ones(shape, np.uint16), axes="YX"))
    session.select_model(model_path("classes"))
    session.segment(image_id)
    assert not errors(session)
    assert (session.labels_array(image_id) == 1).all()


@pytest.mark.parametrize("dtype", ["bool", "uint8", ">u2", "int32", "uint64", "float16", ">f4", "float64"])
def test_every_type_of_number_is_segmented(session, model_path, dtype):
    image, labels = blobs()
    image_id = session.add_image(ImageSource.from_array(image.astype(dtype), axes="YX"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    assert not errors(session)
    assert len(np.unique(session.labels_array(image_id))) == len(np.unique(labels))


def test_an_empty_image_is_refused_with_its_shape():
    with pytest.raises(ImageError, match=r"\(0, 5\)"):
        ImageSource.from_array(np.zeros((0, 5)), axes="YX")


def test_a_wrong_number_of_channels_is_told(session, model_path):
    image_id = session.add_image(ImageSource.from_array(np.zeros((2, 40, 40), np.uint8), axes="CYX"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    (sentence,) = errors(session)
    assert "2" in sentence and "channel" in sentence
    assert session.history.next_undo == "choose model"


def test_a_3d_model_refuses_a_flat_image(session, model_path):
    image_id = session.add_image(ImageSource.from_array(np.zeros((40, 40), np.uint8), axes="YX"))
    session.select_model(model_path("instances", ndim=3))
    session.segment(image_id)
    assert "no Z axis" in errors(session)[0]


def test_an_image_that_disappears_leaves_the_earlier_labels(session, model_path):
    image, _ = blobs()
    data = Fading(np.stack([image] * 3), 1)
    image_id = session.add_image(ImageSource(data, "ZYX", name="stack"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    before = session.labels_array(image_id).copy()
    data.broken = True
    session.segment(image_id)
    assert "stack" in errors(session)[0]
    np.testing.assert_array_equal(session.labels_array(image_id), before)
    assert "segment" not in session.jobs


def test_an_image_that_disappears_under_a_worker_process(tmp_path, model_path):
    image, _ = blobs()
    data = Fading(np.stack([image] * 3), 1)
    data.broken = True
    session = Session(JobRunner("process"), WorkFolder.create(tmp_path / "work"))
    messages = []
    session.events.message.connect(lambda *message: messages.append(message))
    image_id = session.add_image(ImageSource(data, "ZYX", name="stack"))
    session.select_model(model_path("instances"))
    session.runner.wait(session.segment(image_id), 120)
    session.close()
    assert messages[0][0] == "error"
    assert "no longer available" in messages[0][1]


def test_an_image_that_changes_its_shape_is_refused(opened):
    session, image_id, _ = opened
    with pytest.raises(UserError, match=r"changed its shape"):
        session.replace_image(image_id, ImageSource.from_array(np.zeros((5, 5)), axes="YX"))


def test_commands_on_an_image_that_is_gone(opened):
    session, image_id, _ = opened
    session.remove_image(image_id)
    with pytest.raises(UserError, match="no longer open"):
        session.segment(image_id)
    assert session.history.next_undo == "choose model"


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"<html>404</html>", b"PK\x03\x04broken", b"\x80\x04K\x01."]
)
def test_a_file_that_is_no_checkpoint_changes_nothing(opened, tmp_path, content):
    session, _, _ = opened
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    model = session.model
    session.select_model(path)
    assert session.model is model
    assert "weights.pth" in errors(session)[0]
    assert not list((session.folder.path / "models").iterdir())


def test_a_flipped_bit_is_found_before_a_label_is_written(session, tmp_path):
    path = tmp_path / "flipped.safetensors"
    threshold_checkpoint("instances").save(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    image_id = session.add_image(ImageSource.from_array(blobs()[0], axes="YX"))
    session.select_model(path)
    session.segment(image_id)
    assert errors(session)
    assert not session.labels_array(image_id).any()
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_missing_folder_and_a_read_only_file_are_told(opened, tmp_path):
    session, image_id, _ = opened
    session.export_labels(image_id, tmp_path / "nowhere" / "labels.tif")
    assert "nowhere" in errors(session)[0]
    target = tmp_path / "labels.tif"
    target.write_bytes(b"precious")
    session.export_labels(image_id, target)
    assert target.read_bytes() == b"precious"
    assert len(errors(session)) == 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix not in (".safetensors", "")) == ["labels.tif"]
