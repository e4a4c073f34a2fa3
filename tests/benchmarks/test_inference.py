"""The benchmark of inference runs, goes on where it was stopped, and shows failures."""

from __future__ import annotations

import csv
import importlib


def test_a_quick_run_is_resumed_and_failures_are_shown(tmp_path, capsys):
    inference = importlib.import_module("inference")
    path = tmp_path / "results.csv"
    chosen = ["--contenders", "ours", "untiled", "--threads", "1", "--csv", str(path)]
    assert inference.main(["--quick", *chosen]) == 0
    rows = inference.read(path)
    assert [(row["task"], row["contender"]) for row in rows] == [
        (task, name) for task in ("2d-quick", "3d-quick") for name in ("ours", "untiled")
    ]
    assert all(not row["failed"] and float(row["agreement"]) > 0.98 for row in rows)
    assert inference.main(["--quick", *chosen]) == 0
    assert inference.read(path) == rows, "nothing is measured twice"
    with path.open("a", newline="") as file:
        broken = {**rows[0], "contender": "nnunet", "failed": "RuntimeError: no"}
        csv.DictWriter(file, inference.FIELDS).writerow(broken)
    capsys.readouterr()
    inference.main(["--table", "--csv", str(path)])
    printed = capsys.readouterr().out
    assert "| nnunet | 0 | failed: RuntimeError: no |" in printed
    assert "| ours | 1 |" in printed
