"""The figures that the table of results shows, as Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import mean, median

from interactive_parts.results import Record

OURS = "ours"
CLOSE = 0.01  # of the best counts as best
ADOPTED = ("adopt", "preliminary-kept")  # a first round of a new model has no parent to lose against
TOLERATED, INTOLERABLE = 0.01, 0.03  # losses of an adopted round on the untouched images

Cell = tuple[str, float]  # task and annotated seconds


def report(records: Sequence[Record]) -> str:
    """Return everything as Markdown, a section per protocol and part of the data."""
    lines: list[str] = []
    for part in _in_order(record["part"] for record in records):
        for protocol in _in_order(record["protocol"] for record in records):
            some = [r for r in records if r["part"] == part and r["protocol"] == protocol]
            if some:
                lines += [f"### {protocol}, {part} images", "", *scores(some), "", *summary(some), ""]
                lines += [*decisions(some), "", *forgetting(some), ""]
    return "\n".join(lines)


def scores(records: Sequence[Record]) -> Iterator[str]:
    """Yield the table of scores: median (lowest to highest) over seeds; the best of a row is bold."""
    rules = _in_order(record["rule"] for record in records)
    table = by_cell(records)
    yield "| task | annotated | seeds | " + " | ".join(rules) + " |"
    yield "|---|---|---|" + "---|" * len(rules)
    for (task, seconds), cell in table.items():
        best = max(median(values) for values in cell.values())
        texts = []
        for rule in rules:
            values = cell.get(rule)
            if not values:
                texts.append("–")
                continue
            middle = f"{median(values):.3f}"
            middle = f"**{middle}**" if median(values) >= best - 1e-9 else middle
            texts.append(f"{middle} ({min(values):.3f}–{max(values):.3f})" if len(values) > 1 else middle)
        n = max(len(values) for values in cell.values())
        yield f"| {task} | {seconds:g} s | {n} | " + " | ".join(texts) + " |"


def summary(records: Sequence[Record]) -> Iterator[str]:
    """Yield how often ours is best, and by how much it beats the best single baseline."""
    table = by_cell(records)
    budgets = sorted({seconds for _, seconds in table})
    for seconds in budgets:
        cells = {task: cell for (task, s), cell in table.items() if s == seconds and OURS in cell}
        others = _in_order(rule for cell in cells.values() for rule in cell if rule != OURS)
        common = [rule for rule in others if all(rule in cell for cell in cells.values())]
        if not cells or not common:
            continue
        ours = {task: median(cell[OURS]) for task, cell in cells.items()}
        near = [
            task for task, cell in cells.items()
            if ours[task] >= max(median(values) for values in cell.values()) - CLOSE
        ]  # fmt: skip
        means = {rule: mean(median(cell[rule]) for cell in cells.values()) for rule in common}
        best = max(means, key=lambda rule: means[rule])
        gain = mean(ours.values()) - means[best]
        yield (
            f"- {seconds:g} s: best or within {CLOSE} of the best on {len(near)} of {len(cells)} tasks; "
            f"{gain:+.3f} on average over the best single baseline ({best})."
        )


def decisions(records: Sequence[Record]) -> Iterator[str]:
    """Yield how ours decided: adopted rounds that lose, and rounds that would have gained and were adopted."""
    rounds = [r for r in records if r["rule"] == OURS and r["gain"] and r["verdict"] != "first"]
    if not rounds:
        return
    adopted = [r for r in rounds if r["verdict"] in ADOPTED]
    gains = [float(r["gain"]) for r in adopted]
    good = [r for r in rounds if float(r["gain"]) > 0]
    kept = [r for r in good if r["verdict"] in ADOPTED]
    worst = min(gains, default=0.0)
    lost = sum(g < -TOLERATED for g in gains)
    yield f"- Rounds with a parent: {len(rounds)}; adopted {len(adopted)} ({_percent(len(adopted), len(rounds))})."
    yield (
        f"- Adopted rounds that lose more than {TOLERATED} on untouched images: {lost} of {len(adopted)} "
        f"({_percent(lost, len(adopted))}); more than {INTOLERABLE}: {sum(g < -INTOLERABLE for g in gains)}; "
        f"the worst {worst:+.3f}."
    )
    yield f"- Rounds that gain there and were adopted: {len(kept)} of {len(good)} ({_percent(len(kept), len(good))})."
    verdicts = _in_order(r["verdict"] for r in rounds)
    yield "- Verdicts: " + ", ".join(f"{v} {sum(r['verdict'] == v for r in rounds)}" for v in verdicts) + "."


def forgetting(records: Sequence[Record]) -> Iterator[str]:
    """Yield the AP on the parent's images before and after, per task and rule, after the last round."""
    last = max((float(r["annotated_s"]) for r in records), default=0.0)
    rows: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for r in records:
        if r["forgetting"] and r["forgetting_start"] and float(r["annotated_s"]) == last:
            rows[r["task"], r["rule"]].append((float(r["forgetting_start"]), float(r["forgetting"])))
    if not rows:
        return
    yield f"AP at IoU 0.5 on the parent's own kind of images after {last:g} s:"
    yield ""
    yield "| task | rule | before | after, median | change, median (worst) |"
    yield "|---|---|---|---|---|"
    for (task, rule), pairs in rows.items():
        change = [after - before for before, after in pairs]
        yield (
            f"| {task} | {rule} | {median(b for b, _ in pairs):.3f} | {median(a for _, a in pairs):.3f} "
            f"| {median(change):+.3f} ({min(change):+.3f}) |"
        )


def by_cell(records: Sequence[Record]) -> dict[Cell, dict[str, list[float]]]:
    """Return the scores of each rule over seeds, per task and annotated seconds."""
    table: dict[Cell, dict[str, list[float]]] = {}
    for record in sorted(records, key=lambda r: float(r["annotated_s"])):
        cell = (record["task"], float(record["annotated_s"]))
        table.setdefault(cell, {}).setdefault(record["rule"], []).append(float(record["score"]))
    tasks = _in_order(record["task"] for record in records)
    return dict(sorted(table.items(), key=lambda item: (tasks.index(item[0][0]), item[0][1])))


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.0f} %" if total else "–"
