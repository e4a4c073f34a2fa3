"""Whether the fast way gives the same labels: as it runs by default, in tiles, against float32 and untiled.

    python benchmarks/equality.py FOLDER

FOLDER holds the images and labels of the Data Science Bowl 2018; measured are those that the built-in nuclei model has
not seen. One thread; prints Markdown.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_unet.image.normalize import apply
from napari_unet.inference.channels import matched_source
from napari_unet.inference.labels.objects import decode
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.evaluation import match_objects
from napari_unet.model.checkpoint import load_checkpoint
from options import held_back

TILE = 128


@dataclass
class Tally:
    """What was counted over the images."""

    voxels: int = 0
    foreground: int = 0
    shared: int = 0
    ours: float = 0.0
    reference: float = 0.0
    images: int = 0


def untiled(predictor: Predictor, source: object) -> np.ndarray:
    """Return float32 scores of a whole image in one pass of the plain network, by torch alone."""
    header, network = predictor.checkpoint.header, predictor.checkpoint.network
    matched, _ = matched_source(source, header)
    whole = tuple(slice(0, n) for n in matched.shape[1:])
    image = apply(matched.read(0, whole), predictor.measure(source), header.normalization)[:, 0]
    padding = [
        (0, 0),
        *((0, -n % d) for n, d in zip(image.shape[1:], predictor.checkpoint.geometry.divisor, strict=True)),
    ]
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.pad(image, padding, mode="edge"))[None])
    return logits.softmax(1)[0, :, : image.shape[1], : image.shape[2]].numpy()


def main(folder: str) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    checkpoint = load_checkpoint("nuclei-2d")
    predictor, tally = Predictor(checkpoint, device="cpu", threads=1, tile=TILE), Tally()
    for source, truth in held_back(Path(folder)):
        ours = predictor.segment(source).reshape(truth.shape)
        reference = decode(untiled(predictor, source), checkpoint.header.output)
        found = match_objects(reference, ours, 0.5)
        tally.images += 1
        tally.voxels += truth.size
        tally.foreground += int(((ours > 0) == (reference > 0)).sum())
        tally.shared += int(same_object(ours, reference).sum())
        tally.ours += match_objects(truth, ours).average_precision
        tally.reference += match_objects(truth, reference).average_precision
        if found.false_positives or found.false_negatives:
            print(f"{source.name}: {found}", file=sys.stderr)
    print(predictor.sentence)
    print("\n| images | same foreground | same object | AP at IoU 0.5: default in tiles, float32 untiled |")
    print("|---|---|---|---|")
    shares = " | ".join(f"{part / tally.voxels:.4%}" for part in (tally.foreground, tally.shared))
    print(f"| {tally.images} | {shares} | {tally.ours / tally.images:.4f}, {tally.reference / tally.images:.4f} |")


def same_object(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return where two labelings agree: both background, or objects that are each other's largest share."""
    pairs = first.astype(np.int64) * (int(second.max()) + 1) + second
    values, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    one, other = np.divmod(values, int(second.max()) + 1)
    order = np.argsort(counts)
    best_of_one, best_of_other = (
        dict(zip(one[order], other[order], strict=True)),
        dict(zip(other[order], one[order], strict=False)),
    )
    good = [
        (a == 0) == (b == 0) and best_of_one[a] == b and best_of_other[b] == a for a, b in zip(one, other, strict=True)
    ]
    return np.asarray(good)[inverse.reshape(first.shape)]


if __name__ == "__main__":
    main(sys.argv[1])
