"""The fuzz of model files, a few mutations of each format."""

from __future__ import annotations

import importlib
import importlib.util
import queue

import pytest

KINDS = (
    "our .safetensors",
    "plain .safetensors",
    "torch.save",
    "pickle in torch.save",
    "YAML beside",
    "JSON beside",
    "bioimage.io package",
    "its description",
    "TorchScript",
    "code in TorchScript",
    "ONNX",
)
NO_ONNX = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra onnx is not installed",
)


@pytest.fixture
def fuzz():
    return importlib.import_module("fuzz")


def test_all_formats_are_listed(fuzz):
    assert tuple(fuzz.FORMATS) == KINDS


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=NO_ONNX) if kind == "ONNX" else kind for kind in KINDS])
def test_damaged_files_are_opened_or_refused(fuzz, kind):
    results = queue.Queue()
    fuzz.run(kind, 0, 25, results)
    said = [results.get() for _ in range(results.qsize())]
    assert [one["error"] for one in said if "error" in one] == []
    outcomes = [one["outcome"] for one in said if "outcome" in one]
    assert len(outcomes) == 25 and "refused" in outcomes
    assert said[-1]["elsewhere"] == []


def test_a_child_goes_on_and_its_memory_is_bounded(fuzz, monkeypatch):
    monkeypatch.setattr(fuzz, "ROUND", 3)
    found = fuzz.Found(done=4)
    fuzz.go_on("our .safetensors", found, 9, 6 * 2**30)
    assert (found.done, found.opened + found.refused, found.failed) == (7, 3, False)
    assert found.peak > 0
    fuzz.go_on("our .safetensors", found, 9, 2**20)  # too little to start: counted, not waited for
    assert found.crashes == [7]
