"""Predictor: an image and a checkpoint to scores, tile by tile, and to labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import DeviceError
from napari_unet.image.axes import from_canonical, label_axes
from napari_unet.image.boxes import triple
from napari_unet.image.memory import memory_budget
from napari_unet.image.normalize import Statistics, measure
from napari_unet.image.source import ImageSource
from napari_unet.inference.channels import match_channels, matched_source
from napari_unet.inference.coarse import Sizes
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.network.engine import Engine, ShouldStop
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.planning import Wanted, plan_route
from napari_unet.inference.routing import Route, choose_route
from napari_unet.inference.running import Runner, TileScores
from napari_unet.inference.tiles.normalized import NormalizedFrames
from napari_unet.inference.tiles.remaining import Finished
from napari_unet.inference.tiles.steering import Steer
from napari_unet.inference.tiles.tiling import TilePlan, View
from napari_unet.inference.whole import Progress, as_source, predict_whole, segment_whole
from napari_unet.jobs.ahead import ahead

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

__all__ = ["Predictor", "TileScores", "match_channels", "matched_source"]

Scores = npt.NDArray[np.float32]


class Predictor:
    """Runs a checkpoint over images of any size.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model; its network is copied.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda:N"`` or ``"mps"``.
    precision : {"auto", "float32", "bfloat16"}
        ``auto``: bfloat16 where the device computes it natively. In float32, tiled and untiled
        scores of networks without per-sample normalization agree to 1e-4.
    tile : int, optional
        Side of the tiles in voxels, halo excluded; chosen by cost and memory when omitted.
    threads : int, optional
        CPU threads; one fewer than there are cores by default.
    options : PredictOptions, optional
        Flips, joining in z, directions, rescaling, memory.

    Raises
    ------
    DeviceError
        If the device or precision is not available.

    Examples
    --------
    >>> from napari_unet import Checkpoint, UNet, UNetConfig
    >>> network = UNet(UNetConfig(features=(4, 8), out_channels=2))
    >>> checkpoint = Checkpoint.from_module(network, ndim=2, in_channels=1, out_channels=2)
    >>> predictor = Predictor(checkpoint, device="cpu", precision="float32")
    >>> predictor.predict(np.zeros((5, 30, 41), np.uint16), axes="ZYX").shape
    (2, 5, 30, 41)
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        threads: int | None = None,
        options: PredictOptions | None = None,
    ) -> None:
        if tile is not None and tile < 1:
            raise DeviceError(f"The tile size is {tile}; expected 1 or more voxels.", "Leave it out to have it chosen.")
        self.checkpoint = checkpoint
        self.options = options or PredictOptions()
        self.engine = Engine(checkpoint, device=device, precision=precision, threads=threads)
        self.tile, self.asked_precision, self._runner = tile, precision, Runner(self.engine)
        self.sizes = Sizes()  # of objects in images seen before, shared with copies
        self._memory: tuple[float, float] | None = None  # GB on the device and in main memory, once fixed

    def with_options(self, options: PredictOptions) -> Predictor:
        """Return a predictor with other options that shares this one's network."""
        other = copy(self)
        other.options = options
        other._runner, other._memory = Runner(self.engine), None
        return other

    def for_job(self) -> Predictor:
        """Return a predictor that reads the free memory now and never again, so that all its plans agree."""
        if self._memory is not None:
            return self
        other, given = copy(self), self.options.memory_gb
        other._memory = (self.engine.budget(given) / 10**9, memory_budget(given) / 10**9)
        return other

    def with_tile(self, tile: int) -> Predictor:
        """Return a predictor with tiles of this side that shares this one's network."""
        other = copy(self)
        other.tile = tile
        return other

    @property
    def precision(self) -> str:
        """What it computes in, "float32" or "bfloat16"."""
        return str(self.engine.dtype).removeprefix("torch.")

    @property
    def sentence(self) -> str:
        """Device, precision and threads in words."""
        return self.engine.sentence

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the last image that the user should know, as sentences."""
        return tuple(note for note in (*self._runner.image_notes, self._runner.note) if note)

    def measure(self, source: ImageSource) -> Statistics:
        """Measure what the model's normalization needs, over the whole image."""
        header = self.checkpoint.header
        return measure(matched_source(source, header)[0], header.normalization)

    def plan(
        self,
        source: ImageSource,
        *,
        view: View | None = None,
        times: Iterable[int] | None = None,
        planes: Iterable[int] | None = None,
        only_view: bool = False,
    ) -> TilePlan:
        """Plan the tiles of an image; the parameters are those of `stream`.

        Raises
        ------
        ImageError
            If a 3D model is given an image without Z.
        """
        route = self.route(source)
        plan = self._plan(route, Wanted(view, times, planes, only_view))
        return route.image_plan(plan, triple(source.shape[1:]))

    def route(self, source: ImageSource) -> Route:
        """Choose how the model is run over an image: its grid, its passes, and what the user should know."""
        checkpoint, found = self.checkpoint, self.sizes.of(self, source)
        return choose_route(source, checkpoint.header, checkpoint.geometry, self.options, found)

    def _plan(self, route: Route, wanted: Wanted) -> TilePlan:
        """Plan the tiles on the network's grid."""
        memory_gb = self._memory or (self.options.memory_gb, self.options.memory_gb)
        return plan_route(route, self.engine, self.tile, memory_gb, wanted)

    def stream(
        self,
        source: ImageSource,
        statistics: Statistics | None = None,
        *,
        view: View | None = None,
        times: Iterable[int] | None = None,
        planes: Iterable[int] | None = None,
        should_stop: ShouldStop | None = None,
        only_view: bool = False,
        steer: Steer | None = None,
        finished: Finished | None = None,
    ) -> Iterator[TileScores]:
        """Compute the scores tile by tile; nothing but the current tiles is kept.

        Parameters
        ----------
        source : ImageSource
            The image.
        statistics : Statistics, optional
            Of the whole image, from `measure`. Measured now if omitted, or if it counts
            other channels than the network takes.
        view : tuple, optional
            (t, (z, y, x) slices) that the user sees; its tiles come first.
        times, planes : iterable of int, optional
            Which time points, and for 2D models which planes.
        should_stop : callable, optional
            Asked before each tile and each layer. Once it returns True, the stream ends; what it
            yielded before stands.
        only_view : bool
            Only the tiles that touch the view.
        steer : callable, optional
            Returns what the user looks at now, asked between two tiles: the rest is sorted by it anew.
        finished : callable, optional
            Tells of a tile of the plan whether its scores are there already: it is left out.

        Yields
        ------
        TileScores

        Raises
        ------
        ImageError
            If the image does not fit the model or cannot be read.
        CheckpointError
            If the network fails or returns NaN or another shape; the tile is named.
        DeviceError
            If memory runs out for the smallest tile.
        """
        header = self.checkpoint.header
        route = self.route(source)
        plan = self._plan(route, Wanted(view, times, planes, only_view))
        if finished is not None:
            plan = route.remaining(plan, finished)
        if statistics is None or len(statistics.offset) != header.in_channels:
            statistics = self.measure(source)
        self._runner.begin((*route.notes, statistics.note))
        frames = NormalizedFrames(
            route.source, statistics, header.normalization, route.flat, ahead=self.engine.overlaps
        )
        self._runner.check(plan, frames)
        compute = route.compute(self.engine.run)
        parts = self._runner.tiles(plan, frames, should_stop, compute, route.margin, route.steered(steer))
        scores = route.scores(parts, plan)
        if self.engine.overlaps:
            scores = ahead(scores)
        return scores if finished is None else (one for one in scores if not finished(one.tile))

    def predict(
        self,
        image: Any,
        axes: str | None = None,
        *,
        statistics: Statistics | None = None,
        progress: Progress | None = None,
    ) -> Scores:
        """Compute the scores of a whole image, in memory.

        Parameters
        ----------
        image : array-like or ImageSource
            Any integer or float type; numpy, dask or zarr.
        axes : str, optional
            One letter of T, C, Z, Y, X per dimension; asked for when unclear.
        statistics : Statistics, optional
            See `stream`.
        progress : callable, optional
            Called with (done, total) tiles.

        Returns
        -------
        ndarray of float32
            Shape ([T], C, [Z], Y, X), values 0 to 1.
        """
        source = as_source(image, axes)
        result = predict_whole(self, source, statistics, progress)
        if not source.has("Z"):
            result = result[:, :, 0]
        return result if source.has("T") else result[0]

    def segment(
        self,
        image: Any,
        axes: str | None = None,
        scale: tuple[float, ...] | None = None,
        units: str = "µm",
        settings: ObjectSettings | None = None,
        *,
        statistics: Statistics | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.uint32]:
        """Segment an image; only the scores of one plane (2D models) or time point (3D) are held.

        Parameters
        ----------
        image, axes, statistics, progress
            See `predict`.
        scale : tuple of float, optional
            Voxel size in `units`, per Z, Y, X of the image.
        units : str
            Unit of `scale`.
        settings : ObjectSettings, optional
            How scores become labels.

        Returns
        -------
        ndarray of uint32
            In the image's axes without C. Object ids are unique over all time points, and over all planes
            unless those of a 2D model are joined.
        """
        source = as_source(image, axes, scale, units)
        labels = segment_whole(self, source, settings or ObjectSettings(), statistics, progress)
        return np.ascontiguousarray(from_canonical(labels, label_axes(source.axes)))
