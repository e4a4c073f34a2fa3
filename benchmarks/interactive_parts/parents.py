"""The parent of the nuclei tasks, from a training run that saw fluorescence images alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def export_parent(state: Path, target: Path) -> Path:
    """Write the checkpoint of a state made by ``scripts/train_nuclei_2d.py DATA --state STATE --groups fluo``.

    It is built as the built-in model is, with its constant shift of the logits, and says what it has seen.
    """
    sys.path.insert(0, str(SCRIPTS))
    from export_nuclei_2d import checkpoint_of

    checkpoint = checkpoint_of(state, {})
    provenance = {
        **checkpoint.header.provenance,
        "data": "BBBC038v1 (Kaggle DSB 2018 stage 1, corrected masks): the fluorescence images of the training part",
        "recipe": "scripts/train_nuclei_2d.py --groups fluo",
    }
    checkpoint.header = replace(checkpoint.header, name="nuclei-fluo", provenance=provenance)
    target.parent.mkdir(parents=True, exist_ok=True)
    return checkpoint.save(target)
