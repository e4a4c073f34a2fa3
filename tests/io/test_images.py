"""Image files: axes, types and voxel sizes as the file states them; damage is told, not read."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet.errors import AxesError, ImageError
from napari_unet.io import budget, tiff
from napari_unet.io.images import open_image, read_image, read_scale
from napari_unet.io.lazy import LazyTiff


def numbers(shape: tuple[int, ...], kind: str = "u2") -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 120, shape).astype(kind)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_and_byte_order(tmp_path: Path, kind: str, order: Any) -> None:
    image = numbers((20, 30), kind)
    tifffile.imwrite(tmp_path / "a.tif", image, byteorder=order)
    source = read_image(tmp_path / "a.tif")
    assert (source.axes, source.name, source.scale, source.scale_origin) == ("YX", "a", None, "unknown")
    np.testing.assert_array_equal(source.read(0)[0, 0], image)


@pytest.mark.parametrize(
    ("axes", "shape"), [("TZCYX", (2, 3, 4, 5, 6)), ("ZYX", (3, 5, 6)), ("CYX", (3, 5, 6)), ("TYX", (3, 5, 6))]
)
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_axes_and_voxel_size_of_microscope_files(tmp_path: Path, axes: str, shape: tuple[int, ...], kind: str) -> None:
    image = numbers(shape)
    path = tmp_path / "a.ome.tif"
    if kind == "imagej":
        meta: dict[str, Any] = {"axes": axes, "unit": "micron", "spacing": 1.5}
        tifffile.imwrite(path, image, imagej=True, resolution=(4, 2), metadata=meta)
    else:
        meta = {"axes": axes}
        meta |= {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.0005, "PhysicalSizeYUnit": "mm"}
        meta |= {"PhysicalSizeZ": 1.5} if "Z" in axes else {}
        tifffile.imwrite(path, image, ome=True, metadata=meta)
    source = read_image(path)
    assert (source.axes, source.name, source.units, source.scale_origin) == (axes, "a", "µm", "file")
    assert source.scale is not None
    assert source.scale[1:] == pytest.approx((0.5, 0.25))
    assert source.scale[0] == (1.5 if "Z" in axes or kind == "imagej" else 1.0)
    np.testing.assert_array_equal(source.data, image)
    assert read_scale(path) == pytest.approx(source.scale)


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        (2, 50800, 0.5),
        (3, 20000, 0.5),
        (2, 72, None),
        (2, 96, None),
        (2, 600, None),
        (3, 28.35, None),
        (1, 2, None),
    ],
)
def test_resolution_of_plain_files(tmp_path: Path, unit: int, resolution: float, expected: float | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((20, 30)), resolution=(resolution,) * 2, resolutionunit=unit)
    scale = read_image(tmp_path / "a.tif").scale
    assert scale == (None if expected is None else pytest.approx((1.0, expected, expected)))


@pytest.mark.parametrize(
    ("unit", "factor"), [("inch", 25400), ("cm", 10000), ("nm", 0.001), ("\\u00B5m", 1), ("pixel", None)]
)
def test_units_of_imagej_files(tmp_path: Path, unit: str, factor: float | None) -> None:
    meta = {"axes": "ZYX", "unit": unit, "spacing": 3.0}
    tifffile.imwrite(tmp_path / "a.tif", numbers((4, 5, 6)), imagej=True, resolution=(2, 2), metadata=meta)
    scale = read_image(tmp_path / "a.tif").scale
    assert scale == (None if factor is None else pytest.approx((3 * factor, 0.5 * factor, 0.5 * factor)))


def test_a_stack_without_z_distance_has_no_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, numbers((4, 20, 30)), ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 1, "PhysicalSizeY": 1}
    )
    assert read_image(path).scale is None
    assert read_scale(path) is None


@pytest.mark.parametrize("metadata", [None, {}])
def test_pages_without_a_meaning_are_asked_about(tmp_path: Path, metadata: Any) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers((6, 20, 30)), metadata=metadata)
    with pytest.raises(AxesError) as caught:
        read_image(path)
    assert caught.value.candidates == ("CYX", "ZYX", "TYX") or caught.value.candidates[0] == "ZYX"
    assert read_image(path, axes="tyx").shape == (6, 1, 20, 30)


@pytest.mark.parametrize(("samples", "planar"), [(3, "contig"), (4, "contig"), (3, "separate")])
def test_colour(tmp_path: Path, samples: int, planar: Any) -> None:
    image = numbers((20, 30, samples), "u1")
    stored = image if planar == "contig" else np.moveaxis(image, -1, 0)
    extra = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, **extra)
    source = read_image(tmp_path / "a.tif")
    assert (source.rgb, source.n_channels, source.shape) == (True, 3, (1, 1, 20, 30))
    np.testing.assert_array_equal(source.read(0)[:, 0], np.moveaxis(image[..., :3], -1, 0))


def test_large_files_stay_on_the_disk_and_are_noticed_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "EAGER_BYTES", 1000)
    image = numbers((2, 3, 200, 300))
    path = tmp_path / "a.tif"
    for options in ({"compression": "zlib"}, {"tile": (64, 64)}, {}):
        tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "TZYX"}, **options)  # type: ignore[arg-type]
        source = read_image(path)
        assert isinstance(source.data, LazyTiff)
        np.testing.assert_array_equal(
            source.read(1, (slice(1, 3), slice(50, 60), slice(7, 299)))[0], image[1, 1:3, 50:60, 7:299]
        )
    tifffile.imwrite(path, image[:1], photometric="minisblack", metadata={"axes": "TZYX"})
    with pytest.raises(ImageError, match="changed"):
        source.read(1)
    path.unlink()
    with pytest.raises(ImageError, match="no longer there"):
        source.read(1)


def declaring(width: int, height: int, compression: int, count: int = 100) -> bytes:
    """Return a TIFF of 16 bits per pixel whose header promises more than there is."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, compression), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, count)]
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + struct.pack("<I", 0)


