"""The size of objects that a model learned from."""

from __future__ import annotations

import numpy as np

from napari_unet.learning.diameters import trained_diameter


def discs(diameter, count=6, size=100):
    labels = np.zeros((1, size, size * count), int)
    rows, columns = np.mgrid[:size, :size]
    disc = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 <= diameter**2 / 4
    for k in range(count):
        labels[0, :, k * size : (k + 1) * size][disc] = k + 1
    return labels, np.ones(labels.shape, bool)


def test_the_median_of_what_is_known_as_a_whole():
    labels, known = discs(20)
    assert abs(trained_diameter([[(labels, known)]], 2, None) - 20) < 0.5
    known[labels > 2] = False
    assert trained_diameter([[(labels, known)]], 2, 7.0) == 7.0, "two objects say nothing"
    labels, known = discs(20)
    assert trained_diameter([[(labels[:, :50], known[:, :50])]], 2, 7.0) == 7.0, "they are cut"
    assert trained_diameter([], 2, None) is None


def test_images_of_several_sizes_have_none():
    assert trained_diameter([[discs(20)], [discs(22)]], 2, None) is not None
    assert trained_diameter([[discs(20)], [discs(40)]], 2, 20.0) is None


def test_volumes_and_their_planes():
    rows = np.mgrid[:40, :40, :40] - 20
    ball = ((rows**2).sum(axis=0) <= 100).astype(int)
    labels = np.concatenate([ball, 2 * ball, 3 * ball], axis=2)
    known = np.ones(labels.shape, bool)
    assert abs(trained_diameter([[(labels, known)]], 3, None) - 20) < 0.5
    assert trained_diameter([[(labels, known)]], 2, None) < 20
    flat = labels[2::5], known[2::5]
    assert abs(trained_diameter([[flat]], 3, None, [5.0]) - 20) < 0.8, "along x, whatever lies between two planes"
    cut = labels[: len(labels) // 2], known[: len(labels) // 2]
    assert trained_diameter([[cut]], 3, 7.0) == 7.0, "they are cut by the last plane"
