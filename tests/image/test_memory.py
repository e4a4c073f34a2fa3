"""Memory that was freed goes back to the system."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_unet.image import memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(memory._trim() is None, reason="the allocator is not glibc's")
def test_gaps_between_what_is_in_use_are_given_back() -> None:
    arrays = [np.ones(8_000) for _ in range(3000)]  # 192 MB
    kept = arrays[::20]
    del arrays
    before = resident()
    memory.give_back()
    assert before - resident() > 100 * 10**6
    assert all(array.all() for array in kept)


def test_other_systems_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory._trim.cache_clear()
    assert memory._trim() is None
    memory.give_back()
    memory._trim.cache_clear()
