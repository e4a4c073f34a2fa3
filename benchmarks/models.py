"""The built-in model on held-back images, beside Otsu and watershed and a U-Net of the BioImage Model Zoo.

    python benchmarks/models.py FOLDER --zoo WEIGHTS

FOLDER holds the images of the Data Science Bowl 2018 (``manifest.csv``, ``images``, ``labels``), WEIGHTS the package
"UNet 2D Nuclei Broad" (``weights.pt``); without it that model is left out. Prints Markdown: quality by image group and
seconds, what disturbances do, how well the size of objects is found, and the share of decoding. One thread; seconds
are the processor's, so that a busy machine does not change them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models_parts.contenders import Contender, ZooUNet, otsu, ours
from models_parts.images import DISTURBANCES, GROUPS, SPLIT, Case, held_back
from napari_unet.image.source import ImageSource
from napari_unet.inference.diameters import equivalent_diameters
from napari_unet.inference.labels.objects import decode
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.evaluation import THRESHOLDS, match_pairs
from napari_unet.learning.overlap import count_overlaps
from napari_unet.model.checkpoint import load_checkpoint

Scores = dict[str, list[tuple[float, float]]]  # AP at 0.5 and its mean over 0.5 to 0.95 of the images of each group
NATIVE, SIZED = PredictOptions(), PredictOptions(find_size=True)
ZOO_NOTE = (
    "The zoo's U-Net takes one channel of fluorescence and gets the luminance of colour images. It was trained on "
    "images of the Data Science Bowl 2018 and may have seen these; ours has not."
)


def measure(contender: Contender, cases: Iterable[Case]) -> tuple[Scores, float]:
    """Return the scores of a contender by group, and its processor seconds."""
    scores: Scores = {}
    seconds = 0.0
    for case in cases:
        start = time.process_time()
        labels = contender(case)
        seconds += time.process_time() - start
        table = count_overlaps(case.truth, np.asarray(labels))
        precise = [match_pairs(table, threshold).matches.average_precision for threshold in THRESHOLDS]
        for group in case.groups:
            scores.setdefault(group, []).append((precise[0], float(np.mean(precise))))
    return scores, seconds


def quality(contenders: dict[str, Contender], cases: Sequence[Case]) -> None:
    """Print how well each contender does in each group of images."""
    counts = {group: sum(group in case.groups for case in cases) for group in GROUPS}
    shown = [group for group in GROUPS if counts[group]]
    groups = " | ".join(f"{group} ({counts[group]})" for group in shown)
    print(f"\n| AP at IoU 0.5 (mean of 0.5 to 0.95) | {groups} | processor s per image |")
    print("|---" * (len(shown) + 2) + "|")
    for name, contender in contenders.items():
        contender(cases[0])  # once before the clock runs
        scores, seconds = measure(contender, cases)
        cells = ["{:.3f} ({:.3f})".format(*np.mean(scores[group], axis=0)) for group in shown]
        print(f"| {name} | {' | '.join(cells)} | {seconds / len(cases):.2f} |", flush=True)


def robustness(predictor: Predictor, cases: Sequence[Case]) -> None:
    """Print what disturbances do to the built-in model, with the size of the objects found and without."""
    contenders = {"size found": ours(predictor, SIZED), "as it is": ours(predictor, NATIVE)}
    shown = [group for group in GROUPS if any(group in case.groups for case in cases)]
    print(f"\n| AP at IoU 0.5: size found / image as it is | {' | '.join(shown)} | processor s per image |")
    print("|---" * (len(shown) + 2) + "|")
    for name, disturb in DISTURBANCES.items():
        disturbed = [disturb(case) for case in cases]
        found = [measure(contender, disturbed) for contender in contenders.values()]
        cells = [" / ".join(f"{np.mean(scores[group], axis=0)[0]:.3f}" for scores, _ in found) for group in shown]
        times = " / ".join(f"{seconds / len(cases):.2f}" for _, seconds in found)
        print(f"| {name} | {' | '.join(cells)} | {times} |", flush=True)


def sizes(predictor: Predictor, cases: Sequence[Case]) -> None:
    """Print by which factor the diameter that is found misses the median of the truth, on average."""
    one = predictor.with_options(SIZED)
    shown = [group for group in GROUPS if any(group in case.groups for case in cases)]
    print(f"\n| the found diameter is wrong by a factor of (not told) | {' | '.join(shown)} |")
    print("|---" * (len(shown) + 1) + "|")
    for name in ("0.5× magnification", "as they are", "2× magnification"):
        missed: dict[str, list[float]] = {group: [] for group in shown}
        for case in map(DISTURBANCES[name], cases):
            pixels = np.bincount(case.truth.ravel())[1:]
            true = float(np.median(equivalent_diameters(pixels[pixels > 0], 2)))
            found = one.sizes.of(one, ImageSource.from_array(case.image, case.axes))
            known = found is not None and found.diameter is not None
            for group in case.groups:
                missed[group].append(abs(np.log(found.diameter / true)) if known else np.nan)
        cells = [f"{np.exp(np.nanmean(missed[g])):.2f} ({np.isnan(missed[g]).sum()})" for g in shown]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def decoding(predictor: Predictor, cases: Sequence[Case]) -> None:
    """Print which share of a segmentation goes into decoding, by image group."""
    parts: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        source = ImageSource.from_array(case.image, case.axes)
        start = time.process_time()
        scores = predictor.predict(source)
        middle = time.process_time()
        decode(scores, predictor.checkpoint.header.output)
        end = time.process_time()
        for group in case.groups:
            parts.setdefault(group, []).append((middle - start, end - middle))
    print("\n| decoding | processor s of the network | of decoding | share |\n|---|---|---|---|")
    for group in GROUPS:
        if group in parts:
            network, rest = np.sum(parts[group], axis=0)
            print(f"| {group} | {network:.2f} | {rest:.2f} | {rest / (network + rest):.0%} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Images, labels and manifest.")
    parser.add_argument("--zoo", type=Path, metavar="WEIGHTS", help="Folder of the zoo's U-Net.")
    parser.add_argument("--model", default="nuclei-2d", help="A built-in name or a checkpoint file.")
    parser.add_argument("--diameter", type=float, help="What the model knows, where its header does not say.")
    parser.add_argument("--part", default="test", help="Of the split: test or validation.")
    parser.add_argument("--split", type=Path, default=SPLIT)
    parser.add_argument("--limit", type=int, help="At most so many images per category.")
    parser.add_argument("--tables", nargs="+", default=["quality", "robustness", "sizes", "decoding"])
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(chosen.model)
    if chosen.diameter is not None:
        checkpoint = replace(checkpoint, header=replace(checkpoint.header, object_diameter=chosen.diameter))
    predictor = Predictor(checkpoint, device="cpu", threads=1)
    cases = list(held_back(chosen.folder, chosen.part, chosen.split, chosen.limit))
    print(f"{len(cases)} images ({chosen.part}). {predictor.sentence}")
    contenders: dict[str, Contender] = {
        f"{checkpoint.header.name}, size found": ours(predictor, SIZED),
        f"{checkpoint.header.name}, image as it is": ours(predictor, NATIVE),
        "Otsu + watershed": otsu,
    }
    if chosen.zoo is not None:
        zoo = ZooUNet(chosen.zoo)
        contenders |= {"zoo U-Net + components": zoo.components, "zoo U-Net + watershed": zoo.watershed}
        print(f"\n{ZOO_NOTE}")
    if "quality" in chosen.tables:
        quality(contenders, cases)
    if "robustness" in chosen.tables:
        robustness(predictor, cases)
    if "sizes" in chosen.tables:
        sizes(predictor, cases)
    if "decoding" in chosen.tables:
        decoding(predictor, cases)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
