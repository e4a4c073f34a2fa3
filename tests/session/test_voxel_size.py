"""A model learns the voxel size of its images, and images of another size are rescaled for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.session.conftest import blobs
from tests.session.test_session import box

from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import read_header


def test_a_refit_remembers_the_size_and_the_next_image_is_rescaled(session, model_path) -> None:
    image, labels = blobs()
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs", scale=(0.5, 0.5)))
    session.select_model(model_path("instances"))
    session.settings = replace(session.settings, first_steps=1)
    session.segment(image_id)
    session.accept_box(image_id, 0, box(0, 48, 0, 96))
    session.refit()
    session.keep()
    header = session.model.header
    assert header.voxel_size == (0.5, 0.5)
    assert read_header(session.model.path).voxel_size == (0.5, 0.5)

    coarse = session.add_image(
        ImageSource.from_array(image[::2, ::2], axes="YX", name="coarse", scale=(1.0, 1.0)),
    )
    notes: list[str] = []
    session.events.job_changed.connect(lambda name: notes.extend(v.note for v in session.jobs.values()))
    session.segment(coarse)
    assert any("rescaled from voxels of 1 × 1 µm to 0.5 × 0.5 µm" in note for note in notes)
    found = session.labels_array(coarse)
    assert found.shape == (48, 48)
    assert np.mean((found > 0) == (labels[::2, ::2] > 0)) > 0.95
    notes.clear()
    session.segment(image_id)
    assert not any("rescaled" in note for note in notes)
    assert not [m for m in session.messages if m[0] == "error"]