@pytest.mark.parametrize("compression", [1, 8])
def test_a_small_file_that_declares_37_gib_is_refused_before_allocation(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "bomb.tif"
    path.write_bytes(declaring(200_000, 100_000, compression))
    with pytest.raises(ImageError, match=r"37\.3 GiB.*only 122 bytes"):
        read_image(path)


def test_a_piece_that_does_not_fit_into_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "memory_budget", lambda: 10_000)
    monkeypatch.setattr(tiff, "memory_budget", lambda: 10_000)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((300, 300), np.uint8), compression="zlib", rowsperstrip=300)
    with pytest.raises(ImageError, match=r"one piece of 87\.9 KiB; 9\.8 KiB of memory"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("options", [{"imagej": True}, {"compression": "zlib"}, {"ome": True}, {"bigtiff": True}, {}])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.97])
def test_cut_files_are_refused(tmp_path: Path, options: dict[str, Any], kept: float) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers((5, 40, 50)), metadata={"axes": "ZYX"}, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ImageError):
        read_image(path).read(0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.sampled_from(["imagej", "ome", "zlib"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_bytes_give_a_sentence_or_an_image(tmp_path: Path, which: str, flips: list[tuple[float, int]]) -> None:
    path = tmp_path / f"{which}.tif"
    options: dict[str, Any] = {"compression": "zlib"} if which == "zlib" else {which: True}
    tifffile.imwrite(path, numbers((3, 8, 9)), photometric="minisblack", metadata={"axes": "ZYX"}, **options)
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    with suppress(ImageError):
        source = read_image(path)
        if np.prod(source.shape) < 10**6:
            source.read(0)


def test_metadata_that_lies_gives_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers((20, 30)), description="ImageJ=1.53t\nimages=60\nslices=60\n", metadata=None)
    assert read_image(path).shape == (1, 1, 20, 30)
    assert len(caplog.records) == 1


def test_several_images_in_one_file_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as writer:
        for _ in range(3):
            writer.write(numbers((20, 30)), metadata={"axes": "YX"})
    with pytest.raises(ImageError, match="3 separate images"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"<html>404", "no TIFF, PNG"),
        (b"\x89PNG\r\n", "cannot be read"),
        (b"II*\0", "cannot be read"),
    ],
)
def test_files_that_are_no_image(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=part):
        read_image(path)
    assert read_scale(path) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("mode", "kind", "axes"),
    [
        ("L", "u1", "YX"),
        ("I;16", "u2", "YX"),
        ("1", "?", "YX"),
        ("RGB", "u1", "YXC"),
        ("RGBA", "u1", "YXC"),
        ("LA", "u1", "YX"),
        ("P", "u1", "YXC"),
    ],
)
def test_png(tmp_path: Path, mode: str, kind: str, axes: str) -> None:
    image = numbers((20, 30), "u1" if kind == "?" else kind)
    picture = Image.fromarray(image)
    picture = picture if mode == "I;16" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    source = read_image(tmp_path / "a.png")
    assert (source.axes, source.rgb, source.scale) == (axes, axes == "YXC", None)
    block = source.read(0)
    assert block.shape == (3 if source.rgb else 1, 1, 20, 30)
    if mode != "1":
        np.testing.assert_array_equal(block[0, 0], image)


