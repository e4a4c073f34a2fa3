"""Objects of planes joined in z, against generated objects in 3D."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.inference.labels.planes import PlaneJoiner, matches

SHAPE = (9, 40, 44)


def balls(seed: int, count: int) -> np.ndarray:
    """Ellipsoids that touch neither each other's planes nor lie under one another without a gap."""
    rng = np.random.default_rng(seed)
    grid = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint32)
    for number in range(1, count + 1):
        centre = [rng.uniform(0, n) for n in SHAPE]
        radius = (rng.uniform(1.2, 3.5), rng.uniform(3, 7), rng.uniform(3, 7))
        inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True)) < 1
        if inside.any() and not labels[ndimage.binary_dilation(inside, np.ones((3, 3, 3)))].any():
            labels[inside] = number
    return labels


def apart(volume: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Number the objects of each plane anew, as a 2D model finds them."""
    planes = []
    for plane in volume:
        values = np.unique(plane[plane > 0])
        table = np.zeros(int(volume.max()) + 1, np.uint32)
        table[values] = rng.permutation(values.size) + 1
        planes.append(table[plane])
    return planes


def partition(labels: np.ndarray) -> np.ndarray:
    """Number objects by their first voxel."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[inverse].reshape(labels.shape)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 14), st.randoms(use_true_random=False))
def test_objects_of_planes_become_those_of_the_volume_in_any_order(seed, count, random) -> None:
    truth = balls(seed, count)
    planes = apart(truth, np.random.default_rng(seed))
    order = list(range(len(planes)))
    random.shuffle(order)
    joiner = PlaneJoiner()
    found = np.zeros(SHAPE, np.uint32)
    for z in order:
        found[z] = joiner.add(z, planes[z])
    for old, new in joiner.merged.items():
        found[found == old] = new
    np.testing.assert_array_equal(found > 0, truth > 0)
    np.testing.assert_array_equal(partition(found), partition(truth))
    assert int(found.max()) < joiner.next_id


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (3, 2, 4, 1, 5, 0)])
def test_two_planes_are_held_and_nothing_is_renamed_where_planes_grow(order) -> None:
    planes = apart(balls(3, 10)[:6], np.random.default_rng(0))
    joiner = PlaneJoiner(first_id=100)
    for z in order:
        labels = joiner.add(z, planes[z])
        assert labels[labels > 0].min(initial=100) >= 100
        assert len(joiner._open) <= 2
    assert not joiner.merged


def test_the_better_partner_continues_an_object() -> None:
    first = np.zeros((10, 30), np.uint32)
    first[2:8, 2:22] = 4
    second = np.zeros_like(first)
    second[2:8, 2:9] = 1
    second[2:8, 10:22] = 2
    np.testing.assert_array_equal(matches(first, second), [[4, 2]])
    np.testing.assert_array_equal(matches(second, first), [[2, 4]])


def test_what_hardly_overlaps_stays_apart() -> None:
    first, second = np.zeros((2, 10, 30), np.uint32)
    first[2:8, 2:12] = 1
    second[2:8, 10:20] = 1
    assert len(matches(first, second)) == 0
    assert len(matches(first, np.zeros_like(first))) == 0


def test_the_choice_shares_the_most_in_sum() -> None:
    # Object 1 shares most with b, but then 2 would be left alone.
    first, second = np.zeros((2, 1, 40), np.uint32)
    first[0, 0:10], first[0, 10:20] = 1, 2
    second[0, 0:4], second[0, 4:16] = 7, 8
    np.testing.assert_array_equal(matches(first, second), [[1, 7], [2, 8]])
