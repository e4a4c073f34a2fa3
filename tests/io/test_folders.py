"""A folder is replaced by a finished one, or stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_unet.errors import OutputError
from napari_unet.io.folders import need_free, put_in_place


def folder(path: Path, text: str, name: str = "zarr.json") -> Path:
    path.mkdir(parents=True)
    (path / name).write_text(text)
    return path


def test_the_old_labels_stay_when_the_new_ones_cannot_be_put_in_place(tmp_path, monkeypatch):
    target, made = folder(tmp_path / "a_labels.zarr", "old"), folder(tmp_path / "partial" / "labels.zarr", "new")
    rename = Path.rename

    def refused(path, to):
        if path == made:
            raise PermissionError(13, "Permission denied")
        return rename(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refused)
        with pytest.raises(OutputError, match="cannot be put to .* Permission denied"):
            put_in_place(made, target, overwrite=True)
    assert (target / "zarr.json").read_text() == "old"
    put_in_place(made, target, overwrite=True)
    assert (target / "zarr.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir() if path != tmp_path / "partial"] == ["a_labels.zarr"]


@pytest.mark.parametrize("name", ["zarr.json", ".zgroup", ".zarray"])
def test_a_zarr_goes_only_if_that_was_said(tmp_path, name):
    target = folder(tmp_path / "a.zarr", "old", name)
    with pytest.raises(OutputError, match="exists already"):
        need_free(target, overwrite=False)
    need_free(target, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_zarr_never_goes(tmp_path, overwrite):
    target = folder(tmp_path / "a.zarr", "a thesis", "thesis.txt")
    file = tmp_path / "b.zarr"
    file.write_text("a file")
    for path in (target, file):
        with pytest.raises(OutputError, match="no Zarr folder"):
            put_in_place(folder(tmp_path / f"made-{path.stem}", "new"), path, overwrite)
    assert (target / "thesis.txt").read_text() == "a thesis" and file.read_text() == "a file"