def test_jpeg_and_a_cut_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(numbers((200, 300, 3), "u1")).save(path)
    assert (read_image(path).axes, read_image(path).n_channels) == ("YXC", 3)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(path)


def test_a_16_bit_colour_png_is_not_halved_silently(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(numbers((8, 8, 3), "u1")).save(path)
    content = bytearray(path.read_bytes())
    content[24] = 16
    header = bytes(content[12:29])
    content[29:33] = struct.pack(">I", zlib.crc32(header))
    path.write_bytes(content)
    with pytest.raises(ImageError, match="16 bits per colour"):
        read_image(path)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "axes", "shape", "channels", "kind"),
    [
        ("formats_axondeepseg/sem_16bit_crop512.tif", None, (1, 1, 512, 512), 1, "uint16"),
        ("formats_axondeepseg/test_16b_file__image.tif", None, (1, 1, 209, 2048), 1, "uint16"),
        ("formats_axondeepseg/test_precision_files__image_8bit.tif", None, (1, 1, 744, 1154), 1, "uint8"),
        ("formats_axondeepseg/test_precision_files__image_8bit.png", None, (1, 1, 744, 1154), 1, "uint8"),
        ("formats_axondeepseg/test_color_files__image_8bit.png", None, (1, 1, 744, 1154), 3, "uint8"),
        ("formats_axondeepseg/test_coloralpha_files__image_8bit.png", None, (1, 1, 744, 1154), 3, "uint8"),
        ("bian_2d/IXMtest_A02_s9.tif", None, (1, 1, 395, 695), 3, "uint16"),
        ("bian_2d/cancer_cell_migration_crop.tif", "TYX", (48, 1, 130, 130), 1, "uint16"),
        ("napari_bio_sample/nuclei.tif", "ZYX", (1, 60, 256, 256), 1, "uint16"),
        ("napari_bio_sample/skin.tif", None, (1, 1, 960, 1280), 3, "uint8"),
        ("napari_bio_sample/tomo.tif", "ZYX", (1, 101, 135, 135), 1, "float32"),
        ("stardist_examples/histo.jpg", None, (1, 1, 300, 500), 3, "uint8"),
    ],
)
def test_real_files(
    shared_data: Path, name: str, axes: str | None, shape: tuple[int, ...], channels: int, kind: str
) -> None:
    source = read_image(shared_data / name, axes)
    assert (source.shape, source.n_channels, str(source.dtype), source.scale) == (shape, channels, kind, None)
    assert source.read(0).shape == (channels, *shape[1:])


@pytest.mark.shared_data
def test_real_voxel_sizes(shared_data: Path) -> None:
    source = read_image(shared_data / "plantseg_ovules3d" / "1135_mini_raw.tif")
    assert (source.axes, source.scale_origin) == ("ZYX", "file")
    assert source.scale == pytest.approx((0.28372, 0.12679, 0.12679), abs=1e-5)
    assert open_image(source.path or "").letters == ("Z", "Y", "X")


def test_an_axis_that_the_user_names_otherwise_is_no_colour(tmp_path) -> None:
    stored = np.zeros((3, 1, 4, 20, 30), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig="separate")
    source = read_image(tmp_path / "a.tif", "TCZYX")
    assert (source.rgb, source.n_channels, source.shape) == (False, 1, (3, 4, 20, 30))
