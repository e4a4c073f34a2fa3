"""The table of results: one row per round in a CSV that grows; what is there is not run again."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import napari_unet
from interactive_parts.play import Row
from interactive_parts.task import Score

COLUMNS = (
    "task", "part", "protocol", "rule", "seed", "annotated_s", "score", "dice", "before", "candidate", "gain",
    "verdict", "forgetting_start", "forgetting", "steps", "known", "train_cpu_s", "train_wall_s", "round_s", "truth",
    "machine", "version", "commit", "date", "note",
)  # fmt: skip
Record = dict[str, str]


@dataclass(frozen=True)
class Run:
    """What makes one run: all its rounds follow one another."""

    task: str
    part: str
    protocol: str
    rule: str
    seed: int
    round_seconds: float

    @property
    def key(self) -> tuple[str, ...]:
        """The first columns of its rows, as they stand in the file."""
        return (self.task, self.part, self.protocol, self.rule, str(self.seed), f"{self.round_seconds:g}")


class Results:
    """A CSV of rounds.

    Parameters
    ----------
    path : Path
        The file; made when the first row comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                self.records = list(csv.DictReader(stream))

    def has(self, run: Run, budgets: Sequence[float]) -> bool:
        """Whether every round of a run is there."""
        there = {record["annotated_s"] for record in self.records if _key(record) == run.key}
        return {f"{budget:g}" for budget in budgets} <= there

    def forget(self, run: Run) -> None:
        """Drop the rows of a run that was broken off: its rounds follow one another and are run again."""
        kept = [record for record in self.records if _key(record) != run.key]
        if len(kept) < len(self.records):
            self.records = kept
            temporary = self.path.with_suffix(".new")
            _write(temporary, kept, "w")
            os.replace(temporary, self.path)

    def add(self, run: Run, row: Row) -> Record:
        """Append a row and flush it to the disk."""
        record = {
            **dict(zip(("task", "part", "protocol", "rule", "seed", "round_s"), run.key, strict=True)),
            "annotated_s": f"{row.annotated:g}",
            "score": _number(row.score.score),
            "dice": _number(row.score.dice),
            "before": _number(_of(row.before)),
            "candidate": _number(row.candidate.score),
            "gain": _number(None if row.before is None else row.candidate.score - row.before.score),
            "verdict": row.verdict,
            "forgetting_start": _number(row.at_start),
            "forgetting": _number(row.forgetting),
            "steps": str(row.steps),
            "known": str(row.known),
            "train_cpu_s": f"{row.spent.cpu:.1f}",
            "train_wall_s": f"{row.spent.wall:.1f}",
            "truth": row.truth,
            "machine": machine(),
            "version": napari_unet.__version__,
            "commit": commit(),
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "note": row.note,
        }
        self.records.append(record)
        _write(self.path, [record], "a")
        return record


def _write(path: Path, records: Iterable[Record], mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode, newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if stream.tell() == 0:
            writer.writeheader()
        writer.writerows(records)
        stream.flush()
        os.fsync(stream.fileno())


def _key(record: Record) -> tuple[str, ...]:
    return tuple(record[name] for name in ("task", "part", "protocol", "rule", "seed", "round_s"))


def _of(score: Score | None) -> float | None:
    return None if score is None else score.score


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def machine() -> str:
    """Return the processor and its number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    name = platform.processor() or platform.machine()
    if cpuinfo.exists():
        lines = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = lines[0] if lines else name
    return f"{name}, {os.cpu_count()} cores"


def commit() -> str:
    """Return the commit of the working tree, with a + where product or benchmark differ from it; empty outside git."""
    root = Path(__file__).parents[2]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "src", "benchmarks"], cwd=root, check=False)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.returncode else "")
