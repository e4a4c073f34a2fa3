"""Hostile and broken model files, each through the command line: one line that names the file, exit code 2, no trace.

What is refused and why is tested where it is decided, in ``tests/model``; here each kind is seen as its user sees it.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig
from napari_unet.model.families import milesial
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.tensorfile import HEADER_HASH_KEY, HEADER_KEY, hash_text

RDF = "format_version: 0.5.3\ntype: model\nname: x\nweights: {}\n"


class Payload:
    """Unpickled, it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def weights():
    config = UNetConfig(features=(4, 8))
    return dict(milesial.pack(Checkpoint.from_config(config, default_classes(2), name="x")))


def saved(folder, content, **options):
    torch.save(content, folder / "model.pt", **options)
    return folder / "model.pt"


def raw(folder, content, name="model.pt"):
    (folder / name).write_bytes(content)
    return folder / name


def packed(folder, members, mode=zipfile.ZIP_STORED):
    with zipfile.ZipFile(folder / "model.zip", "w", mode) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return folder / "model.zip"


def repacked(folder, change, mode=zipfile.ZIP_STORED):
    """Write a checkpoint and pack it again with changed parts."""
    stream = io.BytesIO()
    torch.save(weights(), stream)
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(folder / "model.pt", "w", mode) as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
    return folder / "model.pt"


def flipped(folder):
    path = saved(folder, {"w": torch.arange(4000.0)})
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<f", 1000.0))] ^= 1
    return raw(folder, content)


def scripted(folder):
    torch.jit.save(torch.jit.trace(nn.Conv2d(1, 1, 3, padding=1), torch.zeros(1, 1, 8, 8)), folder / "model.pt")
    return folder / "model.pt"


def linked(folder):
    link = zipfile.ZipInfo("weights.pt")
    link.external_attr = 0o120777 << 16
    return packed(folder, [("rdf.yaml", RDF), (link, "/etc/passwd")])


def described(folder, **changes):
    """Write a package whose weights are a state dict; its description is changed."""
    space = [{"type": "space", "id": letter, "size": {"min": 16, "step": 16}} for letter in "yx"]
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["a"]}, *space]
    torch.save(weights(), folder / "weights.pt")
    values = {
        "format_version": "0.5.3",
        "type": "model",
        "name": "x",
        "inputs": [{"id": "raw", "axes": axes}],
        "outputs": [{"id": "out", "axes": axes}],
        "weights": {"pytorch_state_dict": {"source": "weights.pt", "architecture": {"callable": "net"}}},
    }
    for key, value in changes.items():
        values["weights"]["pytorch_state_dict"][key] = value
    (folder / "rdf.yaml").write_text(yaml.safe_dump(values))
    return folder / "rdf.yaml"


def with_code(folder):
    (folder / "net.py").write_text(f"import os\nos.mkdir({str(folder / 'ran')!r})\n")
    path = described(folder, architecture={"source": "net.py", "callable": "net", "kwargs": {}})
    torch.save({"odd.weight": torch.zeros(3)}, folder / "weights.pt")
    return path


def deep_pickle(folder):
    deep = b"\x80\x02}X\x01\x00\x00\x00w" + b"]" * 200_000 + b"a" * 199_999 + b"s."
    return repacked(folder, lambda name, part: deep if name.endswith("data.pkl") else part)


def endless():
    value = {}
    value["state_dict"] = value
    return value


def config(folder, **changes):
    """Write one of our own files whose header promises another network."""
    path = Checkpoint.from_config(UNetConfig(features=(4, 8)), default_classes(2), name="x").save(folder / "m")
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ours = json.loads(header["__metadata__"][HEADER_KEY])
    ours["config"].update(changes)
    header["__metadata__"] = {HEADER_KEY: json.dumps(ours), HEADER_HASH_KEY: hash_text(json.dumps(ours))}
    text = json.dumps(header).encode()
    path.unlink()
    return raw(folder, struct.pack("<Q", len(text)) + text + content[8 + length :], "model.safetensors")


def groups(folder):
    torch.save({"model_state_dict": ResidualUNet(2, 1, 2, [4, 8], "gcr", 4).state_dict()}, folder / "model.pytorch")
    (folder / "config_train.yml").write_text("model: {num_groups: 1000000000}")
    return folder / "model.pytorch"


def bombed(folder):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return raw(folder, (RDF + "\n".join(lines)).encode(), "rdf.yaml")


def huge_header(folder):
    return raw(folder, struct.pack("<Q", 2**62) + b"{}", "model.safetensors")


def overlapping(folder):
    save_file({"a": torch.zeros(4)}, folder / "model.safetensors")
    text = (
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}'
    )
    return raw(folder, struct.pack("<Q", len(text)) + text + bytes(24), "model.safetensors")


