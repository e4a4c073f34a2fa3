"""`napari-unet demo`: the whole loop on a generated and a real image, in napari or in the terminal."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli import console, outputs
from napari_unet.errors import UserError

if TYPE_CHECKING:
    from napari_unet.cli.demo_play import Played

MODEL = "nuclei-2d"
STEPS = 120
FOLDER = "napari-unet-demo"
SMALLEST = 64


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.epilog = "With a display and napari, the demo opens a window; otherwise it plays in the terminal."
    parser.add_argument("--headless", action="store_true", help="Play in the terminal even with a display.")
    parser.add_argument("-o", "--output", metavar="DIR", default=FOLDER, help=f"Where results go. Default: {FOLDER}.")
    parser.add_argument("--seed", type=int, default=0, help="Of image, corrections and training. Default: 0.")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"Training steps an image. Default: {STEPS}.")
    parser.add_argument("--size", type=int, default=512, help="Crop the images to this side, in pixels. Default: 512.")
    parser.add_argument("-m", "--model", default=MODEL, help=f"A model that finds objects. Default: {MODEL}.")


def run(arguments: argparse.Namespace) -> int:
    """Open the window, or play; returns the exit code."""
    if arguments.steps < 1 or arguments.seed < 0 or arguments.size < SMALLEST:
        raise UserError(
            f"The demo got {arguments.steps} steps, seed {arguments.seed} and size {arguments.size}; expected at least "
            f"1 step, a seed from 0 and a size from {SMALLEST}.",
            "Leave them out for the defaults.",
        )
    if not arguments.headless:
        from napari_unet.cli.demo_window import open_window, why_no_window

        reason = why_no_window()
        if not reason:
            open_window(arguments.seed, arguments.size, arguments.model)
            return console.DONE
        console.note(f"{reason} The demo plays in the terminal instead.")
    folder = outputs.ready_folder(arguments.output)
    return _headless(arguments, folder)


def _headless(arguments: argparse.Namespace, folder: Path) -> int:
    from napari_unet.cli.demo_images import demo_images
    from napari_unet.cli.demo_play import play
    from napari_unet.cli.overview import write_overview
    from napari_unet.session.tasks import predictor_for

    start = time.perf_counter()
    console.note("Loading torch and the model …")
    # The session uses the same one: the times that it prints do not include the loading.
    console.note(predictor_for(arguments.model, "auto", "auto").sentence)
    with tempfile.TemporaryDirectory() as work:
        played = [
            play(image, arguments.model, arguments.steps, arguments.seed, folder, Path(work))
            for image in demo_images(arguments.seed, arguments.size)
        ]
    write_overview(folder / "overview.png", played)
    _show(played)
    names = [f"{one.image.source.name}_labels.tif" for one in played]
    console.say(f"Wrote {', '.join(names)} and overview.png to {folder}. {time.perf_counter() - start:.0f} s in all.")
    return console.DONE


def _show(played: Sequence[Played]) -> None:
    """Print the scores, and what they are scores of."""
    rows = []
    for one in played:
        name, truth = one.image.source.name, "exact" if one.image.exact else "rough"
        part = f"{1 - one.known.mean():.0%}"
        for score, (before, after) in one.scores.items():
            rows.append([name, truth, score, f"{before:.3f}", f"{after:.3f}", part, str(one.objects)])
    console.say("")
    title = "Scores on the part that nobody corrected, before and after retraining"
    columns = ("image", "truth", "score", "before", "after", "part", "objects")
    console.table(title, columns, rows, texts=3)
    worse = [one.image.source.name for one in played if not one.better]
    if worse:
        console.note(f"Not every score rose: {', '.join(worse)}. More steps or other corrections may help.")
