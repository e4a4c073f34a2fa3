"""The benchmark of opening, with a small network and without a worker process."""

from __future__ import annotations

import importlib

import pytest

from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.jobs import JobRunner
from napari_unet.model import consent


@pytest.fixture
def opening(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())
    return importlib.import_module("opening")


@pytest.fixture
def image():
    return ImageSource.from_array(nuclei_2d((64, 64), seed=0)[0], axes="YX", name="nuclei")


def test_what_is_asked_is_answered_and_timed(opening, image, tmp_path):
    timed = opening.measured(opening.milesial_file(tmp_path, (4, 8)), image, JobRunner("inline"), 0)
    assert timed.asked == "normalization, classes"
    assert 0 < timed.opened < timed.first <= timed.complete


def test_our_own_file_asks_nothing(opening, image, tmp_path):
    timed = opening.measured(opening.own_file(tmp_path), image, JobRunner("inline"), 0)
    assert timed.asked == "" and timed.first > timed.opened


@pytest.mark.shared_data
def test_the_package_of_the_zoo_asks_nothing(opening, image, tmp_path, shared_data):
    path = opening.zoo_package(shared_data / "weights" / "bioimageio_unet2d_nuclei_broad")
    assert opening.measured(path, image, JobRunner("inline"), 0).asked == ""


def test_a_file_that_does_not_open_ends_it(opening, image, tmp_path):
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(SystemExit, match="page.pth"):
        opening.measured(tmp_path / "page.pth", image, JobRunner("inline"), 0)
