import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.learning import masks
from napari_unet.learning.masks import dilated, members


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), strided=st.booleans())
def test_members_are_those_of_isin(seed, strided):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 50, (3, 2 * masks.ROWS + 5, 9)).astype(rng.choice([np.uint8, np.uint16, np.uint32]))
    labels = labels[:, 3:-1, ::2] if strided else labels
    values = rng.integers(0, 80, rng.integers(0, 6))
    assert np.array_equal(members(labels, values), np.isin(labels, values))


def test_huge_ids_need_no_huge_table():
    labels = np.array([[0, 4_000_000_000], [7, 7]], np.uint32)
    assert members(labels, np.array([4_000_000_000])).tolist() == [[False, True], [False, False]]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(0, 3))
def test_dilated_is_a_repeated_dilation_with_a_cross(seed, width):
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 8, 9)) < 0.1
    cross = ndimage.generate_binary_structure(3, 1)
    for axes, kept in (((1, 2), (1, slice(None), slice(None))), ((0,), (slice(None), 1, 1))):
        structure = np.zeros((3, 3, 3), bool)
        structure[kept] = cross[kept]
        expected = ndimage.binary_dilation(mask, structure, iterations=width) if width else mask
        assert np.array_equal(dilated(mask, width, axes), expected)
