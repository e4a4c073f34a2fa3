"""Plots of the results: score against annotated seconds, and against the seconds a person waits as well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from interactive_parts.results import Record


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw one picture per part of the data and protocol, a row of two axes per task; needs matplotlib.

    Left, the score against annotated seconds; right, against annotated seconds and the seconds of training so far on
    one thread. Lines are medians over seeds, bands the lowest and highest.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for part, protocol in sorted({(r["part"], r["protocol"]) for r in records}):
        some = [r for r in records if (r["part"], r["protocol"]) == (part, protocol)]
        tasks = list(dict.fromkeys(r["task"] for r in some))
        figure, rows = plt.subplots(len(tasks), 2, figsize=(10, 3 * len(tasks)), squeeze=False)
        for axes, task in zip(rows, tasks, strict=True):
            for rule in dict.fromkeys(r["rule"] for r in some):
                _line(axes, [r for r in some if r["task"] == task and r["rule"] == rule], rule)
            axes[0].set(title=task, xlabel="annotated seconds", ylabel="score on untouched images", xscale="log")
            axes[1].set(title=task, xlabel="annotated seconds and training", xscale="log")
        rows[0][0].legend(fontsize="small")
        figure.tight_layout()
        path = folder / f"interactive-{protocol}-{part}.png"
        figure.savefig(path, dpi=110)
        plt.close(figure)
        drawn.append(path)
    return drawn


def _line(axes, records: Sequence[Record], rule: str) -> None:  # type: ignore[no-untyped-def]
    scores: dict[float, list[float]] = defaultdict(list)
    waits: dict[float, list[float]] = defaultdict(list)
    waited: dict[str, float] = defaultdict(float)
    for record in sorted(records, key=lambda r: float(r["annotated_s"])):
        seconds = float(record["annotated_s"])
        waited[record["seed"]] += float(record["train_cpu_s"])
        scores[seconds].append(float(record["score"]))
        waits[seconds].append(seconds + waited[record["seed"]])
    middle = [median(values) for values in scores.values()]
    low, high = ([end(values) for values in scores.values()] for end in (min, max))
    for axis, x in zip(axes, (list(scores), [median(v) for v in waits.values()]), strict=True):
        (line,) = axis.plot(x, middle, marker="o", label=rule)
        axis.fill_between(x, low, high, alpha=0.12, color=line.get_color())
