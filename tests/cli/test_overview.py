"""The demo's picture: panels in rows, and a legend that names every colour."""

from __future__ import annotations

import numpy as np
from PIL import Image

from napari_unet.cli.demo_images import DemoImage
from napari_unet.cli.demo_play import Played
from napari_unet.cli.demo_user import Corrections
from napari_unet.cli.overview import LEGEND, MEANING, write_overview
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d


def played(shape):
    image, truth = nuclei_2d(shape, seed=1)
    demo = DemoImage(ImageSource.from_array(image, axes="YX", name="nuclei"), truth.astype(np.int32), True, "generated")
    window = (slice(0, 1), slice(10, 60), slice(20, 70))
    after = np.where(truth == truth.max(), 0, truth)
    return Played(demo, np.roll(truth, 4, 1), after, truth > 0, Corrections((window,)), {"AP": (0.5, 0.9)}, 9)


def test_the_legend_names_every_colour(tmp_path):
    for shape in ((96, 80), (160, 240)):
        write_overview(tmp_path / "overview.png", [played(shape)])
        with Image.open(tmp_path / "overview.png") as picture:
            pixels = np.asarray(picture)
        legend = pixels[-LEGEND:]
        for color, _ in MEANING:
            assert (legend == color).all(-1).sum() > 50
        assert not (legend[:, -4:] == 255).any()  # nothing is cut off
