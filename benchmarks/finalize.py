"""Whether the model to publish is the same twice, and without a window.

Run it as ``python benchmarks/finalize.py``. A session with worker processes, as the panel uses it: two generated images
whose truth is known train a round of 60 s from ``nuclei-2d``, then *Finalize* runs twice with its usual steps. At last
``napari-unet finalize`` runs on the project folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import tifffile

from napari_unet.image.synthetic import nuclei_2d
from napari_unet.io.images import read_image
from napari_unet.jobs import Job, JobRunner
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.header import CheckpointHeader
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session
from napari_unet.session.final import KEY


def taught(folder: Path) -> Session:
    """Return a session on two image files with their truth, whose model was retrained."""
    session = Session(JobRunner("process"), WorkFolder.create(folder / "projects"))
    for seed in (0, 1):
        image, truth = nuclei_2d((256, 384), seed=seed)
        file = folder / f"field{seed}.tif"
        tifffile.imwrite(file, image)
        image_id = session.add_image(read_image(file))
        if session.model is None:
            session.start_with("nuclei-2d")
        session.import_labels(image_id, truth, "YX", as_truth=True)
    finish(session, session.retrain(60.0))
    return session


def finish(session: Session, job: Job | None) -> None:
    """Wait for a round, and keep what it offers."""
    if job is not None:
        session.runner.wait(job, 3600)
    if session.round is not None:
        session.keep()


def finalized(session: Session) -> CheckpointHeader:
    """Return what the final model says of itself."""
    finish(session, session.finalize())
    version = session.final_version()
    if version is None:
        raise SystemExit("There is no final model.")
    return version.header


def scores(header: CheckpointHeader) -> list[float]:
    """Return the score of each block held back."""
    return [block["score"] for block in header.provenance[KEY]["blocks"]]


def main(arguments: list[str]) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        session = taught(folder)
        runs = {title: finalized(session) for title in ("in the session", "again")}
        project = session.project_path
        session.close()
        target = folder / "headless.safetensors"
        command = [sys.executable, "-m", "napari_unet.cli", "finalize", str(project), "--output", str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        runs["from the project folder"] = load_checkpoint(target).header
    first = scores(runs["in the session"])
    print("| finalized | steps | blocks | agreement | largest difference of a score | weights |")
    print("|---|---|---|---|---|---|")
    for title, header in runs.items():
        found, about = scores(header), header.provenance[KEY]
        apart = max(abs(a - b) for a, b in zip(first, found, strict=True))
        print(
            f"| {title} | {about['steps']} | {len(found)} | {about['agreement']['after']:.4f} "
            f"| {apart:.1e} | {header.weights_hash[:8]} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
