from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from napari_unet.errors import CheckpointError
from napari_unet.model.packages.archive import Package, checked_hash, is_package

RDF = "format_version: 0.5.4\ntype: model\nweights: {}\n"


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_files_of_a_zip_and_of_a_folder(tmp_path):
    package = zipped(tmp_path / "a.zip", {"model/rdf.yaml": RDF.encode(), "model/weights.pt": b"12345"})
    assert is_package(package)
    with Package(package) as opened:
        assert opened.description == "model/rdf.yaml"
        assert opened.read("weights.pt") == opened.read("./weights.pt") == b"12345"
        assert not opened.has("other.pt")
        with pytest.raises(CheckpointError, match="more than 4 bytes"):
            opened.read("weights.pt", 4)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "bioimageio.yaml").write_text(RDF)
    (folder / "weights.pt").write_bytes(b"12345")
    for path in (folder, folder / "bioimageio.yaml"):
        assert is_package(path)
        with Package(path) as opened:
            assert opened.read("weights.pt") == b"12345"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "C:\\x", "a\\..\\b", "a\nb", "a//b"])
def test_archives_that_lead_elsewhere_are_refused_as_a_whole(tmp_path, name):
    package = zipped(tmp_path / "a.zip", {"rdf.yaml": RDF.encode(), name: b"x"})
    with pytest.raises(CheckpointError, match="leads elsewhere"):
        Package(package)


def test_links_cases_bombs_and_crowds(tmp_path):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr("rdf.yaml", RDF)
        link = zipfile.ZipInfo("weights.pt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(CheckpointError, match="is a link"):
        Package(tmp_path / "link.zip")
    package = zipped(tmp_path / "case.zip", {"rdf.yaml": RDF.encode(), "RDF.yaml": b"x"})
    with pytest.raises(CheckpointError, match="occurs twice"):
        Package(package)
    package = zipped(tmp_path / "bomb.zip", {"rdf.yaml": RDF.encode(), "weights.pt": bytes(30_000_000)})
    with pytest.raises(CheckpointError, match="times its size"):
        Package(package)
    package = zipped(tmp_path / "many.zip", {"rdf.yaml": RDF.encode(), **{f"{n}": b"" for n in range(10_001)}})
    with pytest.raises(CheckpointError, match="parts"):
        Package(package)


@pytest.mark.parametrize("source", ["../secret", "/etc/passwd", "C:/x", "a/../../secret"])
def test_sources_outside_are_refused(tmp_path, source):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "rdf.yaml").write_text(RDF)
    with Package(folder) as package, pytest.raises(CheckpointError):
        package.read(source)
    with Package(folder) as package:
        assert not package.has(source)


@pytest.mark.parametrize("source", ["http://example.com/w.pt", "https://example.com/w.pt", "file:///etc/passwd"])
def test_nothing_is_downloaded(tmp_path, source):
    (tmp_path / "rdf.yaml").write_text(RDF)
    with Package(tmp_path) as package:
        assert not package.has(source)
        with pytest.raises(CheckpointError, match="nothing is downloaded"):
            package.read(source)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_out_of_a_folder_are_not_followed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "rdf.yaml").write_text(RDF)
    (folder / "weights.pt").symlink_to(tmp_path / "secret")
    with Package(folder) as package, pytest.raises(CheckpointError, match="outside"):
        package.read("weights.pt")


def test_a_flipped_byte_is_found(tmp_path):
    package = zipped(tmp_path / "a.zip", {"rdf.yaml": RDF.encode(), "weights.pt": b"A" * 1000}, zipfile.ZIP_STORED)
    content = bytearray(package.read_bytes())
    content[content.index(b"A" * 1000) + 500] ^= 1
    package.write_bytes(content)
    with Package(package) as opened, pytest.raises(CheckpointError, match="cannot be read"):
        opened.read("weights.pt")
    assert checked_hash(b"x", None, "x") == checked_hash(b"x", checked_hash(b"x", None, "x"), "x")
    with pytest.raises(CheckpointError, match="not the file"):
        checked_hash(b"x", "0" * 64, "weights.pt")
