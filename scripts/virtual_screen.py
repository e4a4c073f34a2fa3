"""Run a command on a screen of its own: ``python scripts/virtual_screen.py pytest …``.

The window tests move a mouse and press keys, so on Linux they get an Xvfb screen and never the desktop of the
person who runs them. On Windows and macOS the command runs as it is.
"""

from __future__ import annotations

import os
import subprocess
import sys

SCREEN = "1600x1000x24"


def start_screen() -> tuple[subprocess.Popen[bytes], str]:
    """Start Xvfb and return it with the display that it chose, once it accepts windows."""
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", SCREEN, "-nolisten", "tcp", "+extension", "GLX"]
    screen = subprocess.Popen(command, pass_fds=[write_end], stderr=subprocess.DEVNULL)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        number = pipe.readline().strip()
    if not number:
        raise SystemExit(f"Xvfb stopped with exit code {screen.wait()} before it opened a display.")
    return screen, f":{number}"


def main(command: list[str]) -> int:
    """Run the command and return its exit code."""
    if sys.platform != "linux":
        return subprocess.run(command).returncode
    screen, display = start_screen()
    environment = {
        **os.environ,
        "DISPLAY": display,
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "QT_QPA_PLATFORM": "xcb",
    }
    environment.pop("WAYLAND_DISPLAY", None)
    try:
        return subprocess.run(command, env=environment).returncode
    finally:
        screen.terminate()
        screen.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
