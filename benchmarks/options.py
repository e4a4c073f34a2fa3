"""What the options of a prediction do to time and agreement, with the built-in model.

Run it as ``python benchmarks/options.py [FOLDER]``. Generated nuclei in 3D are always measured; with a folder of the
Data Science Bowl 2018 (``images`` and ``labels``, named alike), also the images that the built-in model was neither
trained nor chosen on. One thread; prints Markdown.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unet.cli.inputs import open_source
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_3d
from napari_unet.inference.labels.objects import decode
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.seams import check_seams
from napari_unet.io.labels import read_labels
from napari_unet.learning.evaluation import Matches, match_objects
from napari_unet.model.checkpoint import load_checkpoint

Pair = tuple[ImageSource, npt.NDArray[np.uint32]]
SPLIT = Path(__file__).parent.parent / "recipes" / "nuclei-2d.csv"
STACKS = (
    ("planes apart", PredictOptions(join_z=False)),
    ("planes joined", PredictOptions()),
    ("three directions", PredictOptions(three_directions=True)),
    ("three directions, mirrored versions", PredictOptions(three_directions=True, flips=True)),
)
PLANES = (("as it is", PredictOptions()), ("mirrored versions", PredictOptions(flips=True)))


def stacks(count: int = 5) -> Iterator[Pair]:
    """Yield generated nuclei in 3D and their truth."""
    for seed in range(count):
        image, truth = nuclei_3d(seed=seed)
        yield ImageSource.from_array(image, "ZYX", scale=(1.0, 1.0, 1.0)), truth.astype(np.uint32)


def held_back(folder: Path) -> Iterator[Pair]:
    """Yield the test images of the built-in model."""
    for row in csv.DictReader(SPLIT.open()):
        if row["part"] == "test":
            image = next((folder / "images").glob(f"{row['id']}.*"))
            labels, _, _, _ = read_labels(next((folder / "labels").glob(f"{row['id']}.*")))
            yield open_source(image, None, None, None), labels.astype(np.uint32)


def table(predictor: Predictor, what: str, pairs: Iterable[Pair], rows: Iterable[tuple[str, PredictOptions]]) -> None:
    """Print a row for each way of running the model."""
    images = list(pairs)
    predictor.segment(images[0][0])  # once before the clock runs
    print(f"\n| {what}, {len(images)} images | AP at IoU 0.5 | found, too many, missed | seconds |\n|---|---|---|---|")
    for name, options in rows:
        one, found, start = predictor.with_options(options), Matches(0, 0, 0), time.perf_counter()
        for source, truth in images:
            found = found + match_objects(truth, one.segment(source).reshape(truth.shape))
        seconds = time.perf_counter() - start
        counts = f"{found.true_positives}, {found.false_positives}, {found.false_negatives}"
        print(f"| {name} | {found.average_precision:.3f} | {counts} | {seconds:.1f} |", flush=True)


def decoding(predictor: Predictor, source: ImageSource) -> None:
    """Print what part of a segmentation goes into decoding, median of five."""
    output, parts = predictor.checkpoint.header.output, []
    for _ in range(5):
        start = time.perf_counter()
        scores = predictor.predict(source)
        middle = time.perf_counter()
        decode(scores, output)
        end = time.perf_counter()
        parts.append((middle - start, end - middle))
    network, rest = np.median(np.asarray(parts), axis=0)
    size = " × ".join(str(n) for n in source.shape[2:])
    print(f"\nDecoding {size}: {rest:.2f} s beside {network:.2f} s of the network, {rest / (rest + network):.0%}.")


def main() -> None:
    """Measure and print."""
    predictor = Predictor(load_checkpoint("nuclei-2d"), device="cpu", threads=1)
    print(predictor.sentence)
    table(predictor, "2D model over generated nuclei in 3D", stacks(), STACKS)
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        table(predictor, "nuclei in 2D, held back", held_back(folder), PLANES)
        large = max((source for source, _ in held_back(folder)), key=lambda one: one.shape[2] * one.shape[3])
        decoding(predictor, large)
        exact = Predictor(predictor.checkpoint, device="cpu", precision="float32", threads=1)
        for one in (exact, predictor):
            result = check_seams(one, large)
            if result is not None:
                print(f"\n{result.sentence}")


if __name__ == "__main__":
    main()
