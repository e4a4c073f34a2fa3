"""See that the system libraries that Qt and a virtual screen need are there, before the tests start.

Qt's wheels bring Qt but not the X11, OpenGL and font libraries under it, and a bare Debian has none of them.
Only what is missing is named or installed: as root on Debian and its children the script installs it, elsewhere
it prints the command that does and exits with 1. On Windows and macOS there is nothing to do.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

# What is loaded or started → the Debian package that brings it.
LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLX_mesa.so.0": "libglx-mesa0",
    "libOpenGL.so.0": "libopengl0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
PROGRAMS = {"Xvfb": "xvfb"}


def loads(library: str) -> bool:
    """Say whether the dynamic loader finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing() -> dict[str, str]:
    """Return what is missing: library or program → Debian package."""
    libraries = {name: package for name, package in LIBRARIES.items() if not loads(name)}
    programs = {name: package for name, package in PROGRAMS.items() if shutil.which(name) is None}
    return libraries | programs


def install(packages: list[str]) -> None:
    """Install Debian packages without asking and without what they merely recommend."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *command], check=True, env=environment, stdout=subprocess.DEVNULL)


def main() -> int:
    """Return 0 when everything is there, at once or after installing it."""
    if sys.platform != "linux":
        return 0
    absent = missing()
    if not absent:
        return 0
    packages = sorted(set(absent.values()))
    print("Missing for tests with a real window:", ", ".join(absent), flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing:", " ".join(packages), flush=True)
        install(packages)
        absent = missing()
        if not absent:
            return 0
        print("Installed, and still missing:", ", ".join(absent), file=sys.stderr)
        return 1
    print("Install them and run the tests again. On Debian and Ubuntu:", file=sys.stderr)
    print(f"  sudo apt-get install --no-install-recommends {' '.join(packages)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
