"""The benchmark of kill -9, once for painting and once for saving; training takes it too long."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crash.py"


@pytest.fixture(scope="module")
def crash():
    spec = importlib.util.spec_from_file_location("crash_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["crash_benchmark"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["crash_benchmark"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("scenario", ["painting", "saving"])
def test_nothing_older_than_two_seconds_is_lost(crash, scenario, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path))
    outcome = crash.kill_one(scenario, seed=0, after=2.5)
    assert outcome.problems == []
    assert outcome.opened
    assert outcome.done > 0
    assert outcome.lost <= crash.ALLOWED
