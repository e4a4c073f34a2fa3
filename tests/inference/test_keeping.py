"""What is kept on the disk: which boxes are finished, and how many files that makes."""

from __future__ import annotations

import errno
import os
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import OutputError
from napari_unet.image.boxes import as_box
from napari_unet.inference.labels import mapping, stacking, stitching
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.inference.labels.keeping import ScoreStore, chunk_of
from napari_unet.inference.labels.mapping import make_mapped
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.model.header import COLORS, ClassInfo, Output

SHAPE = (3, 12, 14)
OUTPUT = Output(
    "instances",
    "softmax",
    ("background", "interior", "boundary"),
    (ClassInfo("background", COLORS[0]), ClassInfo("cell", COLORS[1])),
)


def box(*spans):
    return as_box([a for a, _ in spans], [b for _, b in spans])


def store_in(folder, shape=SHAPE):
    return ScoreStore(folder / "scores.npy", (1, 1, *shape), {"image": "a"})


def test_boxes_that_overlap_count_once(tmp_path):
    store = store_in(tmp_path, (1, 1, 640))
    for stop in (256, 384):
        store.put(0, box((0, 1), (0, 1), (0, stop)), np.ones((1, 1, 1, stop), np.float16))
    store = store_in(tmp_path, (1, 1, 640))
    assert store.finished_voxels == 384
    assert store.finished(0, box((0, 1), (0, 1), (100, 384)))
    assert not store.finished(0, box((0, 1), (0, 1), (0, 640)))


spans = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)).map(sorted) for n in SHAPE)).filter(
    lambda spans: all(a < b for a, b in spans)
)


@settings(deadline=None, max_examples=40)
@given(st.lists(spans, max_size=8), spans)
def test_a_box_is_finished_if_all_its_voxels_are(tmp_path_factory, kept, asked):
    folder = tmp_path_factory.mktemp("scores")
    store, mask = store_in(folder), np.zeros(SHAPE, bool)
    for one in kept:
        mask[box(*one)] = True
        store.put(0, box(*one), np.ones((1, *(b - a for a, b in one)), np.float16))
    store = store_in(folder)
    assert store.finished_voxels == mask.sum()
    assert store.finished(0, box(*asked)) == mask[box(*asked)].all()


@pytest.mark.parametrize(("step", "flat"), [((1, 16 * 509, 16 * 521), True), ((16 * 53, 16 * 131, 16 * 521), False)])
def test_no_width_makes_millions_of_files(step, flat):
    usual = (1, 512, 512) if flat else (32, 128, 128)
    chunk = chunk_of(step, flat)
    files, expected = (np.prod([ceil(s / c) for s, c in zip(step, size, strict=True)]) for size in (chunk, usual))
    assert files <= 8 * expected


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="reserved in another way")
def test_a_full_disk_is_told_before_anything_is_mapped(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(OutputError, match="No space left"):
            store_in(tmp_path)
    assert not list(tmp_path.iterdir())
    store_in(tmp_path).close()
    found = (tmp_path / "scores.npy").stat()
    assert found.st_blocks * 512 >= found.st_size


def test_room_can_be_reserved_by_zeros(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(mapping, "_ZEROS", bytes(1000))
    make_mapped(tmp_path / "a.npy", np.uint32, (3, 1111))
    made = np.load(tmp_path / "a.npy", mmap_mode="r+")
    assert made.shape == (3, 1111) and made.dtype == np.uint32 and not made.any()
    assert (tmp_path / "a.npy").stat().st_size == made.offset + made.nbytes


@pytest.mark.parametrize("join", [False, True])
def test_a_full_disk_is_told_while_objects_are_put_together(tmp_path, monkeypatch, join):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stacking if join else stitching, "make_mapped" if join else "temporary", full)
    decoding = Decoding(OUTPUT, ObjectSettings(), True, 10**6, tmp_path)
    frames = [(0, box((z, z + 1), (0, 20), (0, 20))) for z in range(2)]
    with pytest.raises(OutputError, match="put together .* No space left"):
        decoding.blocks(np.zeros((1, 3, 2, 20, 20), np.float32), frames, lambda *_: None, join=join)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limits", [(0, 10**9), (10**9, 0)])
def test_another_budget_goes_on_with_what_is_there(tmp_path, limits):
    scores = np.random.default_rng(0).random((1, *SHAPE)).astype(np.float16)
    where = box((0, SHAPE[0]), (0, SHAPE[1]), (0, SHAPE[2]))

    def store(limit, key="a"):
        return ScoreStore(tmp_path / "scores.npy", (1, 1, *SHAPE), {"image": key}, limit=limit)

    store(limits[0]).put(0, where, scores)
    again = store(limits[1])
    assert again.finished(0, where)
    np.testing.assert_array_equal(np.asarray(again.array[0, 0]), scores[0])
    again.close()
    other = store(limits[1], "b")  # of another image: begun anew, as this budget wants it
    assert not other.finished(0, where)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npy" if limits[1] else ".zarr"]
