"""A segmentation that was stopped goes on from its finished tiles, and large frames are decoded block by block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.errors import OutputError
from napari_unet.image.boxes import whole
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels import blocks
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.running import Runner
from napari_unet.jobs import JobContext
from napari_unet.jobs.context import Cancelled
from napari_unet.project.folder import WorkFolder
from napari_unet.session.frames import LabelBlock
from napari_unet.session.tasks import SegmentRequest, segment

from .conftest import blobs

FEW = {"max_examples": 5, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def many(n=3, seed=0):
    """Return an image of several times four blobs."""
    return np.block([[blobs(seed=seed + n * i + j)[0] for j in range(n)] for i in range(n)])


@pytest.fixture
def small_tiles(monkeypatch):
    """Let the predictors of jobs have tiles of 64, and count what they compute."""
    computed = []
    scores = Runner._scores

    def counted(self, plan, tile, *rest):
        computed.append(tile.inner)
        return scores(self, plan, tile, *rest)

    monkeypatch.setattr(Runner, "_scores", counted)
    monkeypatch.setattr(
        "napari_unet.session.tasks._predictor",
        lambda checkpoint, modified, device, precision: _predictor(checkpoint),
    )
    return computed


def _predictor(checkpoint):
    from napari_unet.inference.predictor import Predictor
    from napari_unet.model.checkpoint import load_checkpoint

    return Predictor(load_checkpoint(checkpoint), device="cpu", precision="float32", tile=64, threads=1)


def run(request, stop_after=None):
    """Run the job function; return the labels that its blocks make, and how it ended."""
    labels = np.zeros(request.source.shape, np.uint32)
    tiles, final = [], []

    def send(kind, value):
        if kind == "report" and isinstance(value, LabelBlock):
            labels[(value.t, *value.box)] = value.labels
            (tiles if value.provisional else final).append(value.box)

    context = JobContext(send, lambda: stop_after is not None and len(tiles) + len(final) >= stop_after)
    try:
        result = segment(context, request)
    except Cancelled:
        result = None
    return labels, final, result


@settings(**FEW)
@given(st.integers(1, 24), st.integers(1, 24), st.sampled_from(["instances", "classes"]))
def test_stopped_anywhere_it_goes_on_to_the_same_labels(model_path, small_tiles, tmp_path_factory, first, second, kind):
    source = ImageSource.from_array(many(), "YX")
    scores = tmp_path_factory.mktemp("scores") / "1.npy"
    request = SegmentRequest(str(model_path(kind)), source, scores=str(scores))
    expected, _, _ = run(replace(request, scores=None))
    assert expected.any()
    for after in sorted((first, second)):
        run(request, stop_after=after)
    small_tiles.clear()
    labels, _, result = run(request)
    np.testing.assert_array_equal(labels, expected)
    assert result.frames == ((0, whole((1, 288, 288))),)
    assert len(small_tiles) <= 25 - min(max(first, second), 25) + 1


def test_another_image_model_or_option_starts_anew(model_path, small_tiles, tmp_path):
    source = ImageSource.from_array(many(), "YX")
    request = SegmentRequest(str(model_path("instances")), source, scores=str(tmp_path / "1.npy"))
    run(request, stop_after=10)
    small_tiles.clear()
    run(replace(request, objects=ObjectSettings(threshold=0.7)))
    assert len(small_tiles) <= 16
    for other in (
        {"source": ImageSource.from_array(many(seed=50), "YX")},
        {"options": PredictOptions(flips=True)},
        {"checkpoint": str(model_path("instances", name="other"))},
    ):
        small_tiles.clear()
        run(replace(request, **other))
        expected = 0 if "checkpoint" in other else 25  # the weights are the same
        assert len(small_tiles) >= expected


def test_the_session_goes_on_after_a_stop(session, model_path, small_tiles, monkeypatch):
    image_id = session.add_image(ImageSource.from_array(many(), axes="YX", name="blobs"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    expected = session.labels_array(image_id).copy()
    session.undo()
    stop = {"after": 7, "seen": 0}

    def stops(self):
        stop["seen"] += 1
        return stop["seen"] > 40

    small_tiles.clear()
    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "cancelled", property(stops))
        session.segment(image_id)
    done = len(small_tiles)
    assert 0 < done < 25
    session.segment(image_id)
    np.testing.assert_array_equal(session.labels_array(image_id) > 0, expected > 0)
    assert len(np.unique(session.labels_array(image_id))) == len(np.unique(expected))
    assert len(small_tiles) <= 26
    session.decode(image_id, ObjectSettings(threshold=0.9))
    assert not [m for m in session.messages if m[0] == "error"], session.messages


@pytest.mark.parametrize(("axes", "join"), [("YX", True), ("TYX", True), ("ZYX", True), ("ZYX", False)])
@pytest.mark.parametrize("memory_gb", [0.005, 0.0008])
def test_large_frames_give_the_same_labels_block_by_block(
    model_path, small_tiles, tmp_path, monkeypatch, axes, join, memory_gb
):
    monkeypatch.setattr(blocks, "PLANE_CHUNK", (1, 64, 64))
    monkeypatch.setattr(blocks, "PLANE_MARGIN", (0, 32, 32))
    image = many() if axes == "YX" else np.stack([many(seed=n // 2) for n in range(3)])
    source = ImageSource.from_array(image, axes)
    request = SegmentRequest(
        str(model_path("instances")), source, times=tuple(range(source.n_times)), options=PredictOptions(join_z=join)
    )
    expected, whole_frames, _ = run(request)
    small = replace(request, options=PredictOptions(join_z=join, memory_gb=memory_gb), scores=str(tmp_path / "1.npy"))
    labels, final, _ = run(small)
    np.testing.assert_array_equal(labels, expected)
    assert (tmp_path / "1.zarr").is_dir() == (source.n_times * image.size * 6 / source.n_times > memory_gb * 1e9 / 4)
    assert len(final) >= len(whole_frames)
    if memory_gb < 0.001:
        assert len(final) > len(whole_frames)


@pytest.fixture
def stopped(session, model_path, small_tiles, monkeypatch):
    """A session in which a segmentation was stopped, the image, and what was computed after that."""
    image_id = session.add_image(ImageSource.from_array(many(), axes="YX", name="blobs"))
    session.select_model(model_path("instances"))
    calls = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "cancelled", property(lambda self: next(calls) > 40))
        session.segment(image_id)
    assert 0 < len(small_tiles) < 25
    done = len(small_tiles)
    small_tiles.clear()
    return session, image_id, done


def test_it_goes_on_after_the_project_was_moved(stopped, small_tiles, tmp_path):
    session, image_id, done = stopped
    target = session.move_project(tmp_path / "moved")
    origin = session.labels(image_id).origin
    assert origin.scores.startswith(str(target))
    session.segment(image_id)
    assert len(small_tiles) <= 25 - done + 1
    session.decode(image_id, ObjectSettings(threshold=0.6))
    session.move_project(tmp_path / "again")
    session.decode(image_id, ObjectSettings(threshold=0.5))


def test_another_project_does_not_go_on_with_it(stopped, tmp_path):
    session, _, _ = stopped
    other = WorkFolder.create(tmp_path / "other")
    (other.path / "truths" / "a-1").mkdir()
    (other.path / "truths" / "a-1" / "instances.journal").write_bytes(b"")  # something worth keeping
    other.close()
    assert session._unfinished
    session.open_project(other.path)
    assert not session._unfinished


def test_it_starts_anew_when_what_was_finished_is_gone(stopped, small_tiles, tmp_path):
    session, image_id, _ = stopped
    session._unfinished[image_id] = str(tmp_path / "gone" / "1.npy")
    session.segment(image_id)
    assert len(small_tiles) == 25
    assert session.labels(image_id).frames


def test_scores_that_could_not_be_written_are_not_tried_again(stopped, monkeypatch):
    session, image_id, _ = stopped
    session._unfinished.clear()
    refused = OutputError("The scores cannot be kept.", "")

    def refuses(*_):
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.session.segmenting.segment", refuses)
        session.segment(image_id)
    assert not session._unfinished
    session.segment(image_id)
    assert session.labels(image_id).frames
