"""The labels of a large image on the disk: every level follows from what was written, whatever the order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import UserError
from napari_unet.image.boxes import as_box, whole
from napari_unet.io.images import read_image
from napari_unet.project import pyramid as module
from napari_unet.project.pyramid import LabelPyramid, pieces


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 8)
    monkeypatch.setattr(module, "COARSEST", 7)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(9, 33), st.integers(1, 33)))
def test_every_level_is_every_second_voxel_of_the_one_before(
    data: st.DataObject, shape: tuple[int, int, int, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pyramid = LabelPyramid(
            Path(folder) / "labels.zarr", shape, np.uint32, chunk=(data.draw(st.integers(1, 3)), 8, 8)
        )
        dense = np.zeros(shape, np.uint32)
        for value in range(1, data.draw(st.integers(2, 6))):
            start = [data.draw(st.integers(0, n - 1)) for n in shape]
            stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
            box = as_box(start[1:], stop[1:])
            labels = np.full([s.stop - s.start for s in box], value, np.uint32)
            labels[:, ::3] = 100 + value
            dense[start[0]][box] = labels
            pyramid.write(start[0], box, labels)
        expected = dense
        assert len(pyramid.levels) >= 2
        for level, array in enumerate(pyramid.levels):
            np.testing.assert_array_equal(np.asarray(array[...]), expected)
            z, y, x = pyramid.level_box(whole(shape[1:]), level)
            assert (z.stop, y.stop, x.stop) == expected.shape[1:]
            expected = expected[:, :, ::2, ::2]


@given(
    start=st.tuples(*[st.integers(0, 20)] * 3),
    size=st.tuples(*[st.integers(1, 40)] * 3),
    depth=st.integers(1, 5),
)
def test_pieces_are_a_partition_on_whole_chunks(
    start: tuple[int, int, int], size: tuple[int, int, int], depth: int
) -> None:
    box = as_box(start, [a + n for a, n in zip(start, size, strict=True)])
    count = np.zeros([span.stop for span in box], int)
    for piece in pieces(box, depth):
        count[piece] += 1
        assert piece[0].start in (box[0].start, piece[0].start // depth * depth)
        for span, whole_span in zip(piece[1:], box[1:], strict=True):
            assert span.start == whole_span.start or span.start % 16 == 0
            assert span.stop - span.start <= 16
    assert (count[box] == 1).all() and count.sum() == np.prod(size)


def test_it_is_found_again_with_its_notes(tmp_path: Path) -> None:
    path = tmp_path / "labels.zarr"
    pyramid = LabelPyramid(path, (1, 1, 20, 30), np.uint32, (1.0, 0.5, 0.5))
    pyramid.write(0, as_box((0, 4, 4), (1, 8, 8)), np.full((1, 4, 4), 9, np.uint32))
    pyramid.note({"last_id": 9})
    pyramid.note({"model": "m"})
    again = LabelPyramid(path, (1, 1, 20, 30), np.uint32)
    assert again.notes == {"last_id": 9, "model": "m"}
    assert again.read(0, as_box((0, 5, 5), (1, 6, 6))).item() == 9
    assert again.read(0, as_box((0, 2, 2), (1, 3, 3)), level=1).item() == 9
    with pytest.raises(UserError, match="another one"):
        LabelPyramid(path, (1, 1, 20, 31), np.uint32)


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.zarr"
    LabelPyramid(path, (1, 2, 20, 30), np.uint32, (1.0, 0.5, 0.5)).write(
        0, as_box((1, 4, 4), (2, 8, 8)), np.full((1, 4, 4), 9, np.uint32)
    )
    source = read_image(path)
    assert source.axes == "TZYX" and source.scale == (1.0, 0.5, 0.5)
    assert source.read(0)[0, 1, 5, 5] == 9
