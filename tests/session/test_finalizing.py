"""The model to publish: from the start, on everything, the same twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.errors import TrainingError, UserError
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.jobs import JobRunner
from napari_unet.learning.audit import AuditRegion
from napari_unet.model.header import ClassInfo
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

from .conftest import cancelled_at_once
from .test_session import box, stroke


def open_two(folder):
    """A session with two images that are known as a whole, one after the other."""
    session = Session(JobRunner("inline"), WorkFolder.create(folder))
    session.messages = []
    session.events.message.connect(lambda *message: session.messages.append(message))
    for seed in (2, 3):
        image, labels = nuclei_2d((128, 192), seed=seed)
        image_id = session.add_image(ImageSource.from_array(image, axes="YX", name=f"field{seed}"))
        if session.model is None:
            session.new_model((ClassInfo("background", "#000000"), ClassInfo("nucleus", "#e69f00")))
        session.import_labels(image_id, (labels > 0).astype(np.uint16), "YX", as_truth=True)
    return session


@pytest.fixture
def session(tmp_path):
    session = open_two(tmp_path)
    yield session
    session.close()


def scores(version):
    return [block["score"] for block in version.header.provenance["final"]["blocks"]]


def test_the_final_model_comes_from_the_start_and_is_the_same_twice(session, tmp_path):
    start = session.need_model()
    session.retrain(steps=3)
    first_round = session.need_model()
    assert first_round is not start
    session.finalize(steps=8)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    if session.round is not None:
        session.keep()
    final = session.final_version()
    about = final.header.provenance["final"]
    assert final.header.parent == start.header.weights_hash == about["start"]
    assert (about["steps"], about["seed"], about["threads"], about["images"]) == (8, 0, 1, 2)
    assert about["known_voxels"] == 2 * 128 * 192
    assert about["torch"]
    assert len(scores(final)) == session.last_round.decision.n_blocks > 1
    assert session.last_round.decision.sentence.startswith("Final model: ")

    # Again, later, in another session, the images opened in another order.
    other = open_two(tmp_path / "other")
    other.images = dict(reversed(other.images.items()))
    other.retrain(steps=1)
    other.finalize(steps=8)
    assert other.final_version().header.weights_hash == final.header.weights_hash
    assert scores(other.final_version()) == scores(final)
    other.close()


def test_a_final_model_that_does_worse_is_not_adopted(session):
    session.retrain(steps=30)
    if session.round is not None:
        session.keep()
    good = session.need_model()
    session.finalize(steps=1)
    assert session.need_model() is good
    assert session.last_round.decision.verdict == "keep"
    assert "earlier model stays" in session.messages[-1][1]
    assert session.final_version() in session.versions


def test_the_start_is_found_through_all_parents_and_after_a_change_of_classes(session):
    start = session.need_model()
    session.retrain(steps=2)
    session.change_classes((*session.need_model().header.output.classes, ClassInfo("new", "#56b4e9")), (0, 1, None))
    changed = session.need_model()
    assert session.starting_version() is start
    request = session.final_request(steps=2)
    assert request.classes == changed.header.output.classes
    session.finalize(steps=2)
    assert session.final_version().header.output.classes == changed.header.output.classes
    assert session.final_version().header.parent == start.header.weights_hash


def test_what_stands_on_screen_leaves_no_trace_in_the_final_model(session):
    session.retrain(steps=2)
    if session.round is not None:
        session.keep()
    session.segment(next(iter(session.images)))
    seen = [crop.shown.any() for image in session._known_images(session.need_model()) for crop in image.crops]
    assert any(seen)
    assert not any(crop.shown.any() for image in session.final_request().images for crop in image.crops)


def test_audit_regions_never_train(session):
    first = next(iter(session.images))
    everything = session.final_plan().known
    session.audits = (AuditRegion(first, 0, box(0, 128, 0, 100), 0.0, None, ""),)
    assert session.final_plan().known <= everything - 128 * 100
    for image in session.final_request().images:
        for crop in image.crops:
            if image.image_id == first:
                x = crop.box[2]
                assert not crop.known[:, :, : max(0, 100 - x.start)].any()


def test_the_steps_follow_from_what_is_known_and_are_stated(session):
    assert session.final_plan().steps == 807
    assert "807 steps, seed 0, 1 thread on the CPU" in session.final_plan().sentence
    assert session.final_plan(steps=5).steps == 5
    session.settings = replace(session.settings, seed=4)
    assert session.final_request(steps=5, threads=2).settings.seed == 4
    with pytest.raises(TrainingError, match="steps is 0"):
        session.final_plan(steps=0)
    with pytest.raises(TrainingError, match="threads is -1"):
        session.final_plan(threads=-1)


def test_what_is_missing_is_told(tmp_path):
    session = Session(JobRunner("inline"), WorkFolder.create(tmp_path))
    with pytest.raises(UserError, match="No model"):
        session.finalize()
    session.new_model((ClassInfo("background", "#000000"), ClassInfo("nucleus", "#e69f00")))
    with pytest.raises(TrainingError, match="Nothing is known"):
        session.finalize()
    session.close()


def test_cancelling_leaves_nothing_behind(session):
    session.retrain(steps=2)
    if session.round is not None:
        session.keep()
    before, files = list(session.versions), set(session.folder.path.rglob("*.safetensors"))
    cancelled_at_once(session, lambda: session.finalize(steps=500))
    assert session.messages[-1][1].startswith("Stopped before there was anything to keep")
    assert session.versions == before
    assert session.final_version() is None
    assert set(session.folder.path.rglob("*.safetensors")) == files
    assert not (session.folder.path / "training").exists()


def test_a_killed_finalize_goes_on(session, tmp_path):
    session.keep_state_every, kept, folder = 0.0, {}, session.folder.path / "training"

    def keep(name):
        if (folder / "round.json").is_file() and not kept:
            kept.update({path: path.read_bytes() for path in folder.iterdir()})

    session.retrain(steps=2)
    if session.round is not None:
        session.keep()
    current = session.need_model()
    session.events.job_changed.connect(keep)
    session.finalize(steps=12)
    whole = session.final_version()
    if session.round is not None:
        session.discard()
    session.set_model(current)
    folder.mkdir()
    for path, content in kept.items():
        path.write_bytes(content)
    stroke(session, next(iter(session.images)), 0, box(0, 20, 0, 20), 1)
    assert session.interrupted_round().final
    session.resume_training()
    assert session.final_version() is not whole
    assert session.final_version().header.weights_hash == whole.header.weights_hash
    assert scores(session.final_version()) == scores(whole)


def test_a_model_made_from_a_final_one_is_not_final(session):
    session.finalize(steps=2)
    final = session.final_version()
    if session.model is not final:
        session.keep() if session.round is not None else session.adopt(final, "choose model")
    assert final.header.name == "my model final"
    session.retrain(steps=1)
    trained = session.last_round.candidate
    assert trained.header.parent == final.header.weights_hash
    assert "final" not in trained.header.provenance
    assert trained.header.name == "my model"
    if session.round is not None:
        session.discard()
    session.select_model(final.path)
    session.change_classes((*final.header.output.classes, ClassInfo("new", "#56b4e9")), (0, 1, None))
    changed = session.need_model().header
    assert changed.parent == final.header.weights_hash
    assert not {"final", "agreement", "made", "description"} & set(changed.provenance)
    assert changed.name == "my model"
    assert session.final_version() is final
