"""How fast a network runs over an image: ours, MONAI's and nnU-Net's sliding windows, and one untiled pass.

    python benchmarks/inference.py --csv results.csv
    python benchmarks/inference.py --csv avx2.csv --avx2 --threads 1
    python benchmarks/inference.py --csv results.csv --table

The same weights, the same image, equal threads, in turns; each measurement in a process of its own, after a first run
on a small part. A row is written as soon as it is measured; what succeeded is skipped, so that the command may be
stopped and given again. Ratios are taken turn by turn, and their median is shown. MONAI (1.6) and nnU-Net are found if
the interpreter has them; what fails is shown as failed. On a busy machine the processor's seconds say more
than the wall's.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

FIELDS = ("task", "contender", "threads", "isa", "memory", "turn", "wall", "cpu", "peak_mb", "agreement", "failed")
NAMES = ("ours", "untiled", "monai", "monai-bfloat16", "nnunet")
EVERY = (*NAMES, "ours-float32", "untiled-float32", "openvino")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=("2d", "3d"), help="2d, 3d, 2d-small, 3d-small")
    parser.add_argument("--contenders", nargs="+", choices=EVERY, default=NAMES)
    parser.add_argument("-n", type=int, default=5, help="turns")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", type=float, default=4.0, help="budget of ours in GB")
    parser.add_argument("--avx2", action="store_true", help="as on a processor without AVX-512 and bfloat16")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("inference.csv"))
    parser.add_argument("--quick", action="store_true", help="tiny images and networks, once: whether it works")
    parser.add_argument("--table", action="store_true", help="print the table and measure nothing")
    return parser.parse_args(arguments)


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows that are there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add(path: Path, row: dict[str, object]) -> None:
    """Append a row."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def start(options: argparse.Namespace, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of `inference_parts` in a process of its own."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    if options.avx2:
        environment["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    line = [sys.executable, "-m", *command]
    return subprocess.run(line, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, check=False)


def measure(options: argparse.Namespace, task: str, contender: str, weights: Path, labels: Path) -> dict[str, object]:
    """Run one measurement."""
    settings = [str(options.threads), str(options.memory), str(weights), str(labels)]
    done = start(options, "inference_parts.one", task, contender, *settings)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"failed": f"ended with {done.returncode}: {done.stderr.strip()[-200:]}"}
    return dict(json.loads(lines[-1]))


def run(options: argparse.Namespace) -> None:
    """Measure what is not there yet, turn by turn."""
    import numpy as np

    isa = "AVX2" if options.avx2 else "all"
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.n):
            for task in options.tasks:
                reference = None
                for name in options.contenders:
                    told = {"task": task, "contender": name, "threads": options.threads, "isa": isa, "turn": turn}
                    told["memory"] = options.memory
                    done = [row for row in read(options.csv) if not row["failed"]]
                    if any(all(row[key] == str(value) for key, value in told.items()) for row in done):
                        continue
                    weights, labels = Path(folder) / f"{task}.pt", Path(folder) / f"{name}.npy"
                    if not weights.exists():
                        start(options, "inference_parts.training", task, str(weights)).check_returncode()
                    said = measure(options, task, name, weights, labels)
                    if "failed" not in said:
                        found = np.load(labels)
                        reference = found if reference is None else reference
                        said["agreement"] = float((found == reference).mean())
                    add(options.csv, {**told, **said})
                    print(task, name, turn, said, flush=True)


def table(rows: list[dict[str, str]]) -> str:
    """Return the table: medians, and ratios turn by turn against ours."""
    lines = []
    groups = sorted({(row["task"], row["isa"], row["threads"]) for row in rows})
    for task, isa, threads in groups:
        chosen = [row for row in rows if (row["task"], row["isa"], row["threads"]) == (task, isa, threads)]
        lines += [
            "",
            f"{task}, instructions: {isa}, threads: {threads}",
            "",
            "| | n | wall s | processor s | wall, : ours | processor, : ours | peak MB | labels as the first |",
            "|---|---|---|---|---|---|---|---|",
        ]
        own = {row["turn"]: row for row in chosen if row["contender"] == "ours" and not row["failed"]}
        for name in EVERY:
            good = [row for row in chosen if row["contender"] == name and not row["failed"]]
            bad = [row["failed"] for row in chosen if row["contender"] == name and row["failed"]]
            if not good:
                lines += [f"| {name} | 0 | failed: {bad[0]} | | | | | |"] if bad else []
                continue
            cells = [name, str(len(good))]
            cells += [f"{median(float(row[key]) for row in good):.2f}" for key in ("wall", "cpu")]
            for key in ("wall", "cpu"):
                ratios = [float(row[key]) / float(own[row["turn"]][key]) for row in good if row["turn"] in own]
                cells.append(f"{median(ratios):.2f}" if ratios else "")
            cells.append(f"{median(float(row['peak_mb']) for row in good):.0f}")
            cells.append(f"{min(float(row['agreement']) for row in good):.4%}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    options = parse(arguments)
    if options.quick:
        options.tasks, options.n = ("2d-quick", "3d-quick"), 1
    if not options.table:
        load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores{load}", flush=True)
        run(options)
    print(table(read(options.csv)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
