"""One measurement: ``python -m inference_parts.one TASK CONTENDER THREADS MEMORY WEIGHTS LABELS``.

Prints one line of JSON: seconds on the wall and of the processor, peak memory above what the loaded program had,
or what failed.
"""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

STATUS = Path("/proc/self/status")


def kilobytes(name: str) -> int:
    """Return an entry of this process's status, 0 where the system does not tell."""
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE) if STATUS.exists() else None
    return int(found.group(1)) if found else 0


def main(task_name: str, contender: str, threads: str, memory: str, weights: str, labels: str) -> dict[str, object]:
    """Measure once, after a first run on a small part."""
    import torch

    from inference_parts.contenders import CONTENDERS, TASKS

    task = replace(TASKS[task_name], weights=Path(weights))
    torch.set_num_threads(int(threads))
    image = task.image()
    part = np.ascontiguousarray(image[tuple(slice(0, n) for n in task.roi)])
    CONTENDERS[contender](task, part, int(threads), float(memory))()
    run = CONTENDERS[contender](task, image, int(threads), float(memory))
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = kilobytes("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = kilobytes("VmHWM") - before
    np.save(labels, result.astype(np.uint8))
    return {"wall": wall, "cpu": cpu, "peak_mb": peak / 1000}


if __name__ == "__main__":
    try:
        said = main(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - a peer that fails is shown as failed
        said = {"failed": f"{type(error).__name__}: {error}"}
    print("\n" + json.dumps(said))
