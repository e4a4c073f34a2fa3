"""Planes joined block by block: as whole planes are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.image.boxes import as_box
from napari_unet.inference.labels.planes import PlaneJoiner
from napari_unet.inference.labels.stacking import StackJoiner


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(5, 40), st.integers(5, 40), st.integers(1, 2))
def test_blocks_are_joined_as_whole_planes(seed, height, width, times) -> None:
    rng = np.random.default_rng(seed)
    shape = (times, 4, 30, 34)
    planes = np.zeros(shape, np.uint32)
    used = 0
    for t in range(times):
        noise = ndimage.gaussian_filter(rng.normal(size=shape[1:]), (0.7, 2, 2))
        for z in range(shape[1]):
            labels, count = ndimage.label(noise[z] > 0.3 * noise.std())
            planes[t, z] = np.where(labels > 0, labels + used, 0)
            used += count
    whole = PlaneJoiner()
    expected = np.stack([[whole.add(z, planes[t, z], t) for z in range(shape[1])] for t in range(times)])
    found = np.zeros(shape, np.uint32)

    def write(t, box, labels) -> None:
        assert not found[(t, *box)].any()
        found[(t, *box)] = labels

    with TemporaryDirectory() as folder:
        joiner = StackJoiner(write, shape[2:], Path(folder))
        for t in range(times):
            for z in range(shape[1]):
                for y in range(0, shape[2], height):
                    for x in range(0, shape[3], width):
                        box = as_box((z, y, x), (z + 1, min(y + height, shape[2]), min(x + width, shape[3])))
                        joiner.put(t, box, planes[(t, *box)])
        joiner.close()
    np.testing.assert_array_equal(found, expected)
    assert joiner.count == whole.next_id - 1
