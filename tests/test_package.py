"""The package as a whole: names, metadata, and what importing it does not do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import entry_points, metadata, requires
from pathlib import Path

import pytest

import napari_unet

IMPORT_NAMES = {"scikit-image": "skimage", "pillow": "PIL", "pyyaml": "yaml"}
# napari's plugin manager installs no extras, so what the panel may need comes along.
FOR_THE_PANEL = {"magicgui", "psygnal", "pyqtgraph", "qtpy", "superqt"}
FOR_TIFFFILE = {"imagecodecs"}  # it decodes what tifffile reads


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_almost_nothing():
    assert loaded_after("import napari_unet") & {"torch", "numpy", "napari", "qtpy"} == set()


@pytest.mark.parametrize("module", ["napari_unet.session.core", "napari_unet.cli"])
def test_importing_what_starts_first_loads_neither_torch_nor_napari(module):
    assert loaded_after(f"import {module}") & {"torch", "napari", "qtpy"} == set()


def test_public_names_come_on_first_use():
    for name in napari_unet.__all__:
        assert getattr(napari_unet, name) is not None
    assert set(napari_unet.__all__) <= set(dir(napari_unet))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = napari_unet.no_such_name


def test_metadata_names_the_distribution_the_command_and_the_manifest():
    package = metadata("napari-unet-interactive")
    assert package["Version"] == napari_unet.__version__
    assert package["License-Expression"] == "BSD-3-Clause"
    (command,) = entry_points(group="console_scripts", name="napari-unet")
    assert command.value == "napari_unet.cli:main"
    (manifest,) = entry_points(group="napari.manifest", name="napari-unet-interactive")
    assert manifest.value == "napari_unet:napari.yaml"


def hard_requirements() -> set[str]:
    """Return the import names of what is installed together with the package."""
    lines = [line for line in requires("napari-unet-interactive") or () if "extra ==" not in line]
    names = {re.match(r"[\w-]+", line).group().lower() for line in lines}
    return {IMPORT_NAMES.get(name, name) for name in names}


def imported() -> dict[str, set[str]]:
    """Return which top-level packages are imported where: package → folders or modules of ours."""
    root = Path(napari_unet.__file__).parent
    found: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        room = path.relative_to(root).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for name in {module.partition(".")[0] for module in modules}:
                if name not in sys.stdlib_module_names and name != "napari_unet":
                    found.setdefault(name, set()).add(room)
    return found


def test_what_is_imported_is_required_and_the_other_way_round():
    rooms = imported()
    assert rooms.pop("napari") <= {"viewer", "cli"}
    assert rooms.pop("dask") <= {"viewer"}  # napari requires it
    assert hard_requirements() - FOR_THE_PANEL - FOR_TIFFFILE == set(rooms) - FOR_THE_PANEL
    assert hard_requirements() >= FOR_THE_PANEL


def test_neither_napari_nor_a_qt_binding_is_a_hard_requirement():
    assert hard_requirements() & {"napari", "pyqt5", "pyqt6", "pyside2", "pyside6"} == set()
