"""The simulated annotator on generated images: every rule plays, and what is there is not run again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d, nuclei_3d

BUDGETS = (6.0, 15.0)


def example(seed, truth=None, shape=(96, 96), make=nuclei_2d):
    from interactive_parts.task import Example

    image, labels = make(shape, seed)
    labels = labels if truth is None else truth(labels)
    source = ImageSource.from_array(image, axes="ZYX"[3 - image.ndim :], name=f"image-{seed}")
    return Example(source, labels.reshape((1,) * (3 - image.ndim) + image.shape).astype(np.int32))


def task_of(kind):
    from interactive_parts.task import Task

    if kind == "instances":
        return Task(
            "nuclei", "instances", 2, ("background", "nucleus"), "nuclei-2d", (example(0), example(1)), (example(2),)
        )
    if kind == "3d":
        parts = [example(seed, lambda labels: labels > 0, (12, 64, 64), nuclei_3d) for seed in (0, 1)]
        return Task("volume", "classes", 3, ("background", "nucleus"), None, (parts[0],), (parts[1],))
    parts = [example(seed, lambda labels: labels > 0) for seed in (0, 1)]
    return Task("cells", "classes", 2, ("background", "cell"), None, (parts[0],), (parts[1],))


def rule_of(name, task, folder, seed=0):
    from interactive_parts.rules import RULES

    if name == "forest":
        pytest.importorskip("sklearn")
    return RULES[name](task, seed, folder)


@pytest.mark.parametrize("kind", ["classes", "instances", "3d"])
def test_same_seed_does_the_same_and_never_exceeds_its_time(kind):
    from interactive_parts.play import record

    task = task_of(kind)
    first, second = (record.__wrapped__(task, 3, 30.0) for _ in range(2))
    assert [d.seconds for d in first] == [d.seconds for d in second]
    assert all(np.array_equal(a.edit.after.labels, b.edit.after.labels) for a, b in zip(first, second, strict=True))
    assert len(first) >= 2
    assert all(a.seconds < b.seconds for a, b in pairwise(first))
    assert first[-1].seconds <= 30.0


def test_an_image_with_nothing_left_to_do_costs_no_more_than_opening_the_next(monkeypatch):
    from interactive_parts.annotator import Annotator

    annotator, opened = Annotator(task_of("instances"), 0), []
    monkeypatch.setattr(annotator._hand, "act", lambda *told: None)
    annotator.work_until(2.5 * annotator.costs.image, None, opened.append)
    assert len(opened) == 4
    assert set(opened[:2]) == {0, 1}
    assert annotator.clock == pytest.approx(3 * annotator.costs.image)


def test_what_covers_much_else_is_drawn_over_before_it_is_deleted(monkeypatch):
    from interactive_parts.annotator import Annotator

    truth = np.zeros((64, 64), np.int64)
    truth[10:20, 10:20], truth[10:20, 20:30] = 1, 2
    hand = Annotator(task_of("instances"), 0)._hand
    nothing_known = type("Untouched", (), {"known": lambda self, index: np.zeros((1, 64, 64), bool)})()
    view = (slice(0, 1), slice(0, 64), slice(0, 64))

    def fixes(shown):
        monkeypatch.setattr(hand, "_seen", lambda *told: (truth, shown))
        return sorted((fix.kind, fix.places) for fix in hand._fixes(nothing_known, 0, view))

    assert fixes(np.ones_like(truth)) == [("draw", ((1, 0),)), ("draw", ((2, 0),))]
    drawn = np.where(truth, truth + 1, 1)
    assert fixes(drawn) == [("accept", ((1, 2),)), ("accept", ((2, 3),)), ("delete", ((0, 1),))]
    assert {kind for kind, _ in fixes((truth > 0).astype(np.int64))} == {"split"}


def test_strokes_say_what_the_truth_says(tmp_path):
    from interactive_parts.play import record
    from interactive_parts.work import Work

    task = task_of("classes")
    work = Work(task, 0, tmp_path)
    work.detach()
    work.replay(record(task, 0, 40.0))
    (known,) = work.snapshot()
    truth = task.train[0].truth
    assert set(np.unique(known.labels[known.known])) == {0, 1}
    assert np.mean(known.labels[known.known] == truth[known.known]) > 0.97
    work.close()


@pytest.mark.parametrize("name", ["ours", "forest", "rootpainter", "cellpose", "none", "plain"])
def test_every_rule_plays_and_a_replay_gives_all_the_same_truth(name, tmp_path):
    from interactive_parts.play import play, record
    from interactive_parts.work import Work

    task = task_of("classes")
    rows = list(play(rule_of(name, task, tmp_path), "replay", tmp_path, BUDGETS, seconds=1.0))
    assert [row.annotated for row in rows] == list(BUDGETS)
    assert all(0 <= row.score.score <= 1 for row in rows)
    assert rows[-1].score.score > 0.2 or name in ("none", "cellpose")  # the dense rule fails with strokes
    work = Work(task, 0, tmp_path)
    work.detach()
    work.replay(record(task, 0, BUDGETS[-1]))
    assert rows[-1].truth == work.fingerprint()
    work.close()


@pytest.mark.parametrize("name", ["ours", "forest", "rootpainter"])
def test_closed_loop_of_objects(name, tmp_path):
    from interactive_parts.play import play

    task = task_of("instances")
    task = replace(task, forget=task.test)
    (row,) = play(rule_of(name, task, tmp_path), "closed", tmp_path, (20.0,), seconds=1.0)
    assert row.before is not None
    if name == "forest":
        assert row.at_start is None, "a forest is made anew and has nothing to forget"
    else:
        assert row.at_start == pytest.approx(row.before.score)
    assert row.known > 0
    assert row.score.score in (row.before.score, row.candidate.score)


def test_what_is_there_is_skipped_and_a_broken_run_starts_again(tmp_path, monkeypatch, capsys):
    import interactive
    from interactive_parts.results import Results

    task = task_of("classes")
    monkeypatch.setattr(interactive, "make_task", lambda *args: task)
    arguments = ["--tasks", "maize", "--rules", "none", "--protocols", "replay", "--seeds", "0", "1"]
    arguments += ["--budgets", "6", "15", "--csv", str(tmp_path / "rows.csv")]
    assert interactive.main(arguments) == 0
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert len(lines) == 1 + 4
    assert interactive.main(arguments) == 0
    assert (tmp_path / "rows.csv").read_text().splitlines() == lines
    (tmp_path / "rows.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert interactive.main(arguments) == 0
    again = Results(tmp_path / "rows.csv").records
    assert [(r["seed"], r["annotated_s"]) for r in again] == [("0", "6"), ("0", "15"), ("1", "6"), ("1", "15")]
    capsys.readouterr()
    assert interactive.main([*arguments, "--table"]) == 0
    assert "| maize | 15 s | 2 |" in capsys.readouterr().out


def test_a_run_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    import interactive
    from interactive_parts.rules import RULES

    def fail(self, work, seconds):
        raise RuntimeError("no luck")

    task = task_of("classes")
    monkeypatch.setattr(interactive, "make_task", lambda *args: task)
    monkeypatch.setattr(RULES["plain"], "round", fail)
    arguments = ["--tasks", "maize", "--rules", "plain", "none", "--protocols", "replay", "--seeds", "0"]
    assert interactive.main([*arguments, "--budgets", "6", "--csv", str(tmp_path / "rows.csv")]) == 1
    assert "no luck" in capsys.readouterr().err
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 2


def test_tables_count_adopted_losses(tmp_path):
    from interactive_parts.tables import decisions, summary

    row = {"task": "a", "annotated_s": "180", "rule": "ours", "score": "0.7", "gain": "", "verdict": "first"}
    rows = [
        row,
        {**row, "gain": "-0.02", "verdict": "adopt"},
        {**row, "gain": "0.10", "verdict": "preliminary-kept"},
        {**row, "gain": "0.05", "verdict": "keep"},
        {**row, "rule": "forest", "score": "0.6"},
        {**row, "rule": "none", "score": "0.2"},
    ]
    text = "\n".join(decisions(rows))
    assert "adopted 2 (67 %)" in text
    assert "more than 0.01 on untouched images: 1 of 2" in text
    assert "were adopted: 1 of 2 (50 %)" in text
    assert "+0.100 on average over the best single baseline (forest)" in "\n".join(summary(rows))


def test_plots_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from interactive_parts.plots import draw

    row = {"task": "a", "part": "test", "protocol": "replay", "rule": "ours", "seed": "0", "train_cpu_s": "60"}
    rows = [{**row, "annotated_s": s, "score": v} for s, v in (("60", "0.5"), ("180", "0.6"))]
    (path,) = draw(rows, tmp_path)
    assert path.stat().st_size > 1000


def test_ours_starts_from_strokes_as_the_product_does(tmp_path):
    from interactive_parts.play import general_parent_is
    from interactive_parts.work import Work
    from napari_unet.learning.quick import FIRST_LOOK, GENERAL, full_sized
    from napari_unet.model.checkpoint import load_checkpoint

    with general_parent_is("nuclei-2d"), closing(Work(task_of("classes"), 0, tmp_path)) as work:
        first = load_checkpoint(work.session.need_model().path)
        assert first.header.provenance[FIRST_LOOK]
        assert full_sized(first).header.provenance[GENERAL] == "nuclei-2d"
    assert full_sized(first).header.provenance.get(GENERAL) != "nuclei-2d", "the product is as it was"


def test_membranes_are_three_pixels_wide():
    from interactive_parts.tasks import boundaries

    cells = np.ones((9, 12), int)
    cells[:, 6:] = 2
    assert np.flatnonzero(boundaries(cells)[4]).tolist() == [4, 5, 6]
