"""What survives ``kill -9``: a process paints, saves or trains, is killed, and its project is opened again.

A child process drives a real `Session`, as the window does: strokes go into the labels array, ``deliver`` is called
every few milliseconds, training runs in a worker process. It prints a line with the time after each thing it did.
The parent kills it with SIGKILL at a seeded random moment, opens the project in a session of its own and looks for
everything that was printed. The two share one monotonic clock.

``python benchmarks/crash.py`` prints the table of docs/benchmarks.md.

- painting: strokes of 8 × 8 px as fast as they are taken, undo and redo, and long strokes of three seconds that are
  still under way when the process dies
- saving: predictions of 4096 × 4096 voxels and accepted views of a million voxels, with strokes in between
- training: a round in the worker process, with strokes in between; it must go on from where it was
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import tifffile

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, as_box
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.io.images import read_image
from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

CELL, SIDE = 12, 8  # px: strokes lie apart, so that none makes known what another one does
SIZES = {"painting": 1024, "saving": 4096, "training": 512}
LATEST = {"painting": 9.0, "saving": 14.0, "training": 12.0}  # seconds after the start at which it is killed
ALLOWED = 2.0  # seconds that may be lost
TRAIN_SECONDS = 30.0


# ---- the child -------------------------------------------------------------------------------


def say(what: str) -> None:
    """Print what has been done, and when."""
    print(f"{time.monotonic():.6f} {what}", flush=True)


def cell(number: int, size: int) -> Box:
    """Return where stroke `number` lies; the lower quarter is left to long strokes."""
    row, column = divmod(number, size // CELL)
    return as_box((0, row * CELL, column * CELL), (1, row * CELL + SIDE, column * CELL + SIDE))


class Hand:
    """Does what a user does, in one image of a session.

    Parameters
    ----------
    session : Session
        Its session.
    image_id : str
        The image.
    seed : int
        Of its choices.
    """

    def __init__(self, session: Session, image_id: str, seed: int) -> None:
        self.session, self.image_id, self.random = session, image_id, random.Random(seed)
        self.labels = session.ensure_labels(image_id)
        self.size = self.labels.truth.shape[2]
        self.strokes = self.long_strokes = 0

    def rest(self, seconds: float = 0.015) -> None:
        """Let the session work, as the timer of a window does."""
        self.session.deliver(0.006)
        time.sleep(seconds)

    def stroke(self) -> None:
        """Paint a new object in a place of its own."""
        number, self.strokes = self.strokes, self.strokes + 1
        box = cell(number, self.size)
        self.session.begin_stroke(self.image_id)
        self.labels.truth.labels[0][box] = number + 1
        self.session.end_stroke(self.image_id, 0, box, np.ones((1, SIDE, SIDE), bool))
        say(f"on stroke {number}")

    def waver(self) -> None:
        """Take the newest stroke back, and perhaps do it again."""
        number = self.strokes - 1
        if self.session.undo() is not None:
            say(f"off stroke {number}")
            self.rest()
            if self.random.random() < 0.5:
                self.session.redo()
                say(f"on stroke {number}")

    def long_stroke(self, seconds: float = 3.0) -> None:
        """Paint along a row for a while; the window asks about once a second to save what there is."""
        number, self.long_strokes = self.long_strokes, self.long_strokes + 1
        top = self.size * 3 // 4 + number * CELL
        truth, value = self.labels.truth, 1_000_000 + number
        self.session.begin_stroke(self.image_id)
        start = told = time.monotonic()
        first = done = 0
        while time.monotonic() - start < seconds and done < self.size // CELL:
            truth.labels[0][as_box((0, top, done * CELL), (1, top + SIDE, (done + 1) * CELL))] = value
            say(f"on piece {number} {done}")
            done += 1
            if time.monotonic() - told > 1.0:
                box = as_box((0, top, first * CELL), (1, top + SIDE, done * CELL))
                self.session.save_stroke_so_far(self.image_id, 0, box, None)
                first, told = done, time.monotonic()
            self.rest()
        box = as_box((0, top, 0), (1, top + SIDE, done * CELL))
        self.session.end_stroke(self.image_id, 0, box, None)

    def big_things(self, number: int) -> None:
        """Take a prediction of the whole image in, piece by piece, and accept a view of it."""
        truth, rng = self.labels.truth, np.random.default_rng(number)
        for row in range(0, self.size, 256):
            values = np.repeat(rng.integers(0, 9999, (1, 16, self.size // 16)), 16, 1).repeat(16, 2)
            truth.write_prediction(0, as_box((0, row, 0), (1, row + 256, self.size)), values)
            self.rest(0.002)
        top = self.size // 4 + (number % 8) * 64
        box = as_box((0, top, 0), (1, top + 256, self.size))
        self.session.accept_box(self.image_id, 0, box, confirmed=True)
        say(f"on accept {top}")


def child(scenario: str, folder: str, seed: int) -> None:
    """Work until killed."""
    session = Session(JobRunner("process"), WorkFolder.create(folder))
    session.keep_state_every = 1.0
    session.events.message.connect(lambda *message: say("message " + message[1].replace("\n", " ")))
    image_id = session.add_image(read_image(Path(folder) / "image.tif"))
    session.start_with("nuclei-2d")
    hand = Hand(session, image_id, seed)
    say(f"ready {session.project_path}")
    if scenario == "training":
        _, truth = nuclei_2d((SIZES[scenario],) * 2, seed=1)
        truth = np.where(truth > 0, truth.astype(np.uint32) + 2_000_000, 0)
        for y in range(SIZES[scenario] // 2, SIZES[scenario], 64):
            box, values = as_box((0, y, 0), (1, y + 64, 320)), truth[None, y : y + 64, :320]
            hand.labels.truth.paint(0, box, np.ones((1, 64, 320), bool), values)
    kept, number = False, 0
    while True:
        hand.stroke()
        hand.rest()
        if scenario == "painting" and hand.random.random() < 0.1:
            hand.waver()
        if scenario == "painting" and hand.random.random() < 0.02:
            hand.long_stroke()
        if scenario == "saving" and hand.strokes % 20 == 0:
            hand.big_things(number)
            number += 1
        if scenario == "training" and not session.jobs:  # also after a round that ended too early to be killed
            if session.round is not None:
                session.discard()
            session.retrain(TRAIN_SECONDS)
        running = "train" in session.jobs
        here = running and session.project_path is not None and (session.project_path / "training/round.json").exists()
        if here != kept:
            kept = here
            say("on round" if kept else "off round")


# ---- the parent ------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What was found after one kill.

    Parameters
    ----------
    scenario : str
        What was going on.
    opened : bool
        The project opened, without a complaint.
    done : int
        Things done before the kill.
    lost : float
        Age of the oldest thing that was lost, seconds; 0 if nothing was.
    resumed : bool or None
        The interrupted round went on to its end; None if none was under way.
    problems : list of str
        What was wrong.
    """

    scenario: str
    opened: bool = False
    done: int = 0
    lost: float = 0.0
    resumed: bool | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost that should not be."""
        return self.opened and self.lost <= ALLOWED and self.resumed is not False


def kill_one(scenario: str, seed: int, after: float | None = None) -> Outcome:
    """Let a child work, kill it, and look at what is left.

    Parameters
    ----------
    scenario : {"painting", "saving", "training"}
        What it does.
    seed : int
        Of its choices, and of the moment.
    after : float, optional
        Seconds after its start at which it is killed; random when omitted.
    """
    moment = random.Random(seed).uniform(0.2, LATEST[scenario]) if after is None else after
    with tempfile.TemporaryDirectory() as folder:
        image, _ = nuclei_2d((SIZES[scenario],) * 2 if scenario != "saving" else (512, 512), seed=1)
        repeats = SIZES[scenario] // image.shape[0]
        tifffile.imwrite(Path(folder) / "image.tif", np.tile(image, (repeats, repeats)))
        command = [sys.executable, __file__, "--child", scenario, folder, str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ready = process.stdout.readline().split(maxsplit=2)
            if len(ready) < 3:
                return Outcome(scenario, problems=["the child did not start"])
            lines: list[str] = []
            if scenario == "training" and seed % 4:  # three in four times while the round has a state to go on from
                lines += until(process.stdout, "on round")
            time.sleep(moment)
            killed = time.monotonic()
            alive = process.poll() is None
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        said = [line.split(maxsplit=2) for line in lines if line.endswith("\n")]
        outcome = look(scenario, Path(ready[2].strip()), said, killed)
        if not alive:
            outcome.opened, outcome.problems = False, ["the child ended by itself"]
        return outcome


def until(stream: IO[str], what: str) -> list[str]:
    """Read lines up to one that tells of something."""
    lines = []
    for line in stream:
        lines.append(line)
        if line.rstrip().endswith(what):
            break
    return lines


def look(scenario: str, path: Path, said: list[list[str]], killed: float) -> Outcome:
    """Open what a killed process left and compare it with what it said."""
    outcome = Outcome(scenario, done=sum(what == "on" for _, what, *_ in said))
    session = Session(JobRunner("inline"))
    session.events.message.connect(lambda *m: outcome.problems.append(m[1]) if m[0] == "error" else None)
    try:
        session.open_project(path)
    except UserError as error:
        outcome.problems.append(str(error))
        return outcome
    outcome.opened = not outcome.problems
    for thing, times in timeline(said).items():
        # Any state is right that it had from two seconds before the kill on; without a limit, the last one is.
        if thing != "round" and times[-1][1] != is_there(session, thing):
            outcome.lost = max(outcome.lost, killed - times[-1][0])
    rounds = timeline(said).get("round", [(0.0, False)])
    if rounds[-1][1]:
        outcome.resumed = resumes(session, outcome)
    session.close()
    return outcome


def timeline(said: list[list[str]]) -> dict[str, list[tuple[float, bool]]]:
    """Return for each thing when it was done and taken back."""
    times: dict[str, list[tuple[float, bool]]] = {}
    for when, what, *thing in said:
        if what in ("on", "off"):
            times.setdefault(thing[0].strip(), []).append((float(when), what == "on"))
    return times


def is_there(session: Session, thing: str) -> bool:
    """Tell whether a stroke, a piece of a stroke or an accepted view is in the project."""
    labels = next((state for image in session.images.values() for state in image.labels.values()), None)
    if labels is None:
        return False
    truth, (kind, *numbers) = labels.truth, thing.split()
    first = int(numbers[0])
    if kind == "accept":
        return bool(truth.known[0, 0, first : first + 256].all())
    size = truth.shape[2]
    box, value = cell(first, size), first + 1
    if kind == "piece":
        top, done = size * 3 // 4 + first * CELL, int(numbers[1])
        box, value = as_box((0, top, done * CELL), (1, top + SIDE, (done + 1) * CELL)), 1_000_000 + first
    return bool(truth.known[0][box].all() and (truth.labels[0][box] == value).all())


def resumes(session: Session, outcome: Outcome) -> bool:
    """Go on with the interrupted round, to its end."""
    try:
        session.resume_training()
    except UserError as error:
        outcome.problems.append(str(error))
        return False
    return session.last_round is not None


def moments(kills: int, seed: int, first: int = 0) -> Iterator[tuple[str, int]]:
    """Yield what is going on and the seed of each kill."""
    for number in range(first, kills):
        yield tuple(SIZES)[number % len(SIZES)], seed * 1000 + number


def main() -> None:
    """Kill, look, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="go on with this kill after an interruption")
    parser.add_argument("--only", choices=list(SIZES), action="append", help="leave the other kills out")
    parser.add_argument("--child", nargs=3, metavar=("SCENARIO", "FOLDER", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], int(options.child[2]))
    os.environ["NAPARI_UNET_HOME"] = tempfile.mkdtemp()
    outcomes = []
    for scenario, seed in moments(options.kills, options.seed, options.first):
        if options.only and scenario not in options.only:
            continue
        outcome = kill_one(scenario, seed)
        outcomes.append(outcome)
        mark = "ok" if outcome.good else "LOST"
        print(
            f"{scenario:9} {outcome.done:5} done, lost {outcome.lost * 1000:5.0f} ms {outcome.resumed} {mark}", end=" "
        )
        print(*outcome.problems, sep="; ", file=sys.stdout, flush=True)
    print("\n| while | kills | opened | done before, median | lost: median, worst | training resumed |")
    print("|---|---|---|---|---|---|")
    for scenario in SIZES:
        mine = [outcome for outcome in outcomes if outcome.scenario == scenario]
        if mine:
            lost = [outcome.lost * 1000 for outcome in mine]
            rounds = [outcome.resumed for outcome in mine if outcome.resumed is not None]
            resumed = f"{sum(rounds)} of {len(rounds)}" if rounds else ""
            done = statistics.median(outcome.done for outcome in mine)
            print(
                f"| {scenario} | {len(mine)} | {sum(o.opened for o in mine)} | {done:.0f} | "
                f"{statistics.median(lost):.0f} ms, {max(lost):.0f} ms | {resumed} |"
            )
    sys.exit(not all(outcome.good for outcome in outcomes))


if __name__ == "__main__":
    main()
