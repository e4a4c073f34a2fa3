"""The table of a .safetensors file: everything the format allows, nothing else."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import load_checkpoint, read_header
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.tensorfile import HEADER_HASH_KEY, HEADER_KEY, hash_text, read_table

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path, header, data=bytes(8), length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def test_the_table_is_what_safetensors_writes(tmp_path):
    tensors = {"b": torch.zeros(2, 3), "a": torch.ones(4, dtype=torch.int64), "c": torch.zeros(0), "d": torch.zeros(())}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"k": "v"})
    table = read_table(tmp_path / "x.safetensors")
    assert {name: entry.shape for name, entry in table.tensors.items()} == {
        k: tuple(v.shape) for k, v in tensors.items()
    }
    assert table.metadata == {"k": "v"}


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        ({"w": ONE}, bytes(8), 2**63),
        ({"w": ONE}, bytes(8), 200 * 2**20),
        ({"w": ONE}, bytes(8), 0),
        ({"w": ONE}, bytes(7), None),
        ({"w": ONE}, bytes(9), None),
        ({"w": {**ONE, "data_offsets": [8, 16]}}, bytes(16), None),
        ({"w": ONE, "v": ONE}, bytes(8), None),
        ({"w": {**ONE, "data_offsets": [8, 0]}}, bytes(8), None),
        ({"w": {**ONE, "shape": [3]}}, bytes(8), None),
        ({"w": {**ONE, "shape": [-2]}}, bytes(8), None),
        ({"w": {**ONE, "shape": [2**40, 2**40]}}, bytes(8), None),
        ({"w": {**ONE, "shape": [1] * 20 + [2]}}, bytes(8), None),
        ({"w": {**ONE, "shape": [2.0]}}, bytes(8), None),
        ({"w": {**ONE, "dtype": "F7"}}, bytes(8), None),
        ({"w": {**ONE, "dtype": 3}}, bytes(8), None),
        ({"w": {**ONE, "more": 3}}, bytes(8), None),
        ({"w": 3}, bytes(8), None),
        ({"w" * 600: ONE}, bytes(8), None),
        ({"w": ONE, "__metadata__": {"k": 3}}, bytes(8), None),
        ({"w": ONE, "__metadata__": []}, bytes(8), None),
        (b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":3}', bytes(8), None),
        (b'{"w": NaN}', bytes(8), None),
        (b'{"w": "\xff"}', bytes(8), None),
        (b'{"a":' * 100_000, bytes(8), None),
        ({str(index): ONE for index in range(20_001)}, bytes(8), None),
    ],
)
def test_attacks_on_the_header_are_refused(header, data, length, tmp_path):
    path = write(tmp_path / "model.safetensors", header, data, length)
    for function in (load_checkpoint, read_header):
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            function(path)


def rewrite(path, change=lambda values: None, tensors=None, sign=True):
    """Write one of our files again with a changed header."""
    text = read_table(path).metadata[HEADER_KEY]
    values = json.loads(text)
    change(values)
    changed = json.dumps(values)
    metadata = {HEADER_KEY: changed, HEADER_HASH_KEY: hash_text(changed if sign else text)}
    save_file(load_file(path) if tensors is None else tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_channels": 10**9}, "10"),
        ({"features": [8] * 60}, "features"),
        ({"features": [4096] * 8}, "more than"),
        ({"convolutions": 8}, "is missing"),
        ({"pooling": [[2, -2]]}, "pooling"),
    ],
)
def test_hostile_configurations_are_refused_before_they_size_a_network(small_file, changes, words):
    rewrite(small_file, lambda values: values["config"].update(changes))
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(small_file)
    assert words in str(error.value)


def test_a_header_that_was_edited_is_refused(small_file):
    rewrite(small_file, lambda values: values.update(name="other"), sign=False)
    with pytest.raises(CheckpointError, match="checksum"):
        read_header(small_file)


def test_edited_weights_are_refused(small_file):
    tensors = load_file(small_file)
    tensors["head.bias"] = tensors["head.bias"] + 1
    rewrite(small_file, tensors=tensors)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(small_file)


def test_the_header_survives_json(small):
    assert CheckpointHeader.from_dict(json.loads(json.dumps(small.header.to_dict()))) == small.header
