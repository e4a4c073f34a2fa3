"""The package as a whole: names, metadata, and what importing it does not do."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, metadata, requires

import pytest

import napari_unet


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


def test_neither_napari_nor_a_qt_binding_is_a_hard_requirement():
    hard = [line.lower() for line in requires("napari-unet-interactive") or () if "extra ==" not in line]
    assert hard
    assert not [line for line in hard if line.startswith(("napari", "pyqt5", "pyqt6", "pyside"))]
