"""The memory benchmark on one small image: whether it runs, and stays within its budget."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[2] / "benchmarks" / "memory.py"


def test_the_memory_of_a_small_image_is_measured(tmp_path):
    spec = importlib.util.spec_from_file_location("memory_benchmark", FILE)
    memory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(memory)
    memory.make_image(tmp_path / "image.zarr", (1, 600, 700))
    found = memory.measure(tmp_path / "image.zarr", "nuclei-2d", tmp_path / "out", 0.25)
    assert found["code"] == 0
    assert 0 < found["peak"] - found["idle"] < 1.5e9
