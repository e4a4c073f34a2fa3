"""The files of a package, in a folder or a zip, read one by one and never unpacked. Free of torch."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import NoReturn

from napari_unet.errors import CheckpointError
from napari_unet.model.tensorfile import DAMAGED, MAX_FILE_BYTES
from napari_unet.model.zips import ZIP_ERRORS

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml", "rdf.yml", "bioimageio.yml", "model.yml")
YAML_SUFFIXES = (".yaml", ".yml")
MAX_MEMBERS = 10_000
MAX_RATIO = 200  # of a compressed member: arrays of one value shrink well, bombs shrink a thousandfold
MAX_NAME = 512

WHOLE = "Expected a package as bioimage.io offers it for download."


class Package:
    """The files of one package.

    Parameters
    ----------
    path : Path
        A zip, a folder, or the description inside a folder.

    Raises
    ------
    CheckpointError
        If it is no package, damaged, or tries to reach beyond itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._archive: zipfile.ZipFile | None = None
        if path.is_dir():
            self.description = self._in_folder(path)
            self._folder = path
        elif path.suffix.lower() in YAML_SUFFIXES:
            self.description, self._folder = path.name, path.parent
        else:
            self._archive = _checked_zip(path)
            self.description = _one_description(self._archive.namelist(), path.name)

    @property
    def label(self) -> str:
        """The description, for messages."""
        return f"{self.description} of {self.name}"

    def close(self) -> None:
        """Close the zip."""
        if self._archive is not None:
            self._archive.close()

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def has(self, source: object) -> bool:
        """Return whether a file is part of the package; one on the internet is not."""
        if not isinstance(source, str) or _is_remote(source):
            return False
        try:
            return self._found(source) is not None
        except CheckpointError:
            return False

    def read(self, source: str, most: int = MAX_FILE_BYTES) -> bytes:
        """Read a file of the package.

        Parameters
        ----------
        source : str
            Relative to the description.
        most : int
            Largest number of bytes expected.

        Raises
        ------
        CheckpointError
            If it lies outside the package or on the internet, is missing, too large or damaged.
        """
        if _is_remote(source):
            raise CheckpointError(
                f"{self.name} refers to {source:.200}, which is not part of it; nothing is downloaded.",
                "Download the package as one zip from bioimage.io.",
            )
        found = self._found(source)
        if found is None:
            raise CheckpointError(f"{self.name} lacks the file {source!r:.200}.", WHOLE)
        try:
            if self._archive is not None:
                return self._read_member(self._archive, str(found), most)
            return self._read_file(Path(found), most)
        except ZIP_ERRORS as error:
            raise CheckpointError(f"{source} of {self.name} cannot be read: {error}.", DAMAGED) from error

    def read_description(self, most: int) -> bytes:
        """Read the description."""
        return self.read(Path(self.description).name, most)

    def _found(self, source: str) -> str | Path | None:
        """Return the member or file of a name; None if it is not there."""
        name = _safe_name(source)
        if name is None:
            raise CheckpointError(f"{self.name} refers to {source!r:.200}, which lies outside it.", WHOLE)
        if self._archive is not None:
            member = str(PurePosixPath(self.description).parent / name)
            return member if member in self._archive.NameToInfo else None
        path = self._folder / name
        inside = os.path.realpath(path).startswith(os.path.realpath(self._folder) + os.sep)
        if path.exists() and not inside:
            raise CheckpointError(f"{self.name} refers to {source!r:.200}, which leads outside it.", WHOLE)
        return path if path.is_file() else None

    def _read_member(self, archive: zipfile.ZipFile, member: str, most: int) -> bytes:
        if archive.getinfo(member).file_size > most:
            self._too_large(member, most)
        with archive.open(member) as stream:
            content = stream.read(most + 1)
            if len(content) > most:
                self._too_large(member, most)
            return content + stream.read()  # to the end, where the checksum is compared

    def _read_file(self, path: Path, most: int) -> bytes:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path.name} is a device or a pipe, expected a file.", WHOLE)
        if status.st_size > most:
            self._too_large(path.name, most)
        return path.read_bytes()

    def _too_large(self, name: str, most: int) -> NoReturn:
        raise CheckpointError(f"{name} of {self.name} has more than {most} bytes.", WHOLE)

    @staticmethod
    def _in_folder(folder: Path) -> str:
        found = [name for name in DESCRIPTIONS if (folder / name).is_file()]
        if not found:
            # Example packages keep one description per version of the format.
            found = sorted(file.name for file in folder.glob("*.bioimageio.y*ml"))
        if not found:
            raise CheckpointError(
                f"{folder.name} holds no model that is known.", f"Looked for {', '.join(DESCRIPTIONS)}."
            )
        return found[-1] if found[0] not in DESCRIPTIONS else found[0]


