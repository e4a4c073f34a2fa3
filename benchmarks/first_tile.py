"""How long after the click on Segment the first labels of the view are on screen.

Run it on a screen (``python scripts/virtual_screen.py python benchmarks/first_tile.py``). A viewer shows a generated
8192×8192 image from a Zarr file, zoomed to a view of 1024×1024 pixels. The panel is open with the built-in model, and
its worker process has imported torch. Each round opens the file anew, as another image: nothing is known of it, its
statistics included, but for what the system keeps of the file in memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest

TILE = 1024
CHUNK = 512


def main(arguments: list[str]) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8192, help="edge of the image")
    parser.add_argument("--view", type=int, default=1024, help="edge of the view, in pixels of the image")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--levels", type=int, default=1, help="of the image; more than one makes it multiscale")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_HOME"] = str(Path(home) / "work")
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        path = Path(home) / "image.zarr"
        write_image(path, options.size, options.levels)
        rounds = measure(path, options.view, options.rounds)
    names = ("first labels written", "on screen")
    print(f"{date.today()}, {platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"image {options.size}×{options.size} uint16 in Zarr, {options.levels} level(s), view {options.view}×", end=""
    )
    print(f"{options.view}, model nuclei-2d, n={len(rounds)}")
    print()
    print("| seconds after the click | median | fastest | slowest |")
    print("|---|---|---|---|")
    for name, values in zip(names, zip(*rounds, strict=True), strict=True):
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    return 0


def write_image(path: Path, size: int, levels: int) -> None:
    """Write an OME-Zarr of generated nuclei, tile after tile with noise of its own."""
    import zarr

    from napari_unet.image.synthetic import nuclei_2d

    nuclei = nuclei_2d((TILE, TILE), seed=1)[0].astype(np.uint16)
    rng = np.random.default_rng(0)
    datasets: list[Any] = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [0.5 * 2.0**n] * 2}]}
        for n in range(levels)
    ]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    ome: Any = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes={"ome": ome})
    arrays = [
        group.create_array(str(n), shape=(size >> n, size >> n), chunks=(CHUNK, CHUNK), dtype=np.uint16)
        for n in range(levels)
    ]
    for y in range(0, size, TILE):
        for x in range(0, size, TILE):
            tile = nuclei + rng.integers(0, 20, nuclei.shape, np.uint16)
            for n, array in enumerate(arrays):
                step = 2**n
                part = tile[: size - y : step, : size - x : step]
                array[y // step : y // step + part.shape[0], x // step : x // step + part.shape[1]] = part


def measure(path: Path, view: int, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds from the click to the first labels in view, and to the next picture, of each round."""
    import napari

    from napari_unet.image.boxes import overlap
    from napari_unet.viewer.reader import read
    from napari_unet.viewer.widgets.panel import UNetPanel

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 900)
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net")
    session, link = panel.session, panel.link
    wait_until(lambda: bool(session._warm) and not session.runner.busy)
    wait(1)
    drawn: list[float] = []
    written: list[float] = []
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(lambda event: drawn.append(time.perf_counter()))

    def noted(image_id: str, t: int, box: Any) -> None:
        in_view = link.image.base_view()[1]
        if in_view is not None and overlap(box, in_view) is not None:
            written.append(time.perf_counter())

    session.events.labels_changed.connect(noted)
    session.events.pyramid_changed.connect(noted)
    found = []
    for _ in range(rounds):
        ((data, arguments, _kind),) = read(path)
        viewer.layers.clear()
        layer = viewer.add_image(data, **arguments)
        viewer.layers.selection.active = layer
        viewer.reset_view()
        scale = float(layer.scale[-1])
        viewer.scene.camera.zoom = min(viewer.canvas.viewbox_size(viewer.layers)) / (view * scale)
        wait(1)
        wait_until(lambda: not session.runner.busy)
        written.clear()
        start = time.perf_counter()
        QTest.mouseClick(panel.segment.button, Qt.MouseButton.LeftButton)
        wait_until(lambda: bool(written))
        drawn.clear()
        wait_until(lambda: bool(drawn))
        found.append((written[0] - start, drawn[0] - start))
        session.cancel("segment")
        wait_until(lambda: "segment" not in session.jobs)
    panel.dispose()
    viewer.close()
    return found


def wait(seconds: float) -> None:
    """Let Qt run for a while."""
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    """Let Qt run until something is true."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError("It did not come true in time.")
        wait(0.002)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
