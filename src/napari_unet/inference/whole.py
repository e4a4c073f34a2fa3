"""Images that fit into memory: tiles are collected to frames, and each frame is decoded at once. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError
from napari_unet.image.boxes import inside, volume
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import Labels, ObjectSettings, decode
from napari_unet.inference.labels.planes import PlaneJoiner
from napari_unet.inference.running import TileScores

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

Progress = Callable[[int, int], None]
Frame = tuple[int, int | None, npt.NDArray[Any]]


def as_source(image: Any, axes: str | None, scale: tuple[float, ...] | None = None, units: str = "µm") -> ImageSource:
    """Return an image as what is read tile by tile; one that is such a source already stays as it is."""
    if isinstance(image, ImageSource):
        return image
    return ImageSource.from_array(image, axes=axes, scale=scale, units=units)


def segment_whole(
    predictor: Predictor,
    source: ImageSource,
    settings: ObjectSettings,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Labels:
    """Segment an image; only the scores of one plane (2D models) or time point (3D) are held.

    Parameters
    ----------
    predictor : Predictor
        Model and options.
    source : ImageSource
        The image.
    settings : ObjectSettings
        How scores become labels.
    statistics : Statistics, optional
        Of the whole image; measured if omitted.
    progress : callable, optional
        Called with (done, total) tiles.

    Returns
    -------
    ndarray of uint32
        Shape (T, Z, Y, X). Object ids are unique over all time points, and over all planes unless those of a
        2D model are joined.

    Raises
    ------
    OutputError
        If there are more objects than ids.
    """
    output = predictor.checkpoint.header.output
    labels = np.zeros(source.shape, np.uint32)
    numbered = output.numbered(settings.connected)
    used = 0
    joiner = PlaneJoiner() if numbered and predictor.options.join_z else None
    # Objects come from half precision wherever scores are kept, so that they are the same everywhere.
    kept = np.dtype(np.float16 if numbered else np.float32)
    for t, z, scores in collect_frames(source, predictor.stream(source, statistics), kept, progress):
        found = decode(scores.astype(np.float32, copy=False), output, settings)
        if joiner is not None and z is not None:
            found = joiner.add(z, found[0], t)[np.newaxis]
        elif numbered:
            last = int(found.max(initial=0))
            if used + last > np.iinfo(np.uint32).max:
                raise OutputError(f"There are more than {np.iinfo(np.uint32).max} objects.", "Raise the minimum size.")
            found[found > 0] += np.uint32(used)
            used += last
        labels[t, slice(None) if z is None else slice(z, z + 1)] = found
    return labels


def predict_whole(
    predictor: Predictor,
    source: ImageSource,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> npt.NDArray[np.float32]:
    """Return the scores of an image, (T, C, Z, Y, X), values 0 to 1; the parameters are those of `segment_whole`."""
    n_times, *size = source.shape
    result = np.zeros((n_times, predictor.checkpoint.header.out_channels, *size), np.float32)
    for one in predictor.stream(source, statistics):
        result[(one.tile.t, slice(None), *one.tile.inner)] = one.scores
        if progress is not None:
            progress(one.done, one.total)
    return result


def collect_frames(
    source: ImageSource, tiles: Iterable[TileScores], dtype: np.dtype[Any], progress: Progress | None = None
) -> Iterator[Frame]:
    """Collect the tiles of one frame after the other, as (t, z, scores (C, Z, Y, X)); z is None for a volume."""
    size = source.shape[1:]
    missing: dict[tuple[int, int | None], int] = {}
    buffers: dict[tuple[int, int | None], npt.NDArray[Any]] = {}
    for one in tiles:
        key = (one.tile.t, one.tile.z)
        frame = (
            slice(0, size[0]) if one.tile.z is None else one.tile.inner[0],
            slice(0, size[1]),
            slice(0, size[2]),
        )
        if key not in buffers:
            lengths = [s.stop - s.start for s in frame]
            buffers[key] = np.zeros((len(one.scores), *lengths), dtype)
            missing[key] = int(np.prod(lengths))
        buffers[key][(slice(None), *inside(one.tile.inner, frame))] = one.scores
        missing[key] -= volume(one.tile.inner)
        if progress is not None:
            progress(one.done, one.total)
        if not missing[key]:
            yield (*key, buffers.pop(key))
