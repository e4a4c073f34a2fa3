from __future__ import annotations

import subprocess
import sys

import pytest

import napari_unet
from napari_unet.cli.options import parameter_texts
from napari_unet.cli.parser import COMMANDS, build_parser
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.learning.settings import TrainSettings


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["train", "--help"]])
def test_help_does_not_import_torch_nor_napari(arguments):
    code = f"""
import sys
from napari_unet.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end
loaded = {{name.partition('.')[0] for name in sys.modules}}
assert not loaded & {{'torch', 'napari', 'qtpy'}}, loaded & {{'torch', 'napari', 'qtpy'}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: napari-unet" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["--version"])
    assert end.value.code == 0
    assert napari_unet.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        build_parser([command]).parse_args([command, "--help"])
    assert end.value.code == 0
    assert "None" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["segment"],
        ["segment", "a.tif", "--model", "m"],
        ["evaluate", "--labels", "x"],
        ["train", "-o"],
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(call, arguments):
    said = call(*arguments)
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1
    assert "--help" in said.err
    assert "Traceback" not in said.err


def test_bad_settings_are_told_before_anything_is_loaded(call, tmp_path):
    said = call("segment", tmp_path, "--model", "none", "--output", tmp_path / "out", "--threshold", "2")
    assert said.code == 2
    assert "'threshold' is 2.0" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [ObjectSettings, TrainSettings])
def test_every_setting_has_a_text(kind):
    texts = parameter_texts(kind)
    assert set(kind.__dataclass_fields__) <= set(texts)
    assert all(text.endswith(".") for text in texts.values())