def is_package(path: Path) -> bool:
    """Return whether a path looks like a bioimage.io package; nothing of it is trusted yet."""
    if path.is_dir():
        return any((path / name).is_file() for name in DESCRIPTIONS) or any(path.glob("*.bioimageio.y*ml"))
    if not path.is_file():
        return False
    if path.suffix.lower() in YAML_SUFFIXES:
        with path.open("rb") as stream:
            start = stream.read(2**16)
        return b"format_version" in start and (b"weights" in start or b"bioimageio" in path.name.encode().lower())
    try:
        with path.open("rb") as stream:
            if stream.read(4) != b"PK\x03\x04":
                return False
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] in DESCRIPTIONS for name in archive.namelist()[:MAX_MEMBERS])
    except ZIP_ERRORS:
        return False  # another reader says what it is, or what is wrong with it


def _checked_zip(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise CheckpointError(f"{path.name} is a damaged archive: {error}.", DAMAGED) from error
    problem = _archive_problem(archive.infolist())
    if problem:
        archive.close()
        raise CheckpointError(f"{path.name} was not opened: {problem}.", WHOLE)
    return archive


def _archive_problem(members: list[zipfile.ZipInfo]) -> str:
    """Return what makes an archive one that no honest program writes, or nothing."""
    if len(members) > MAX_MEMBERS:
        return f"it has {len(members)} parts"
    seen: set[str] = set()
    total = 0
    for member in members:
        name = member.orig_filename.rstrip("/")
        if _safe_name(name) is None or "\\" in name:
            return f"its part {name!r:.80} has a name that leads elsewhere"
        folded = name.casefold()
        if folded in seen:
            return f"its part {name!r:.80} occurs twice"
        seen.add(folded)
        if stat.S_ISLNK(member.external_attr >> 16):
            return f"its part {name!r:.80} is a link"
        if member.flag_bits & 1:
            return f"its part {name!r:.80} is encrypted"
        if member.file_size > 2**20 and member.file_size > MAX_RATIO * max(1, member.compress_size):
            return f"its part {name!r:.80} unpacks to {member.file_size // max(1, member.compress_size)} times its size"
        total += member.file_size
    return f"it unpacks to {total} bytes" if total > 2 * MAX_FILE_BYTES else ""


def _one_description(names: list[str], name: str) -> str:
    found = [member for member in names if PurePosixPath(member).name in DESCRIPTIONS]
    found.sort(key=lambda member: (member.count("/"), DESCRIPTIONS.index(PurePosixPath(member).name)))
    if not found:
        raise CheckpointError(f"{name} is no bioimage.io package: it has no rdf.yaml.", WHOLE)
    return found[0]


def _safe_name(source: str) -> str | None:
    """Return a relative name with plain slashes; None if it is absolute, leads upward or is no file name."""
    name = source.removeprefix("./").replace("\\", "/")
    parts = name.split("/")
    if not name or len(name) > MAX_NAME or any(ord(c) < 32 for c in name) or re.match(r"[A-Za-z]:", name):
        return None
    return None if any(part in ("", ".", "..") for part in parts) else name


def _is_remote(source: str) -> bool:
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", source))


def checked_hash(content: bytes, declared: str | None, name: str) -> str:
    """Return the SHA-256 of a file, compared with the one that the package declares.

    Raises
    ------
    CheckpointError
        If they differ.
    """
    found = hashlib.sha256(content).hexdigest()
    if declared is not None and declared.lower() != found:
        raise CheckpointError(
            f"{name} is not the file that its package describes: its SHA-256 is {found[:12]}…, "
            f"expected {declared[:12]}….",
            "Download the package again.",
        )
    return found
