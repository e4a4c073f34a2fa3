"""Two versions of a model on one view: what changed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.learning.changes import GAINED, LOST, Counts
from napari_unet.session.state import ModelVersion

from .conftest import blobs, threshold_checkpoint
from .test_session import box


def brighter(kind, ndim=2):
    """A model that sees only what exceeds 1.5 (for classes: 0.5 and 2.5 levels up), whatever its parent saw."""
    import torch

    checkpoint = threshold_checkpoint(kind, ndim, "brighter")
    head = next(m for m in reversed(list(checkpoint.network.modules())) if type(m).__name__ == f"Conv{ndim}d")
    with torch.no_grad():
        head.bias[1:] -= 20.0
    return checkpoint


@pytest.fixture
def versions(session, tmp_path):
    """Two versions: one that finds what exceeds 0.5, one that finds what exceeds 1.5."""

    def make(kind, ndim=2):
        found = []
        for name, checkpoint in (("a", threshold_checkpoint(kind, ndim)), ("b", brighter(kind, ndim))):
            path = checkpoint.save(tmp_path / f"{name}-{kind}-{ndim}.safetensors")
            session.select_model(path)
            found.append(session.need_model())
        return found

    return make


def test_objects_that_one_version_does_not_see(session, versions):
    first, second = versions("instances")
    image, labels = blobs()
    image[labels == 2] = 2
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    told = []
    session.compare(first, second, image_id, then=told.append)
    (comparison,) = told
    assert comparison.counts == (Counts(gained=0, lost=3, changed=0, same=1),)
    assert comparison.sentence == "v1 → v2 in view: 0 objects new, 3 gone, 0 changed, 1 the same."
    np.testing.assert_array_equal(comparison.changes[0] == LOST, (labels > 0) & (labels != 2))
    session.compare(second, first, image_id, 0, box(0, 40, 0, 50), told.append)
    assert told[1].changes.shape == (1, 40, 50)
    np.testing.assert_array_equal(told[1].changes[0] == GAINED, labels[:40, :50] == 1)
    # Nothing else has changed.
    assert session.labels(image_id) is None
    assert session.need_model() is second


def test_classes_are_counted_by_pixel(session, versions):
    first, second = versions("classes")
    image, labels = blobs()
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    told = []
    session.compare(first, second, image_id, then=told.append)
    lost = np.count_nonzero(labels)
    assert [count.lost for count in told[0].counts] == [0, lost, 0]
    assert f"dim +0 −{lost:,}" in told[0].sentence


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_part_of_a_volume_in_time(session, versions, ndim):
    first, second = versions("instances", ndim)
    image = np.zeros((2, 12, 80, 80), np.float32)
    image[1, 3:9, 10:30, 10:30] = 1
    image[1, 3:9, 50:70, 50:70] = 2
    image_id = session.add_image(ImageSource.from_array(image, axes="TZYX", name="volume"))
    told = []
    view = (slice(4, 6), slice(0, 80), slice(0, 80))
    session.compare(first, second, image_id, 1, view, told.append)
    assert told[0].changes.shape == (2, 80, 80)
    assert (told[0].changes[:, 10:30, 10:30] == LOST).all()
    assert not told[0].changes[:, 40:].any()
    planes = 2 if ndim == 2 else 1
    assert told[0].counts == (Counts(0, planes, 0, planes),)
    session.compare(first, second, image_id, 0, view, told.append)
    assert "nothing changed" in told[1].sentence


def test_what_cannot_be_compared_is_told(session, versions, tmp_path):
    first, second = versions("instances")
    image_id = session.add_image(ImageSource.from_array(blobs()[0], axes="YX", name="blobs"))
    classes, _ = versions("classes")
    with pytest.raises(UserError, match="different questions"):
        session.compare(first, classes, image_id)
    with pytest.raises(UserError, match="not been trained"):
        session.compare(ModelVersion(first.path, first.header, untrained=True), second, image_id)
    with pytest.raises(UserError, match="not on screen"):
        session.compare(first, second, image_id, 0, box(96, 99, 0, 9))
    gone = ModelVersion(str(tmp_path / "gone.safetensors"), first.header)
    session.compare(first, gone, image_id, then=lambda comparison: pytest.fail("nothing to compare"))
    assert session.messages[-1][0] == "error"
