"""Journals: what goes in comes out, whatever happens to the end of the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import UserError
from napari_unet.image.boxes import as_box, extent
from napari_unet.project.journal import HEADER, Journal
from napari_unet.project.records import Record, decode_all, encode
from napari_unet.project.truths import Canvas, TruthFiles, summed

SHAPE = (2, 40, 300)


@st.composite
def boxes(draw):
    start = [draw(st.integers(0, n - 1)) for n in SHAPE]
    return as_box(start, [draw(st.integers(a + 1, min(n, a + 60))) for a, n in zip(start, SHAPE, strict=True)])


@st.composite
def records(draw):
    box, rng = draw(boxes()), np.random.default_rng(draw(st.integers(0, 99)))
    shape = extent(box)
    arrays = {
        "labels": rng.integers(0, 70000, shape).astype(np.uint32),
        "known": rng.random(shape) < 0.5,
        "changed": rng.random(shape) < 0.5,
    }
    return Record("known", draw(st.integers(0, 1)), box, arrays, {"end": True, "last_id": 7})


def same(first, second):
    return (
        (first.kind, first.t, first.box, first.meta) == (second.kind, second.t, second.box, second.meta)
        and first.arrays.keys() == second.arrays.keys()
        and all(
            np.array_equal(first.arrays[n], second.arrays[n]) and first.arrays[n].dtype == second.arrays[n].dtype
            for n in first.arrays
        )
    )


@given(st.lists(records(), max_size=4))
@settings(max_examples=30, deadline=None)
def test_records_come_back_as_they_were(many):
    data = b"".join(map(encode, many))
    back = [record for _, _, record in decode_all(data)]
    assert len(back) == len(many)
    assert all(map(same, back, many))


@pytest.fixture(scope="module")
def written():
    """Three small records, the first two one group, and where each ends."""
    rng, data, ends = np.random.default_rng(0), HEADER, []
    for n, last in enumerate((False, True, True)):
        arrays = {"values": rng.integers(0, 9, (1, 3, 3)).astype(np.uint16)}
        data += encode(Record("prediction", n, as_box((0, 0, 0), (1, 3, 3)), arrays, {"end": last}))
        ends.append(len(data))
    return data, ends


def test_a_torn_end_is_ignored_at_every_length(tmp_path, written):
    data, ends = written
    path = tmp_path / "a.journal"
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        times = [record.t for record in Journal(path).read()]
        assert times == ([0, 1, 2] if length >= ends[2] else [0, 1] if length >= ends[1] else [])


def test_writing_goes_on_behind_the_last_complete_group(tmp_path, written):
    data, ends = written
    more = Record(
        "prediction", 9, as_box((0, 0, 0), (1, 1, 1)), {"values": np.ones((1, 1, 1), np.uint8)}, {"end": True}
    )
    for length in (0, 5, len(HEADER), ends[0], ends[1], ends[1] + 20, ends[2] - 1, ends[2]):
        path = tmp_path / f"{length}.journal"
        path.write_bytes(data[:length])
        journal = Journal(path)
        before = [record.t for record in journal.read()]
        journal.append(more)
        journal.close()
        assert [record.t for record in Journal(path).read()] == [*before, 9]


def test_damage_in_the_middle_costs_one_record_only(tmp_path, written):
    data, ends = written
    spoiled = bytearray(data)
    spoiled[ends[0] + 30] ^= 0xFF  # inside the second record
    path = tmp_path / "a.journal"
    path.write_bytes(bytes(spoiled))
    assert [record.t for record in Journal(path).read()] == [0, 2]


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "a.journal"
    path.write_bytes(b"napari-unet journal 2\n and more")
    with pytest.raises(UserError, match="newer version"):
        Journal(path).read()


def test_a_record_never_takes_more_memory_than_its_box(tmp_path):
    import json
    import struct
    import zlib

    bomb = zlib.compress(bytes(10_000_000))
    head = {"kind": "known", "t": 0, "box": [[0, 1], [0, 2], [0, 2]], "arrays": [["labels", "uint8", len(bomb)]]}
    text = json.dumps({**head, "meta": {"end": True}}).encode()
    crc = zlib.crc32(bomb, zlib.crc32(text))
    path = tmp_path / "a.journal"
    path.write_bytes(HEADER + struct.pack("<4sIQI", b"nuR1", len(text), len(bomb), crc) + text + bomb)
    with pytest.raises(UserError, match="cannot be read"):
        Journal(path).read()


@given(st.lists(records(), max_size=6))
@settings(max_examples=25, deadline=None)
def test_the_sum_of_a_journal_is_the_last_write_of_each_voxel(many):
    wanted = {t: np.zeros(SHAPE, np.uint32) for t in (0, 1)}
    for record in many:
        wanted[record.t][record.box] = record.arrays["labels"]
    for canvas in (summed(many, SHAPE), summed(summed(many, SHAPE).records("known"), SHAPE)):
        got = {t: np.zeros(SHAPE, np.uint32) for t in (0, 1)}
        for t, box, arrays in canvas.boxes():
            got[t][box] = arrays["labels"]
        assert all(np.array_equal(got[t], wanted[t]) for t in (0, 1))
        assert canvas.meta.get("last_id") == (7 if many else None)


def test_a_wasteful_journal_is_written_anew_when_it_is_read(tmp_path):
    files = TruthFiles.at(tmp_path, "instances")
    box = as_box((0, 0, 0), (1, 200, 200))
    for n in range(12):
        labels = np.full((1, 200, 200), n, np.uint16)
        ones = np.ones((1, 200, 200), bool)
        files.known.append(Record("known", 0, box, {"labels": labels, "known": ones, "changed": ones}, {"end": True}))
    files.close()
    size = files.known.path.stat().st_size
    first, _ = files.read((1, 200, 200))
    assert files.known.path.stat().st_size < size / 4
    again, _ = TruthFiles.at(tmp_path, "instances").read((1, 200, 200))
    for canvas in (first, again):
        ((_, _, arrays),) = canvas.boxes()
        assert (arrays["labels"] == 11).all()
        assert arrays["known"].all()


def test_a_group_that_clears_comes_in_the_place_of_all_before():
    ones = np.ones((1, 4, 4), np.uint8)
    box, nowhere = as_box((0, 0, 0), (1, 4, 4)), as_box((0, 0, 0), (0, 0, 0))
    canvas = Canvas((1, 4, 4))
    canvas.add(Record("prediction", 0, box, {"values": ones}, {"end": True}))
    canvas.add(Record("clear", 0, nowhere, {}, {"end": True}))
    assert not list(canvas.boxes())
