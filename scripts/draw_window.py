"""Draw the pictures of the window in docs/images: the loop on the demo's generated image.

    python scripts/virtual_screen.py python scripts/draw_window.py docs/images

A scripted user corrects six windows of 128 × 128 pixels by the image's exact truth; everything else is clicked.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("NAPARI_UNET_HOME", tempfile.mkdtemp())

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer

from napari_unet.cli.demo_images import generated_nuclei
from napari_unet.cli.demo_user import choose_windows, correct
from napari_unet.viewer.widgets.panel import UNetPanel

WINDOW = (1366, 860)
ZOOM, CENTRE = 2.4, (0.0, 150.0, 200.0)
WINDOWS, SIDE = 6, 128


def wait(seconds: float) -> None:
    """Let Qt run for a while."""
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Let Qt run until something is true."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise SystemExit("It did not come true in time.")
        wait(0.05)


def main(arguments: list[str]) -> int:
    """Play the loop and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder

    demo = generated_nuclei(0)
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    limits = np.percentile(demo.source.data, [0.5, 99.5]).tolist()
    viewer.add_image(demo.source.data, name="nuclei", contrast_limits=limits)
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net")
    session = panel.session
    wait(1)
    viewer.scene.camera.zoom, viewer.scene.camera.center = ZOOM, CENTRE

    def picture(name: str) -> None:
        wait(1)
        viewer.screenshot(folder / f"{name}.png", canvas_only=False)

    panel.segment.button.click()
    wait_until(lambda: "segment" not in session.jobs)
    picture("segmented")

    result = panel.link.result()
    if result is None:
        raise SystemExit("Nothing was segmented.")
    viewer.layers.selection.active = result.layer
    (image_id,) = session.images
    correct(session, image_id, demo.truth, choose_windows(demo.truth.shape, WINDOWS, SIDE, seed=1))
    panel.link.show_known(True)
    picture("known")
    panel.link.show_known(False)

    panel.retrain.button.click()
    wait_until(lambda: len(session.curve.loss) > 60 or "train" not in session.jobs)
    picture("retraining")
    wait_until(lambda: not session.jobs)
    picture("retrained")
    panel.dispose()
    viewer.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
