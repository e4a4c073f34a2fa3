"""Score a model trained from a recipe on the images kept for testing, and put it into the package with its card.

    python scripts/release_model.py recipes/NAME.toml CHECKPOINT DATA

DATA is the folder that the recipe's patterns start from. The scores come from the product's own path: normalization,
tiles, decoding. Writes ``NAME.safetensors`` and ``NAME.md`` beside the other built-in models; the card is made from
``recipes/NAME.md``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli.recipes import read_samples
from napari_unet.image.normalize import Statistics
from napari_unet.inference.labels.objects import decode
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.evaluation import class_scores, object_scores
from napari_unet.learning.pretraining.recipe import Recipe, read_recipe
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint

BUILTIN = Path(__file__).parents[1] / "src" / "napari_unet" / "model" / "builtin"
SHOWN = {"instances": ("ap_50", "f1", "pq", "dice"), "classes": ("dice",), "binary": ("dice", "iou")}
NAMES = {"ap_50": "AP at IoU 0.5", "f1": "F1 at IoU 0.5", "pq": "panoptic quality", "dice": "Dice", "iou": "IoU"}


def score(checkpoint: Checkpoint, recipe: Recipe, data: Path, beside: Path) -> dict[str, dict[str, float]]:
    """Return the mean scores of the test images by group, and how many images there are."""
    header = checkpoint.header
    predictor = Predictor(checkpoint, device="cpu", threads=1)
    as_it_is = Statistics((0.0,) * header.in_channels, (1.0,) * header.in_channels, "given")
    values: dict[str, list[list[float]]] = {}
    for one in recipe.data:
        for sample in read_samples(recipe, one, data, beside, ("test",)):
            axes = "CYX" if header.ndim == 2 else "CZYX"
            labels = decode(predictor.predict(sample.image, axes, statistics=as_it_is), header.output)
            found = scores_of(checkpoint, sample.labels, labels)
            values.setdefault(sample.group, []).append([found[name] for name in SHOWN[header.output.kind]])
    return {
        group: {
            **dict(zip(SHOWN[header.output.kind], np.mean(rows, axis=0).round(4).tolist(), strict=True)),
            "images": len(rows),
        }
        for group, rows in sorted(values.items())
    }


def scores_of(checkpoint: Checkpoint, truth: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return the scores of labels by the names in `SHOWN`."""
    output = checkpoint.header.output
    if output.kind == "classes":
        found = class_scores(truth, labels, len(output.classes))
        return {"dice": float(np.mean([found[f"dice_class_{k}"] for k in range(1, len(output.classes))]))}
    return object_scores(truth, labels if output.instances else (labels > 0).astype(np.uint32))


def card(template: Path, checkpoint: Checkpoint, recipe: Recipe) -> str:
    """Fill the template of a card with what is known of the model."""
    header, shown = checkpoint.header, SHOWN[checkpoint.header.output.kind]
    rows = [f"| images | n | {' | '.join(NAMES[name] for name in shown)} |", "|---" * (len(shown) + 2) + "|"]
    for group, values in header.provenance["scores"].items():
        numbers = " | ".join(f"{values[name]:.3f}" for name in shown)
        rows.append(f"| {group} | {values['images']:.0f} | {numbers} |")
    provenance = header.provenance
    return template.read_text(encoding="utf-8").format(
        scores="\n".join(rows),
        steps=provenance["steps"],
        batch=recipe.schedule.batch,
        shift=provenance["shift"],
        licences=", ".join(provenance["licences"]),
        weights=f"{sum(p.numel() for p in checkpoint.network.parameters()) / 1e6:.1f} million",
        features=", ".join(map(str, recipe.config.features)),
        weights_hash=header.weights_hash,
    )


def main() -> None:
    """Score, save, write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only-score", action="store_true", help="print the scores and write nothing")
    options = parser.parse_args()
    recipe, checkpoint = read_recipe(options.recipe), load_checkpoint(options.checkpoint)
    scores = score(checkpoint, recipe, options.data, options.recipe.parent)
    for group, values in scores.items():
        print(group, values)
    if options.only_score:
        return
    provenance = {**checkpoint.header.provenance, "scores": scores}
    checkpoint.header = replace(checkpoint.header, provenance=provenance)
    path = checkpoint.save(BUILTIN / f"{recipe.name}.safetensors", half=recipe.half)
    text = card(options.recipe.with_suffix(".md"), checkpoint, recipe)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
