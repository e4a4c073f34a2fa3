"""How kept scores become labels: a frame at once, or block by block where it is large. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError, disk_advice
from napari_unet.image.boxes import Box, inside, volume
from napari_unet.inference.labels.blocks import DECODING_BYTES, SHARE, BlockPlan, Region, block_size
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.labels.smoothing import smoothed_part
from napari_unet.inference.labels.stacking import StackJoiner
from napari_unet.inference.labels.stitching import Labels, Run, Stitcher, call
from napari_unet.model.header import Output

Give = Callable[[int, Box, Labels], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Decoding:
    """How scores become labels, and with how much memory.

    A frame is what is decoded as a whole: a volume, or a plane of a 2D network.

    Parameters
    ----------
    output : Output
        What the channels mean.
    settings : ObjectSettings
        Threshold and so on.
    flat : bool
        A frame is a plane.
    budget : int
        Bytes to work with.
    folder : Path, optional
        An existing folder for temporary arrays.
    """

    output: Output
    settings: ObjectSettings
    flat: bool
    budget: int
    folder: Path | None = None

    @property
    def numbered(self) -> bool:
        """Whether labels are objects rather than classes."""
        return self.output.numbered(self.settings.connected)

    @property
    def beyond_a_voxel(self) -> bool:
        """Whether a label depends on the scores around it."""
        return self.numbered or (self.output.kind == "binary" and self.settings.smooth > 0)

    def decode(self, scores: npt.NDArray[Any]) -> Labels:
        """Decode (C, Z, Y, X) scores in memory; a plane of a 2D network is decoded as a plane."""
        if self.flat and scores.shape[1] == 1:
            return decode(scores[:, 0], self.output, self.settings)[None]
        return decode(scores, self.output, self.settings)

    def fits_as_labels(self, box: Box) -> bool:
        """Whether the labels of a frame fit into a quarter of the memory."""
        return volume(box) * 4 <= self.budget // SHARE

    def frame(self, scores: Any, t: int, box: Box, run: Run = call) -> Labels:
        """Return the labels of a frame whose labels fit into memory, numbered from 1."""
        if volume(box) * DECODING_BYTES <= self.budget:
            found: Labels = run(self.decode, np.asarray(scores[(t, slice(None), *box)], np.float32))
            return found
        labels = np.zeros(tuple(s.stop - s.start for s in box), np.uint32)

        def give(t: int, part: Box, values: Labels) -> None:
            labels[inside(part, box)] = values

        self.blocks(scores, [(t, box)], give, run=run)
        return labels

    def blocks(
        self,
        scores: Any,
        frames: Sequence[Region],
        give: Give,
        *,
        join: bool = False,
        first: int = 0,
        progress: Progress | None = None,
        run: Run = call,
    ) -> int:
        """Decode frames of any size block by block.

        Parameters
        ----------
        scores : array-like
            (T, C, Z, Y, X), read by slices; values 0 to 1.
        frames : sequence of (int, Box)
            Time point and (z, y, x) box of each frame, in this order.
        give : callable
            Gets (t, box, labels of uint32) for each block, every voxel of the frames once. Boxes begin on multiples
            of the core of `block_size`.
        join : bool
            Frames are planes of stacks, one after the other; their objects are joined in z.
        first : int
            Objects are numbered from ``first + 1``, in the raster order of their first voxel.
        progress : callable, optional
            Called with (done, total) steps.
        run : callable
            Calls long functions; may raise to stop.

        Returns
        -------
        int
            The largest number that was given; `first` for models without objects.

        Raises
        ------
        OutputError
            If there are too many objects; if the disk is full.
        """
        if not self.numbered:
            self._voxelwise(scores, frames, give, progress, run)
            return first
        try:
            with TemporaryDirectory(prefix="napari-unet-", dir=self.folder, ignore_cleanup_errors=True) as name:
                return self._stitched(scores, frames, give, Path(name), join, first, progress, run)
        except OSError as error:
            raise OutputError(
                f"The objects cannot be put together in '{self.folder or gettempdir()}': {error.strerror or error}.",
                disk_advice(error, "Free some space, then try again: the scores stay."),
            ) from error

    def _stitched(
        self,
        scores: Any,
        frames: Sequence[Region],
        give: Give,
        folder: Path,
        join: bool,
        first: int,
        progress: Progress | None,
        run: Run,
    ) -> int:
        """Find objects block by block; temporary arrays go to a folder."""
        core, margin = block_size(scores.shape[2:], self.flat, self.budget)
        stitcher = Stitcher(
            scores, frames, self.output, self.settings, core=core, margin=margin, folder=folder, run=run
        )
        joiner = StackJoiner(give, scores.shape[3:], folder) if join and scores.shape[2] > 1 else None
        for block, labels in stitcher.blocks(first if joiner is None else 0, progress):
            (give if joiner is None else joiner.put)(block.t, block.core, labels)
        if joiner is None:
            return first + stitcher.count
        joiner.close()
        return joiner.count

    def _voxelwise(
        self, scores: Any, frames: Sequence[Region], give: Give, progress: Progress | None, run: Run
    ) -> None:
        """Decode what needs no objects: classes and masks, smoothed across the blocks."""
        core, _ = block_size(scores.shape[2:], self.flat, self.budget)
        unsmoothed = replace(self.settings, smooth=0)
        blocks = BlockPlan(frames, core, (0, 0, 0)).blocks
        for n, block in enumerate(blocks):
            frame = frames[block.region][1]
            part = run(smoothed_part, scores, block.t, block.core, frame, self.settings.smooth)
            give(block.t, block.core, run(decode, part, self.output, unsmoothed))
            if progress is not None:
                progress(n + 1, len(blocks))
