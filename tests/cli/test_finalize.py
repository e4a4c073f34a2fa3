"""The model to publish, from the project folder alone: the scores are those of the session."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import tifffile

from napari_unet.image.synthetic import nuclei_2d
from napari_unet.io.images import read_image
from napari_unet.jobs import JobRunner
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session


@pytest.fixture(scope="module")
def finished(models, tmp_path_factory):
    """A project with an image, labels, one round and a final model; closed."""
    home = tmp_path_factory.mktemp("work")
    session = Session(JobRunner("inline"), WorkFolder.create(home / "projects"))
    session.settings = replace(session.settings, seed=3)
    for seed in (4, 5):
        image, labels = nuclei_2d((128, 192), seed=seed)
        tifffile.imwrite(home / f"field{seed}.tif", image)
        image_id = session.add_image(read_image(home / f"field{seed}.tif"))
        if session.model is None:
            session.select_model(models["instances"])
        session.import_labels(image_id, labels, "YX", as_truth=True)
    session.retrain(steps=2)
    if session.round is not None:
        session.keep()
    session.finalize(steps=6)
    if session.round is not None:
        session.keep()
    path = session.folder.path
    session.close()
    return path


@pytest.fixture
def project(finished, tmp_path):
    """A copy of that project: headless, on another day, in another folder."""
    return shutil.copytree(finished, tmp_path / "project")


def test_headless_gives_the_same_scores(call, project, tmp_path):
    target = tmp_path / "final.safetensors"
    said = call("finalize", project, "--output", target)
    assert said.code == 0, said.err
    assert "The scores are those of the project's final model" in said.out
    assert "6 steps, seed 3, 1 thread on the CPU" in said.err
    assert "recorded" in said.out
    final = load_checkpoint(target).header
    assert final.provenance["final"]["known_voxels"] == 2 * 128 * 192
    assert len(final.provenance["final"]["blocks"]) > 1


def test_other_steps_are_not_compared(call, project):
    said = call("finalize", project, "--steps", "3")
    assert said.code == 0, said.err
    assert "steps 6 then, 3 now" in said.out


def test_a_model_that_is_gone_is_told(call, project):
    for path in (project / "models").glob("*.safetensors"):
        if load_checkpoint(path).header.provenance.get("final"):
            path.unlink()
    said = call("finalize", project)
    assert said.code == 2
    assert "There is no file" in said.err
    assert "Mend that in the panel" in said.err


def test_what_is_wrong_is_told(call, project, tmp_path):
    assert call("finalize", tmp_path / "nowhere").code == 2
    assert "is no project" in call("finalize", tmp_path).err
    said = call("finalize", project, "--output", tmp_path / "x.pth")
    assert said.code == 2 and "--output" in said.err
    assert "steps is 0" in call("finalize", project, "--steps", "0").err
