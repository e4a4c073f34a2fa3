"""How good a model gets for the seconds that a person annotates: a simulated annotator, and several rules.

    python benchmarks/interactive.py --tasks maize he --rules ours forest --csv results.csv
    python benchmarks/interactive.py --csv results.csv --table --plots DIR

A run is a task, a protocol, a rule and a seed; it goes on for three rounds of training, after 60, 180 and 600
annotated seconds. Each round is one row of the CSV, written at once. What is there is skipped, and a run that was
broken off starts again, so the command may be stopped and given again. See ``interactive_parts`` for what the
annotator does, what it costs, and what the rules are. Needs scikit-learn; plots need matplotlib.

The parents come from the recipes, without the data sets that the tasks ask about. They lie in ``benchmarks/parents``,
with the commands that made them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

# One thread everywhere: set before numpy and torch are loaded.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from interactive_parts.play import BUDGETS, ROUND_SECONDS, play  # noqa: E402
from interactive_parts.results import Results, Run  # noqa: E402
from interactive_parts.rules import RULES, RealRootPainter  # noqa: E402
from interactive_parts.tables import report  # noqa: E402
from interactive_parts.task import Task  # noqa: E402
from interactive_parts.tasks import PARENTS, TASKS, make_task  # noqa: E402

# The others are for experiments, take a program of their own, or ask what the start is worth.
COMPARED = ("ours", "forest", "rootpainter", "cellpose", "none")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS))
    parser.add_argument("--rules", nargs="+", choices=tuple(RULES), default=COMPARED)
    parser.add_argument("--protocols", nargs="+", choices=("replay", "closed"), default=("replay", "closed"))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS, help="annotated seconds of the rounds")
    parser.add_argument("--seconds", type=float, default=ROUND_SECONDS, help="of training at most, per round")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("interactive.csv"))
    parser.add_argument("--parents", type=Path, default=PARENTS, help="folder of the models that tasks start from")
    parser.add_argument("--trainer-python", type=Path, help="interpreter with root-painter-trainer 0.3.3")
    parser.add_argument("--trainer-cap", type=float, default=1800.0, help="seconds on the wall for its rounds")
    parser.add_argument("--trainer-patch", type=int, default=252, help="its patch in px, 572 - 16 k")
    parser.add_argument("--dev", action="store_true", help="inner split of the training images; test images unread")
    parser.add_argument("--table", action="store_true", help="print the tables and run nothing")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the plots and run nothing")
    return parser.parse_args(arguments)


def run_all(options: argparse.Namespace) -> int:
    """Run what is asked for and not there yet, seed by seed, so that every rule has a first figure early.

    A run that fails is told of on the error stream and is left to the next time. Returns how many failed.
    """
    failed = 0
    results = Results(options.csv)
    RealRootPainter.python = options.trainer_python
    RealRootPainter.cap, RealRootPainter.patch = options.trainer_cap, options.trainer_patch
    part = "dev" if options.dev else "test"
    for seed in options.seeds:
        for name in options.tasks:
            task = None
            for protocol in options.protocols:
                for rule_name in options.rules:
                    run = Run(name, part, protocol, rule_name, seed, options.seconds)
                    if results.has(run, options.budgets):
                        continue
                    task = task or make_task(name, options.parents, options.dev)
                    if not RULES[rule_name].suits(task):
                        continue
                    results.forget(run)
                    try:
                        run_one(run, task, results, options.budgets)
                    except Exception:  # noqa: BLE001 - hours of other runs must not wait for one that fails
                        failed += 1
                        print(f"{' '.join(run.key)} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    return failed


def run_one(run: Run, task: Task, results: Results, budgets: Sequence[float]) -> None:
    """Play one run and write its rows."""
    shown = (
        "task",
        "protocol",
        "rule",
        "seed",
        "annotated_s",
        "score",
        "gain",
        "verdict",
        "train_cpu_s",
        "train_wall_s",
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        rule = RULES[run.rule](task, run.seed, Path(folder))
        try:
            for row in play(rule, run.protocol, Path(folder), budgets, run.round_seconds):
                record = results.add(run, row)
                print("  ".join(record[name] for name in shown), flush=True)
        finally:
            rule.close()


def main(arguments: list[str] | None = None) -> int:
    """Print tables, draw plots, or run."""
    options = parse(arguments)
    if options.table or options.plots is not None:
        records = Results(options.csv).records
        if options.table:
            print(report(records))
        if options.plots is not None:
            from interactive_parts.plots import draw

            print(*draw(records, options.plots), sep="\n")
        return 0
    return 1 if run_all(options) else 0


if __name__ == "__main__":
    sys.exit(main())
