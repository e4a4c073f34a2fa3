"""Files are complete or not there; every reason is a sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from napari_unet.errors import OutputError
from napari_unet.io.atomic import atomic_path, check_target


def write(path: Path, text: str = "new", **options: Any) -> None:
    with atomic_path(path, **options) as temporary:
        temporary.write_text(text)


def fail_halfway(path: Path, failure: BaseException) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text("half")
        raise failure


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "a.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_the_temporary_file_lies_beside_the_target_with_its_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.tif") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".tif"
        assert not (tmp_path / "a.tif").exists()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write(tmp_path / "a.txt")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", [RuntimeError("crash"), KeyboardInterrupt(), OutputError("no")])
def test_nothing_is_left_of_a_failure_and_the_old_file_stays(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(failure)):
        fail_halfway(target, failure)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "cannot be written"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "fault"),
    ],
)
def test_each_reason_is_told(tmp_path: Path, number: int, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=part) as caught:
        write(tmp_path / "a.txt")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_failing_check_prevents_the_rename(tmp_path: Path) -> None:
    def verify(written: Path) -> None:
        assert written.read_text() == "new"
        raise OutputError("differs")

    with pytest.raises(OutputError, match="differs"):
        write(tmp_path / "a.txt", verify=verify)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_needs_permission(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OutputError, match="already exists"):
        write(target)
    write(target, overwrite=True)
    assert target.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(OutputError, match="already exists"), atomic_path(target):
        target.write_text("from elsewhere")
    assert target.read_text() == "from elsewhere"


def test_the_input_is_never_replaced(tmp_path: Path) -> None:
    image, link, hard = tmp_path / "image.tif", tmp_path / "link.tif", tmp_path / "hard.tif"
    image.write_text("image")
    link.symlink_to(image)
    os.link(image, hard)
    for target in (image, link, hard, tmp_path / "x" / ".." / "image.tif"):
        with pytest.raises(OutputError, match="input itself"):
            check_target(target, overwrite=True, protected=[image])
    assert image.read_text() == "image"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write(tmp_path / "link.txt", overwrite=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_folders_and_names(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target, part in (
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "a.txt", "does not exist"),
        (tmp_path / "file" / "a.txt", "does not exist"),
        (tmp_path / ("ä" * 130 + ".txt"), "264 bytes"),
    ):
        with pytest.raises(OutputError, match=part):
            write(target)
    write(tmp_path / ("a" * 251 + ".txt"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "a.txt")
