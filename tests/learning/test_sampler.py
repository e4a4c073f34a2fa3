from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.learning.sampler import Sampler
from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.targets import targets
from napari_unet.model.header import ClassInfo, Output

CLASSES = tuple(ClassInfo(name, "#000000") for name in ("background", "a", "b"))
OBJECTS = Output("instances", "softmax", ("background", "interior", "boundary"), CLASSES[:2])
SEMANTIC = Output("classes", "softmax", ("background", "a", "b"), CLASSES)


def region(shape, seed=0, known=0.1, changed=0.0):
    """A crop whose first channel shows its labels and its second what is known."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, shape)
    mask = rng.random(shape) < known
    weight = np.where(mask & (rng.random(shape) < changed), 3, 1).astype(np.float32)
    image = np.stack([labels, mask]).astype(np.float32)
    return TrainingRegion(image, labels, mask, weight, "a", 0, (0, 0, 0))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.integers(1, 80), st.integers(1, 80))
def test_image_and_labels_turn_together(seed, volume, height, width):
    shape = (5 if volume else 1, height, width)
    crop = region(shape, seed)
    crop.known[0, 0, 0] = True
    crop.image[1] = crop.known
    crop = replace(crop, soft=np.stack([crop.labels, crop.known]).astype(np.float32))
    sampler = Sampler([crop], SEMANTIC, 3 if volume else 2, bend=seed % 2 == 1)
    size = (4, 32, 32) if volume else (1, 32, 32)
    for number in range(6):
        generator = np.random.default_rng((seed, number))
        image, labels, known, _, soft = sampler._patch(size, generator)
        assert image.shape == (2, *size)
        assert labels.shape == known.shape == size
        assert np.array_equal(soft, np.stack([labels, known]))
        if np.array_equal(image, np.round(image)):  # neither scaled nor changed in intensity
            assert np.array_equal(image[0], labels)
            assert np.array_equal(image[1].astype(bool), known)


def test_every_patch_holds_something_known():
    crops = [region((1, 300, 200), known=0), region((1, 150, 150), 1, known=0)]
    crops[0].known[0, 290:295, 5:8] = True
    crops[1].known[0, 3, 3] = True
    batch = Sampler(crops, SEMANTIC, 2, bend=True).draw(60, (1, 64, 64), np.random.default_rng(0))
    assert batch.image.shape == (60, 2, 64, 64)
    assert batch.known.reshape(60, -1).any(axis=1).all()


def test_objects_of_a_binary_model_are_one_class():
    crop = region((1, 96, 96), known=1.0)
    labels = np.zeros((1, 96, 96), np.int64)
    labels[0, ::8, ::8] = np.arange(1, 145).reshape(12, 12)
    output = Output("binary", "sigmoid", ("foreground",), CLASSES[:2])
    sampler = Sampler([replace(crop, labels=labels, known=np.ones_like(labels, bool))], output, 2)
    assert len(sampler._classes) == 2


def test_a_rare_class_comes_often():
    crop = region((1, 200, 200), known=0)
    crop.labels[:] = 0
    crop.known[:] = True
    crop.labels[0, 100, 100] = 2
    batch = Sampler([crop], SEMANTIC, 2, augment=False).draw(40, (1, 32, 32), np.random.default_rng(0))
    assert (batch.target == 2).any(axis=(1, 2)).sum() >= 10


def test_changed_voxels_are_drawn_more_often():
    crop = region((1, 400, 400), known=1)
    crop.weight[0, 20:30, 20:30] = 3
    batch = Sampler([crop], SEMANTIC, 2).draw(100, (1, 32, 32), np.random.default_rng(0))
    assert (batch.weight == 3).any(axis=(1, 2)).sum() >= 30


def test_the_same_generator_gives_the_same_patches():
    sampler = Sampler([region((1, 90, 90))], SEMANTIC, 2)
    first, second = (sampler.draw(4, (1, 64, 64), np.random.default_rng((3, 8))) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.target, second.target)


def test_objects_cut_by_a_patch_are_interior_where_they_go_on():
    """A patch shows the targets of its crop, also along its own border."""
    shape = (1, 64, 64)
    labels = np.ones(shape, int)
    labels[:, :, 40:] = 2
    whole, certain = targets(labels[0], np.ones(shape[1:], bool), OBJECTS)
    place = np.arange(64 * 64, dtype=np.float32).reshape(shape)[np.newaxis]
    crop = TrainingRegion(place, labels, np.ones(shape, bool), None, "a", 0, (0, 0, 0))
    sampler = Sampler([crop], OBJECTS, 2, augment=False)
    for seed in range(8):
        batch = sampler.draw(2, (1, 32, 32), np.random.default_rng(seed))
        for image, target, known in zip(batch.image, batch.target, batch.known, strict=True):
            index = np.unravel_index(image[0].astype(int), shape[1:])
            np.testing.assert_array_equal(target, whole[index])
            np.testing.assert_array_equal(known, certain[index])
