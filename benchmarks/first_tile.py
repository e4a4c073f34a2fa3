"""How long after the click on Segment the first labels of the view are on screen.

Run it on a screen (``python scripts/virtual_screen.py python benchmarks/first_tile.py``). A viewer shows a generated
8192×8192 image from a Zarr file, zoomed to a view of 1024×1024 pixels. The panel is open with the built-in model, and
its worker process has imported torch. Each round is a program of its own: nothing is known of the image, its statistics
included, but for what the system keeps of the file in memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psutil
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
    parser.add_argument("--once", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.once:
        print(*measure(Path(options.once), options.view), flush=True)
        return 0
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_HOME"] = str(Path(home) / "work")
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        path = Path(home) / "image.zarr"
        write_image(path, options.size, options.levels)
        again = [sys.executable, __file__, "--once", str(path), "--view", str(options.view)]
        rounds = []
        for _ in range(options.rounds):
            said = subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout
            rounds.append(tuple(float(word) for word in said.split()[-3:]))
    names = ("first labels written", "on screen", "processor time of both processes until then")
    print(f"{date.today()}, {platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"image {options.size}×{options.size} uint16 in Zarr, {options.levels} level(s), view {options.view}×", end=""
    )
    print(f"{options.view}, model nuclei-2d, n={len(rounds)}")
    print()
    print("| seconds from the click | median | fastest | slowest |")
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


def measure(path: Path, view: int) -> tuple[float, float, float]:
    """Return the seconds from the click to the first labels in view and to the next picture, and the work of both.

    The work is the processor time of the window's process and of its worker: what a machine with nothing else
    to do needs at most, since the two run side by side.
    """
    import napari

    from napari_unet.image.boxes import overlap
    from napari_unet.viewer.reader import read
    from napari_unet.viewer.widgets.panel import UNetPanel

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 900)
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net")
    session, link = panel.session, panel.link
    ((data, arguments, _kind),) = read(path)
    layer = viewer.add_image(data, **arguments)
    camera, scale = viewer.scene.camera, float(layer.scale[-1])
    wait(1)
    camera.zoom = min(viewer.canvas.viewbox_size(viewer.layers)) / (view * scale)
    wait_until(lambda: bool(session._warm) and not session.runner.busy)
    wait(2)
    drawn: list[float] = []
    written: list[float] = []
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(lambda event: drawn.append(time.perf_counter()))

    def noted(image_id: str, t: int, box: Any) -> None:
        in_view = link.image.base_view()[1]
        if in_view is not None and overlap(box, in_view) is not None:
            written.append(time.perf_counter())

    session.events.labels_changed.connect(noted)
    session.events.pyramid_changed.connect(noted)
    worked, start = processor_seconds(), time.perf_counter()
    QTest.mouseClick(panel.segment.button, Qt.MouseButton.LeftButton)
    wait_until(lambda: bool(written))
    drawn.clear()
    wait_until(lambda: bool(drawn))
    found = written[0] - start, drawn[0] - start, processor_seconds() - worked
    session.cancel("segment")
    wait_until(lambda: "segment" not in session.jobs)
    panel.dispose()
    return found


def processor_seconds() -> float:
    """Return the processor time of this process and of its children."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


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
