"""The fuzz of model files, a few mutations of each format."""

from __future__ import annotations

import importlib.util
import queue
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_benchmark", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "kind",
    [
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
    ],
)
def test_damaged_files_are_opened_or_refused(fuzz, kind, monkeypatch):
    monkeypatch.setattr(fuzz.resource, "setrlimit", lambda *limits: None)  # this process goes on to other tests
    results = queue.Queue()
    fuzz.run(kind, 0, 25, results)
    said = [results.get() for _ in range(results.qsize())]
    assert [one["error"] for one in said if "error" in one] == []
    assert said[-1]["opened"] + said[-1]["refused"] == 25
    assert said[-1]["refused"] > 0
    assert not said[-1]["elsewhere"]
