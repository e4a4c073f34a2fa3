"""Label TIFFs come back as they were: values, axes, voxel size, provenance."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet.errors import AxesError, ImageError, OutputError
from napari_unet.image.axes import canonical_view
from napari_unet.image.source import ImageSource
from napari_unet.io import labels as labels_module
from napari_unet.io.labels import label_dtype, labels_for_image, read_labels, write_labels

ORDERS = ["".join(order) for letters in ("YX", "ZYX", "TYX", "TZYX") for order in permutations(letters)]
SIZES = st.floats(1e-3, 1e3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axes=st.sampled_from(ORDERS),
    kind=st.sampled_from(["?", "u1", "i2", ">u2", "u4", "i4", "u8", "i8"]),
    largest=st.sampled_from([1, 255, 256, 65535, 65536, 2**32 - 1]),
    scale=st.none() | st.tuples(SIZES, SIZES, SIZES),
    data=st.data(),
)
def test_round_trip(tmp_path: Path, axes: str, kind: str, largest: int, scale: Any, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 5)) for _ in axes)
    top = 1 if kind == "?" else min(largest, int(np.iinfo(kind).max))
    labels = np.random.default_rng(0).integers(0, top, shape, endpoint=True).astype(kind)
    labels.flat[-1] = top
    origin = {"model_hash": "ab12", "settings": {"threshold": 0.5}, "image": "Zelle µ – 3.tif"}
    path = write_labels(tmp_path / "labels.tif", labels, axes, scale, provenance=origin, overwrite=True)
    back, back_axes, back_scale, back_origin = read_labels(path)
    assert back_axes == "".join(letter for letter in "TZYX" if letter in axes)
    np.testing.assert_array_equal(canonical_view(back, back_axes), canonical_view(labels, axes))
    assert back.dtype == np.min_scalar_type(top)
    assert back_origin == origin
    if scale is None:
        assert back_scale is None
    else:
        assert back_scale == pytest.approx(scale, rel=1e-5)


@pytest.mark.parametrize(("kind", "imagej"), [("u1", True), ("u2", True), ("u4", False)])
def test_what_fiji_and_ome_readers_find(tmp_path: Path, kind: str, imagej: bool) -> None:
    labels = np.arange(3 * 4 * 5 * 6).reshape(3, 4, 5, 6)
    labels[0, 0, 0, 0] = np.iinfo(kind).max
    labels = np.minimum(labels, np.iinfo(kind).max)
    path = write_labels(tmp_path / "l.tif", labels.astype(kind), "TZYX", (2.0, 0.5, 0.25), provenance={"model": "m"})
    with tifffile.TiffFile(path) as file:
        assert (bool(file.is_imagej), bool(file.is_ome), file.is_bigtiff) == (imagej, not imagej, False)
        assert file.series[0].axes == "TZYX"
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        if imagej:
            meta = file.imagej_metadata
            assert (meta["frames"], meta["slices"], meta["spacing"], meta["unit"]) == (3, 4, 2.0, "um")
            assert '"model": "m"' in meta["Info"]
            x, y = (file.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
            assert (x[0] / x[1], y[0] / y[1]) == (4, 2)
        else:
            for part in (
                'PhysicalSizeX="0.25"',
                'PhysicalSizeY="0.5"',
                'PhysicalSizeZ="2.0"',
                'SizeT="3"',
                'SizeZ="4"',
            ):
                assert part in file.ome_metadata
            assert file.ome_metadata.count('Unit="µm"') == 3


def test_an_independent_reader_gets_the_same_values(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 60000, (4, 30, 40)).astype(np.uint16)
    path = write_labels(tmp_path / "l.tif", labels, "ZYX")
    with Image.open(path) as picture:
        for z in range(4):
            picture.seek(z)
            np.testing.assert_array_equal(np.asarray(picture), labels[z])


def test_beyond_four_gigabytes_it_is_a_big_ome_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "CLASSIC_BYTES", 100)
    labels = np.arange(200, dtype=np.uint16).reshape(2, 10, 10)
    path = write_labels(tmp_path / "l.tif", labels, "ZYX", (1, 1, 1))
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert file.is_ome
    np.testing.assert_array_equal(read_labels(path)[0], labels)


@pytest.mark.parametrize(("units", "expected"), [("nm", 0.002), ("mm", 2000.0), ("micrometer", 2.0), ("pixel", None)])
def test_units_become_micrometres(tmp_path: Path, units: str, expected: float | None) -> None:
    path = write_labels(tmp_path / "l.tif", np.ones((3, 4), np.uint8), "YX", (2, 2, 2), units)
    scale = read_labels(path)[2]
    assert scale is None if expected is None else scale is not None and scale[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (np.ones((3, 4)), "float64"),
        (np.full((3, 4), -1), "smallest label is -1"),
        (np.full((3, 4), 2**32), "4294967296"),
        (np.full((3, 4), 2**63, np.uint64), "largest label"),
        (np.ones((3, 4), complex), "complex"),
        (np.ones((0, 4), int), "empty"),
    ],
)
def test_labels_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path: Path, labels: Any, part: str) -> None:
    with pytest.raises(OutputError, match=part):
        write_labels(tmp_path / "l.tif", labels, "YX")
    assert list(tmp_path.iterdir()) == []


def test_other_refusals(tmp_path: Path) -> None:
    labels = np.ones((3, 4), np.uint8)
    for options, part in (
        ({"scale": (1, 0, 1)}, "three positive"),
        ({"provenance": {"a": object()}}, "JSON"),
        ({"provenance": {"a": float("nan")}}, "JSON"),
    ):
        with pytest.raises(OutputError, match=part):
            write_labels(tmp_path / "l.tif", labels, "YX", **options)
    with pytest.raises(OutputError, match=r"\.tif"):
        write_labels(tmp_path / "l.png", labels, "YX")
    with pytest.raises(AxesError):
        write_labels(tmp_path / "l.tif", labels, "ZYX")
    assert list(tmp_path.iterdir()) == []
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, labels)
    with pytest.raises(OutputError, match="input itself"):
        write_labels(image, labels, "YX", overwrite=True, protected=[image])


def test_a_file_that_reads_back_wrong_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tifffile.imwrite

    def spoil_a_plane(path: Path, planes: Any, **options: Any) -> None:
        real(path, (plane * (number != 1) for number, plane in enumerate(planes)), **options)

    monkeypatch.setattr(tifffile, "imwrite", spoil_a_plane)
    with pytest.raises(OutputError, match="differ"):
        write_labels(tmp_path / "l.tif", np.ones((3, 4, 5), np.uint8), "ZYX")
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_type_that_fits() -> None:
    for largest, kind in ((0, "u1"), (255, "u1"), (256, "u2"), (65536, "u4"), (2**32 - 1, "u4")):
        assert label_dtype(np.array([[largest]])) == np.dtype(kind)


def test_labels_of_an_image(tmp_path: Path) -> None:
    source = ImageSource(np.zeros((5, 2, 6, 7), np.uint8), "ZCYX", name="cells")
    labels = np.random.default_rng(0).integers(0, 9, (5, 6, 7))
    np.testing.assert_array_equal(labels_for_image(labels, source), labels)
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, labels.astype(np.int32))
    taken = labels_for_image(plain, source)
    np.testing.assert_array_equal(taken, labels)
    assert taken.dtype.kind == "u"
    turned = write_labels(tmp_path / "own.tif", labels.transpose(1, 2, 0), "YXZ")
    np.testing.assert_array_equal(labels_for_image(turned, source), labels)


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (np.zeros((5, 6, 8), int), r"shape \(5, 6, 8\), but the image 'cells' needs \(5, 6, 7\)"),
        (np.zeros((6, 7, 5), int), "shape"),
        (np.zeros((5, 6, 7)), "float64"),
        (np.full((5, 6, 7), -2), "-2"),
        (np.full((5, 6, 7), 2**40), "largest"),
    ],
)
def test_labels_that_do_not_belong_to_the_image(labels: Any, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        labels_for_image(labels, ImageSource(np.zeros((5, 6, 7)), "ZYX", name="cells"))


def test_reading_a_label_file_from_elsewhere(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 900, (6, 20, 30)).astype(">i4")
    path = tmp_path / "l.tif"
    tifffile.imwrite(path, stack)
    with pytest.raises(AxesError):
        read_labels(path)
    labels, axes, scale, origin = read_labels(path, axes="TYX")
    np.testing.assert_array_equal(labels, stack)
    assert (labels.dtype, axes, scale, origin) == (np.dtype(np.uint16), "TYX", None, {})
    tifffile.imwrite(path, np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(ImageError, match="3 channels"):
        read_labels(path)


@pytest.mark.shared_data
def test_real_label_files(shared_data: Path) -> None:
    labels, axes, scale, _ = read_labels(shared_data / "plantseg_ovules3d" / "1135_mini_label.tif")
    assert (axes, labels.shape, labels.dtype) == ("ZYX", (100, 100, 100), np.dtype(np.uint16))
    assert scale == pytest.approx((0.28372, 0.12679, 0.12679), abs=1e-5)
    labels, axes, _, _ = read_labels(shared_data / "bian_2d" / "blobs_sparse_labels.tif")
    assert (axes, labels.dtype.kind) == ("YX", "u")
