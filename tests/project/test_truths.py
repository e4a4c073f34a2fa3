"""The sum of many records: what was written last holds, and no record is changed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.image.boxes import as_box, extent
from napari_unet.jobs.parallel import in_threads
from napari_unet.project.records import Record, decode_all, encode
from napari_unet.project.truths import TILE, summed

SHAPE = (2, 300, 530)


def record(start, stop, value):
    """A record that fills a box with one value."""
    box = as_box(start, stop)
    return Record("prediction", 0, box, {"values": np.full(extent(box), value, np.uint32)}, {"end": True})


def test_the_sum_is_what_was_written_last_and_records_stay_as_they_are():
    records = [
        record((0, 0, 0), (1, 300, 530), 1),
        record((0, 10, 10), (1, 20, 300), 2),
        record((1, 0, 0), (2, TILE, TILE), 3),
        record((0, 0, 0), (2, 15, 15), 4),
        record((0, TILE, 0), (1, 300, TILE), 5),
    ]
    expected = np.zeros(SHAPE, np.uint32)
    for one in records:
        expected[one.box] = one.arrays["values"]
    before = [one.arrays["values"].copy() for one in records]
    found = np.zeros(SHAPE, np.uint32)
    for _, box, arrays in summed(records, SHAPE).boxes():
        found[box] = arrays["values"]
    np.testing.assert_array_equal(found, expected)
    for one, values in zip(records, before, strict=True):
        np.testing.assert_array_equal(one.arrays["values"], values)


def test_records_that_are_read_from_bytes_can_be_written_over():
    data = b"".join(map(encode, [record((0, 0, 0), (1, 300, 530), 1), record((0, 3, 3), (1, 9, 9), 2)]))
    canvas = summed([one for _, _, one in decode_all(data)], SHAPE)
    tile = canvas.tiles[0, 0, 0, 0]["values"]
    assert (tile[0, 3:9, 3:9] == 2).all()
    assert int(tile.sum()) == TILE * TILE + 36


def test_records_come_in_their_order_however_many_there_are():
    many = [record((0, 0, 0), (1, 50, 60), value) for value in range(40)]
    data = b"".join(map(encode, many)) + b"torn"
    found = list(decode_all(data))
    assert [int(one.arrays["values"][0, 0, 0]) for _, _, one in found] == list(range(40))
    assert [end for _, end, _ in found[:-1]] == [start for start, _, _ in found[1:]]


def test_what_fails_in_a_thread_is_raised_where_it_is_asked_for():
    def root(value):
        if value < 0:
            raise ValueError(f"{value} is negative")
        return value**0.5

    assert list(in_threads(root, range(20))) == [n**0.5 for n in range(20)]
    with pytest.raises(ValueError, match="-3 is negative"):
        list(in_threads(root, [1, 4, 9, -3, 16]))
    assert list(in_threads(root, [])) == []
