"""Files that are damaged, mistaken or malicious: each is refused with a sentence, and nothing in them runs."""

import argparse
import datetime as dt
import io
import os
import pathlib
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import load_checkpoint, read_header
from napari_unet.model.reading import read_weights


class Payload:
    """Unpickled, it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def refused(path, words):
    for function in (load_checkpoint, read_header):
        with pytest.raises(CheckpointError) as error:
            function(path)
        assert words in str(error.value)
        assert path.name in str(error.value)
        assert error.value.hint


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_not_run(legacy, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"weight": Payload(tmp_path / "ran")}, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "before 1.6" if legacy else "mkdir")
    assert not (tmp_path / "ran").exists()


def test_raw_pickles_are_recognized_by_content(tmp_path):
    for protocol in (0, 2, 5):
        path = tmp_path / f"weights{protocol}.pth"
        path.write_bytes(pickle.dumps({"weight": Payload(tmp_path / "ran")}, protocol))
        refused(path, "pickle")
    assert not (tmp_path / "ran").exists()


def test_whole_networks_and_scripts(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(1, 1, 3)), tmp_path / "whole.pt")
    refused(tmp_path / "whole.pt", "state_dict()")
    torch.jit.save(torch.jit.trace(nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 8, 8)), tmp_path / "script.pt")
    refused(tmp_path / "script.pt", "TorchScript")
    with zipfile.ZipFile(tmp_path / "program.pt2", "w") as archive:
        archive.writestr("program/archive_format", "pt2")
    refused(tmp_path / "program.pt2", ".pt2")
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
    refused(tmp_path / "package.zip", "bioimage.io")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.txt", "hello")
    refused(tmp_path / "photos.zip", "not one that torch.save wrote")


def test_objects_besides_tensors(tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(2)}, "when": dt.datetime(2020, 1, 1)}, tmp_path / "args.ckpt")
    refused(tmp_path / "args.ckpt", "datetime")


def test_settings_become_inert(tmp_path):
    settings = {"args": argparse.Namespace(lr=1), "path": pathlib.PurePosixPath("/a/b"), "best": np.float64(0.5)}
    torch.save({"state_dict": {"w": torch.zeros(2)}, "optimizer": {"lr": 1}, **settings}, tmp_path / "args.ckpt")
    weights = read_weights(tmp_path / "args.ckpt")
    assert list(weights.tensors) == ["w"]
    assert weights.container == ("state_dict",)
    assert weights.beside == {"args": {"lr": 1}, "path": ["/", "a", "b"], "best": 0.5}


def test_classes_of_packages_are_named_but_never_made(tmp_path):
    torch.save({"model_state": {"w": torch.zeros(2)}, "init": {"pooler": nn.MaxPool2d}}, tmp_path / "named.pt")
    assert read_weights(tmp_path / "named.pt").beside == {"init": {"pooler": "torch.nn.modules.pooling.MaxPool2d"}}
    torch.save({"model_state": {"w": torch.zeros(2)}, "init": {"pooler": nn.MaxPool2d(2)}}, tmp_path / "made.pt")
    refused(tmp_path / "made.pt", "MaxPool2d")


def test_things_that_are_no_checkpoint(tmp_path):
    contents = {
        "empty.pt": (b"", "empty"),
        "page.pt": (b"<!DOCTYPE html><html>404</html>", "web page"),
        "text.pth": (b"hello, this is text", "no checkpoint"),
        "photo.pt": (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG"),
        "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
        "byte.pt": (b"x", "no checkpoint"),
    }
    for name, (content, words) in contents.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, words)
    (tmp_path / "folder.pt").mkdir()
    refused(tmp_path / "folder.pt", "no checkpoint file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    refused(tmp_path / "pipe.pt", "pipe")


def test_truncated_and_flipped_archives(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(OrderedDict(weight=torch.arange(4000.0)), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "damaged")
    flipped = bytearray(content)
    flipped[content.index(struct.pack("<f", 1000.0))] ^= 1
    path.write_bytes(flipped)
    refused(path, "checksum")


def test_compressed_archives_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(10**6)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name), compress_type=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 10**5
    refused(tmp_path / "bomb.pt", "compressed")


def test_the_same_part_twice(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model/data.pkl", pickle.dumps({}))
    refused(tmp_path / "model.pt", "twice")


def test_a_storage_shorter_than_declared(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "short.pt", "w") as short:
        for name in plain.namelist():
            short.writestr(name, plain.read(name)[:16] if name.endswith("data/0") else plain.read(name))
    refused(tmp_path / "short.pt", "cannot be read")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def endless():
    value = {}
    value["state_dict"] = value
    return value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"w": torch.zeros(1).expand(2**40)}, "stores fewer"),
        ({"w": torch.zeros(3, device="meta")}, "meta"),
        ({"w": torch.eye(3).to_sparse()}, "sparse"),
        ({"w": torch.tensor([1.0, float("nan")])}, "NaN"),
        ({"w": torch.tensor([1.0, float("inf")])}, "NaN"),
        ({"w": torch.tensor([1j])}, "complex"),
        ({"w": nested(50)}, "list"),
        ({"w": "text"}, "str"),
        ({3: torch.zeros(1)}, "parameter names"),
        ({"k" * 600: torch.zeros(1)}, "parameter names"),
        ([torch.zeros(1)], "mapping"),
        (torch.zeros(1), "mapping"),
        (endless(), "mapping"),
        ({"strange.weight": torch.zeros(1)}, "not known"),
        ({}, "not known"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_contents_that_are_no_weights(content, words, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", words)


@pytest.mark.filterwarnings("ignore")
def test_quantized_tensors(tmp_path):
    torch.save({"w": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "model.pt")


def test_deeply_nested_pickle(tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "plain.pt")
    deep = b"\x80\x02}X\x01\x00\x00\x00w" + b"]" * 200_000 + b"a" * 199_999 + b"s."
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "deep.pt", "w") as archive:
        for name in plain.namelist():
            archive.writestr(name, deep if name.endswith("data.pkl") else plain.read(name))
    refused(tmp_path / "deep.pt", "deep.pt")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_of_our_own_file_is_refused(small_file, data):
    content = bytearray(small_file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    damaged = small_file.with_name("damaged.safetensors")
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(damaged)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_truncation_of_our_own_file_is_refused(small_file, data):
    content = small_file.read_bytes()
    cut = small_file.with_name("cut.safetensors")
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError):
        load_checkpoint(cut)
    with pytest.raises(CheckpointError):
        read_header(cut)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_a_foreign_file_gives_a_sentence_or_nothing_else(tmp_path, data):
    stream = io.BytesIO()
    torch.save({"weight": torch.arange(10.0), "bias": torch.zeros(2)}, stream)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
