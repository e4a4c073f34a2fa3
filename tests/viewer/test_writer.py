"""A Labels layer is written with its voxel size, axes and provenance, and comes back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.errors import AxesError, OutputError
from napari_unet.io.labels import read_labels
from napari_unet.viewer.reader import read
from napari_unet.viewer.writer import write_labels_layer


def save(path: Path, layer: Labels) -> list[str]:
    data, meta, _ = layer.as_layer_data_tuple()
    return write_labels_layer(str(path), data, meta)


def labels(shape: tuple[int, ...], largest: int = 9) -> Any:
    return np.random.default_rng(0).integers(0, largest, shape).astype(np.uint32)


def test_a_layer_comes_back(tmp_path: Path) -> None:
    layer = Labels(
        labels((3, 4, 5, 6)),
        name="cells",
        scale=(1, 2000, 0.5, 0.25),
        units=("second", "nm", "µm", "µm"),
        axis_labels=("t", "z", "y", "x"),
        metadata={"napari_unet": {"model_hash": "ab", "settings": {"split": 0.5}, "secret": object()}, "other": 1},
    )
    assert save(tmp_path / "l.tif", layer) == [str(tmp_path / "l.tif")]
    values, axes, scale, origin = read_labels(tmp_path / "l.tif")
    np.testing.assert_array_equal(values, layer.data)
    assert (axes, scale) == ("TZYX", pytest.approx((2.0, 0.5, 0.25)))
    assert origin == {"model_hash": "ab", "settings": {"split": 0.5}, "layer": "cells"}
    again = Labels(**{"data": read(tmp_path / "l.tif")[0][0], **read(tmp_path / "l.tif")[0][1]})
    assert again.axis_labels == layer.axis_labels
    assert again.scale.tolist() == [1, 2, 0.5, 0.25]


def test_a_plain_2d_layer_has_no_voxel_size(tmp_path: Path) -> None:
    (written,) = save(tmp_path / "l", Labels(labels((5, 6))))
    assert written.endswith("l.tif")
    assert read_labels(written)[1:3] == ("YX", None)


def test_a_scale_without_a_unit_is_micrometres(tmp_path: Path) -> None:
    (written,) = save(tmp_path / "l.tif", Labels(labels((5, 6)), scale=(0.5, 0.5)))
    assert read_labels(written)[2] == pytest.approx((1, 0.5, 0.5))


def test_axes_that_were_answered_before_are_used(tmp_path: Path) -> None:
    layer = Labels(labels((4, 5, 6)))
    with pytest.raises(AxesError, match="unclear") as caught:
        save(tmp_path / "l.tif", layer)
    assert "axis_labels" in caught.value.hint
    layer.metadata["napari_unet"] = {"axes": "TYX"}
    (written,) = save(tmp_path / "l.tif", layer)
    assert read_labels(written)[1] == "TYX"


def test_a_channel_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    layer = Labels(labels((4, 1, 5, 6)), axis_labels=("z", "c", "y", "x"), scale=(2, 3, 1, 1))
    (written,) = save(tmp_path / "l.tif", layer)
    values, axes, scale, _ = read_labels(written)
    assert (values.shape, axes, scale) == ((4, 5, 6), "ZYX", pytest.approx((2, 1, 1)))
    with pytest.raises(AxesError, match="2 channels"):
        save(tmp_path / "l.tif", Labels(labels((4, 2, 5, 6)), axis_labels=("z", "c", "y", "x")))


def test_lazy_and_multiscale_layers(tmp_path: Path) -> None:
    values = labels((64, 64))
    (written,) = save(tmp_path / "l.tif", Labels(da.from_array(values, chunks=16)))
    np.testing.assert_array_equal(read_labels(written)[0], values)
    pyramid = Labels([values, values[::2, ::2]], multiscale=True)
    (written,) = save(tmp_path / "l.tif", pyramid)
    np.testing.assert_array_equal(read_labels(written)[0], values)


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="-1"):
        save(tmp_path / "l.tif", Labels(np.full((5, 6), -1)))
    assert list(tmp_path.iterdir()) == []
