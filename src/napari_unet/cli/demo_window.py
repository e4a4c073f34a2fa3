"""The demo in napari: two images, the panel, and Segment one click away."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

PLUGIN, PANEL = "napari-unet-interactive", "U-Net"
INVISIBLE = ("offscreen", "minimal", "minimalegl", "vnc")
PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"
PATIENCE = 30.0  # seconds for a window system to answer


def why_no_window() -> str:
    """Return why no window can be opened, as a sentence; nothing if one can.

    Qt ends the process when its libraries or the display are missing, so another process tries first.
    """
    if find_spec("napari") is None:
        return "napari is not installed (pip install 'napari-unet-interactive[all]')."
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no display."
    if os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0] in INVISIBLE:
        return f"Qt draws nowhere: QT_QPA_PLATFORM is {os.environ['QT_QPA_PLATFORM']}."
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return "The display does not answer."
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    why = lines[-1].rstrip(".") if lines else f"it ended with code {done.returncode}"
    return f"Qt cannot open a window: {why}."


def open_window(seed: int, size: int, model: str) -> None:
    """Show the demo's images in napari with the panel open; returns when the window is closed.

    Parameters
    ----------
    seed : int
        Of the generated image.
    size : int
        Side of the images in pixels.
    model : str
        Built-in name or checkpoint file to begin with.
    """
    import napari
    import numpy as np
    from qtpy.QtCore import QTimer

    from napari_unet.cli.demo_images import demo_images
    from napari_unet.viewer.lookup import session_of

    viewer = napari.Viewer(title="napari-unet demo")
    images = demo_images(seed, size)
    for image in reversed(images):  # the generated one last, on top and selected: the model knows its kind
        source = image.source
        # Without a scale: the pixel size of the tissue is unknown, and napari shows one unit at a time.
        limits = None if source.rgb else np.percentile(source.data, [0.5, 99.5]).tolist()
        shown = {"rgb": source.rgb, "contrast_limits": limits, "visible": image is images[0]}
        viewer.add_image(source.data, name=source.name, **shown)
    session_of(viewer).start_with(model)
    viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    QTimer.singleShot(0, viewer.reset_view)  # the panel has taken room
    napari.run()
