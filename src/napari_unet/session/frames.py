"""The scores of a segmentation as they come in, frame by frame, and the labels that follow from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, union
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.inference.labels.keeping import ScoreStore, chunk_of
from napari_unet.inference.labels.planes import PlaneJoiner

if TYPE_CHECKING:
    from napari_unet.inference.tiles.tiling import Tile, TilePlan

Labels = npt.NDArray[np.uint32]
Run = Callable[..., Any]
Emit = Callable[["LabelBlock"], None]
Key = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class LabelBlock:
    """Labels of a box.

    What a tile shows is provisional until the frame that it belongs to is complete: a volume, or a plane of a 2D
    network. Then final blocks replace it, one for the whole frame, or several for a frame too large to be decoded
    at once. An id stands for the same object in all final blocks of one run.
    """

    t: int
    box: Box
    labels: Labels
    provisional: bool


class ScoreFrames:
    """Collects the scores of one frame after the other, keeps them, and finds the objects of complete ones.

    Parameters
    ----------
    decoding : Decoding
        How scores become labels.
    plan : TilePlan
        All tiles that will be added, also those that an earlier run has finished.
    shape : tuple of int
        (T, C, Z, Y, X) of the scores.
    path : str or None
        Where to keep the scores, see `ScoreStore`; nowhere when None.
    key : mapping or callable
        What the scores come from.
    join_planes : bool
        Join the objects of neighbouring planes.
    """

    def __init__(
        self,
        decoding: Decoding,
        plan: TilePlan,
        shape: tuple[int, ...],
        path: str | None,
        key: Key,
        join_planes: bool,
    ) -> None:
        self._decoding = decoding
        self._objects = decoding.numbered
        self._whole = decoding.beyond_a_voxel
        self._classes = decoding.output.kind == "classes"
        self._join = join_planes and decoding.flat and self._objects and shape[2] > 1
        self._left = Counter((tile.t, tile.z) for tile in plan.tiles)
        self._covered: dict[tuple[int, int | None], Box] = {}
        for tile in plan.tiles:
            self._covered[tile.t, tile.z] = union(self._covered.get((tile.t, tile.z), tile.inner), tile.inner)
        frames = list(self._covered.values())
        self._streamed = self._whole and not all(map(decoding.fits_as_labels, frames))
        self._joiner = PlaneJoiner() if self._join and not self._streamed else None
        self._joined: dict[tuple[int, int], npt.NDArray[np.int64]] = {}  # plane → the id of each of its objects
        self._last = 0
        self._folder = TemporaryDirectory(prefix="napari-unet-")
        given = Path(path) if path is not None else Path(self._folder.name) / "scores.npy"
        if self._classes:
            # Decided voxel by voxel: the classes are kept, which take less space, and there are no scores.
            given = given.with_name(f"{given.stem}-classes.npy")
            shape = (shape[0], 1, *shape[2:])
        dtype, limit = (np.uint8, 0) if self._classes else (np.float16, decoding.budget // 4)
        self.store = ScoreStore(given, shape, key, chunk=chunk_of(plan.step, decoding.flat), dtype=dtype, limit=limit)

    def close(self) -> None:
        """Let go of the scores, and remove what was temporary."""
        self.store.close()
        self._folder.cleanup()

    def finished(self, tile: Tile) -> bool:
        """Whether an earlier run has finished a tile."""
        return self.store.finished(tile.t, tile.inner)

    def again(self, tile: Tile) -> LabelBlock:
        """Return the labels of a tile that an earlier run has finished."""
        scores = np.asarray(self.store.array[(tile.t, slice(None), *tile.inner)])
        self._left[tile.t, tile.z] -= 1
        labels = scores[0].astype(np.uint32) if self._classes else self._decoding.decode(scores.astype(np.float32))
        return LabelBlock(tile.t, tile.inner, labels, provisional=self._whole)

    def add(self, tile: Tile, scores: npt.NDArray[np.float32]) -> LabelBlock:
        """Return the labels of a tile; `keep` follows."""
        labels = self._decoding.decode(scores)
        return LabelBlock(tile.t, tile.inner, labels, provisional=self._whole)

    def keep(self, tile: Tile, scores: npt.NDArray[np.float32], block: LabelBlock) -> None:
        """Keep the scores of a finished tile."""
        self.store.put(tile.t, tile.inner, block.labels[None].astype(np.uint8) if self._classes else scores)
        self._left[tile.t, tile.z] -= 1

    def complete(self, tile: Tile, run: Run, emit: Emit) -> None:
        """Give the final blocks of a tile's frame if it is complete now and decoded as a whole."""
        frame = (tile.t, tile.z)
        if not self._whole or self._left[frame] or (self._streamed and self._join):
            return
        box = self._covered[frame]
        if self._streamed:
            self._blocks([(tile.t, box)], run, emit)
            return
        labels = self._decoding.frame(self.store.array, tile.t, box, run)
        emit(self._numbered(frame, box, labels))

    def rest(self, run: Run, emit: Emit) -> None:
        """Give what has to wait for all frames: planes joined block by block, or joined anew."""
        if self._streamed and self._join:
            self._blocks(list(self.done), run, emit)
        elif self._joiner is not None and self._joiner.merged:
            self._unite(self._joiner.merged, run, emit)

    def _unite(self, merged: Mapping[int, int], run: Run, emit: Emit) -> None:
        """Give the planes again in which objects turned out to be another's; all others keep their ids."""
        for t, box in sorted(self.done, key=lambda frame: (frame[0], frame[1][0].start)):
            before = self._joined[t, box[0].start]
            after = np.array([merged.get(one, one) for one in before.tolist()], np.uint32)
            if (after != before).any():
                labels = self._decoding.frame(self.store.array, t, box, run)
                emit(LabelBlock(t, box, after[labels], provisional=False))

    @property
    def done(self) -> tuple[tuple[int, Box], ...]:
        """The (t, box) of every frame that is complete."""
        return tuple((frame[0], box) for frame, box in self._covered.items() if self._left[frame] == 0)

    def _numbered(self, frame: tuple[int, int | None], box: Box, labels: Labels) -> LabelBlock:
        """Make ids unique over the planes and time points of one segmentation, and join planes."""
        t, z = frame
        if self._joiner is not None and z is not None:
            joined = self._joiner.add(z, labels[0], t)[None]
            table = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
            table[labels] = joined
            self._joined[t, z] = table
            return LabelBlock(t, box, joined, provisional=False)
        if self._objects:
            labels[labels > 0] += self._last
            self._last = max(self._last, int(labels.max(initial=0)))
        return LabelBlock(t, box, labels, provisional=False)

    def _blocks(self, frames: list[tuple[int, Box]], run: Run, emit: Emit) -> None:
        """Give the final blocks of large frames, joined in z if they are planes of a stack."""

        def give(t: int, box: Box, labels: Labels) -> None:
            emit(LabelBlock(t, box, labels, provisional=False))

        frames = sorted(frames, key=lambda frame: (frame[0], frame[1][0].start))
        self._last = self._decoding.blocks(self.store.array, frames, give, join=self._join, first=self._last, run=run)