def odd(**changes):
    return {**weights(), **changes}


KINDS = {
    "1 code in a zip": lambda f: saved(f, {"w": Payload(f / "ran")}),
    "2 code in an old pickle": lambda f: saved(f, {"w": Payload(f / "ran")}, _use_new_zipfile_serialization=False),
    "3 raw pickle": lambda f: raw(f, pickle.dumps({"w": Payload(f / "ran")}), "model.pth"),
    "4 whole module": lambda f: saved(f, nn.Sequential(nn.Conv2d(1, 1, 3))),
    "5 TorchScript": scripted,
    "6 pt2": lambda f: packed(f, [("program/archive_format", "pt2")]).rename(f / "model.pt2"),
    "7 objects": lambda f: saved(f, {"state_dict": weights(), "when": dt.datetime(2020, 1, 1)}),
    "8 empty": lambda f: raw(f, b""),
    "8 cut off": lambda f: raw(f, saved(f, weights()).read_bytes()[:5000]),
    "8 web page": lambda f: raw(f, b"<!DOCTYPE html><html>404</html>"),
    "9 flipped bit": flipped,
    "10 short storage": lambda f: repacked(f, lambda name, part: part[:16] if name.endswith("data/0") else part),
    "11 expanded": lambda f: saved(f, {"w": torch.zeros(1).expand(2**40)}),
    "12 meta": lambda f: saved(f, {"w": torch.zeros(3, device="meta")}),
    "13 sparse": lambda f: saved(f, {"w": torch.eye(3).to_sparse()}),
    "14 compressed": lambda f: repacked(f, lambda name, part: part, zipfile.ZIP_DEFLATED),
    "15 nested": deep_pickle,
    "15 in itself": lambda f: saved(f, endless()),
    "16 numbers for names": lambda f: saved(f, {3: torch.zeros(1)}),
    "16 list": lambda f: saved(f, [torch.zeros(1)]),
    "17 NaN": lambda f: saved(f, odd(**{"outc.conv.bias": torch.tensor([np.nan, 0.0])})),
    "18 wrong shape": lambda f: saved(f, odd(**{"outc.conv.bias": torch.zeros(7)})),
    "18 too much": lambda f: saved(f, odd(extra=torch.zeros(7))),
    "18 missing": lambda f: saved(f, {name: value for name, value in weights().items() if name != "outc.conv.bias"}),
    "19 channels": lambda f: config(f, features=[10**9, 10**9]),
    "19 depth": lambda f: config(f, features=[4] * 60),
    "19 groups": groups,
    "21 header": huge_header,
    "21 overlap": overlapping,
    "22 elsewhere": lambda f: packed(f, [("rdf.yaml", RDF), ("../out", b"x")]),
    "22 absolute": lambda f: packed(f, [("rdf.yaml", RDF), ("/etc/out", b"x")]),
    "22 drive": lambda f: packed(f, [("rdf.yaml", RDF), ("C:\\out", b"x")]),
    "22 link": linked,
    "22 same name": lambda f: packed(f, [("rdf.yaml", RDF), ("RDF.yaml", RDF)]),
    "22 bomb": lambda f: packed(f, [("rdf.yaml", RDF), ("w", bytes(3 * 10**7))], zipfile.ZIP_DEFLATED),
    "22 crowd": lambda f: packed(f, [("rdf.yaml", RDF), *((str(n), b"") for n in range(10_001))]),
    "23 outside": lambda f: described(f, source="../../secret"),
    "23 url": lambda f: described(f, source="https://example.com/weights.pt"),
    "24 code": with_code,
    "25 bomb": bombed,
    "25 tag": lambda f: raw(f, (RDF + "a: !!python/object/apply:os.system ['true']").encode(), "rdf.yaml"),
    "25 deep": lambda f: raw(f, (RDF + "a: " + "[" * 5000).encode(), "rdf.yaml"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_in_one_line(call, kind, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    path = KINDS[kind](folder)
    before = sorted(tmp_path.rglob("*"))
    said = call("inspect", path)
    assert said.code == 2, said
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert path.name in said.err
    assert "Traceback" not in said.err and "weights_only=False" not in said.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_folders_do_not_block(call, tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder").mkdir()
    for name in ("pipe.pt", "folder"):
        said = call("inspect", tmp_path / name)
        assert said.code == 2 and name in said.err


def test_nothing_of_them_is_left_out():
    """The rows 20 and 33 are about running and showing: tests/inference and tests/viewer."""
    assert {int(kind.split()[0]) for kind in KINDS} == {*range(1, 20), *range(21, 26)}
