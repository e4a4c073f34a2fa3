"""What worker processes import before they are needed."""

from __future__ import annotations

import subprocess
import sys

FIRST_ROUND = """
import sys

from napari_unet.session.tasks import warm_up_training

warm_up_training(None)

from napari_unet.learning.learner import Learner
from napari_unet.learning.quick import blank_checkpoint
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.header import ClassInfo

checkpoint = blank_checkpoint((ClassInfo("background", "#000000"), ClassInfo("cell", "#ffffff")), 2, 1, "cells")
before = set(sys.modules)
Learner(checkpoint, TrainSettings(steps=1))
print(*(name for name in set(sys.modules) - before if name.startswith("torch")), "end")
"""


def test_the_first_round_imports_nothing_more_of_torch():
    child = subprocess.run([sys.executable, "-c", FIRST_ROUND], capture_output=True, text=True, check=True)
    assert child.stdout == "end\n"
