"""`napari-unet finalize`: the model to publish, from a project folder, with the same scores as in the window."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_unet.cli import console
from napari_unet.cli.training import run_training
from napari_unet.errors import TrainingError, UserError
from napari_unet.io.atomic import check_target, check_writable
from napari_unet.jobs import JobRunner
from napari_unet.session.final import KEY
from napari_unet.session.finalize_tasks import FinalRequest, finalize
from napari_unet.session.session import Session

TOLERANCE = 1e-3  # of a score, between two runs on one machine
SAME_WORK = ("start", "seed", "steps", "threads", "known_voxels")  # what has to agree for scores to be comparable


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.epilog = (
        "Trains from the starting checkpoint on everything known in the project, on the CPU, with a fixed seed, fixed "
        "steps and fixed threads, so that twice gives the same scores. Random regions that were set aside to measure "
        "accuracy never train. Exit code 1: the scores differ from those of the project's final model."
    )
    parser.add_argument("project", metavar="PROJECT", help="The folder of a project.")
    parser.add_argument(
        "--steps",
        type=int,
        help="Steps of training. Default: those of the project's final model, else by how much is known (300 to 1500).",
    )
    parser.add_argument("--threads", type=int, help="CPU threads. Default: those of the project's final model, else 1.")
    parser.add_argument("-o", "--output", metavar="FILE", help="Write the model, .safetensors; without, only scores.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the output.")


def run(arguments: argparse.Namespace) -> int:
    """Make the final model; returns 1 if its scores differ from those that the project recorded."""
    target = None if arguments.output is None else _target(arguments)
    session = Session(JobRunner("inline"))
    problems: list[str] = []
    session.events.message.connect(lambda level, text, _: problems.append(text) if level == "error" else None)
    try:
        session.open_project(arguments.project)
        if problems:
            raise UserError(problems[0], "Mend that in the panel, then run the command again.")
        recorded = session.final_version()
        before: dict[str, Any] = {} if recorded is None else recorded.header.provenance[KEY]
        steps = before.get("steps") if arguments.steps is None else arguments.steps
        threads = before.get("threads", 1) if arguments.threads is None else arguments.threads
        console.note(session.final_plan(steps, threads).sentence)
        with tempfile.TemporaryDirectory() as folder:
            path = str(target or Path(folder) / "final.safetensors")
            request = session.final_request(steps, threads, path)
            names = {image_id: image.source.name for image_id, image in session.images.items()}
            found = _train(replace(request, kept=None))
    finally:
        session.close()
    _show(found, names, before)
    code = _compare(found, before)
    if target is not None:
        console.say(f"Wrote {target}.")
    return code


def _target(arguments: argparse.Namespace) -> Path:
    target = Path(arguments.output)
    if target.suffix != ".safetensors":
        raise UserError(f"The output {target.name!r} is no .safetensors file.", "Give --output a name that ends so.")
    check_writable(check_target(target, overwrite=arguments.overwrite).parent)
    return target


def _train(request: FinalRequest) -> dict[str, Any]:
    """Make the model and return what it says about how it was made."""
    outcome = run_training(finalize, request, keeps_best=False)
    about = outcome.header.provenance[KEY]
    if not isinstance(about, dict):
        raise TrainingError("The final model does not say how it was made.")
    return about


def _show(found: dict[str, Any], names: dict[str, str], before: dict[str, Any]) -> None:
    """Print the score of every block held back, for the current, the final and the recorded final model."""
    blocks = found["blocks"]
    if not blocks:
        console.say("Too little is known to hold anything back, so there are no scores.")
        return
    recorded = {_place(block): block["score"] for block in before.get("blocks", ())}
    rows = []
    for block in blocks:
        place = [str(block["t"]), *(str(start) for start, _ in block["box"])]
        scores = [block["before"], block["score"], *([recorded.get(_place(block))] if recorded else [])]
        name = names.get(block["image"], block["image"])
        rows.append([name, *place, str(block["known"]), *(_number(score) for score in scores)])
    columns = ["image", "t", "z", "y", "x", "known voxels", "current model", "final model"]
    together = [found["agreement"]["before"], found["agreement"]["after"]]
    if recorded:
        columns.append("recorded")
        together.append(before["agreement"]["after"])
    rows.append(["together", "", "", "", "", "", *(_number(score) for score in together)])
    console.table("Agreement with the corrections held back (not accuracy)", columns, rows, last_row_apart=True)


def _compare(found: dict[str, Any], before: dict[str, Any]) -> int:
    """Say whether the scores are those that the project recorded; return the exit code."""
    if not before:
        console.say("The project has no final model to compare with.")
        return console.DONE
    differs = [name for name in SAME_WORK if found.get(name) != before.get(name)]
    if differs:
        what = ", ".join(f"{name.replace('_', ' ')} {before.get(name)} then, {found.get(name)} now" for name in differs)
        console.say(f"The project's final model was made from something else, so scores may differ: {what}.")
        return console.DONE
    recorded, now = _scores(before), _scores(found)
    largest = max((abs(score - recorded.get(place, 9.0)) for place, score in now.items()), default=0.0)
    if len(now) != len(recorded) or largest > TOLERANCE:
        versions = "" if found["torch"] == before["torch"] else f" (torch {before['torch']} then, {found['torch']} now)"
        console.error(f"The scores differ from those of the project's final model by up to {largest:.4f}{versions}.")
        return console.SOME_FAILED
    console.say(f"The scores are those of the project's final model (largest difference {largest:.1e}).")
    return console.DONE


def _place(block: dict[str, Any]) -> str:
    return f"{block['image']} {block['t']} {block['box']}"


def _scores(about: dict[str, Any]) -> dict[str, float]:
    """Return the score of every block and of all together."""
    scores = {_place(block): float(block["score"]) for block in about["blocks"]}
    together = about["agreement"]["after"]
    return scores if together is None else {**scores, "together": float(together)}


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"
