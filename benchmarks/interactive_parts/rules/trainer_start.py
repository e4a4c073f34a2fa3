"""Started by the interpreter that has ``root-painter-trainer``: makes its imports work and hands over to it.

A torchvision built for CUDA beside a torch for the CPU lacks its compiled operators and then refuses to be imported.
The trainer uses none of them (only a colour augmentation), so those whose absence stops the import are declared by
name.
"""

import importlib
import re
import runpy
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
DECLARED = torch.library.Library("torchvision", "FRAGMENT")


def import_torchvision() -> None:
    """Import torchvision, declaring the operators that it misses."""
    for _ in range(50):
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            DECLARED.define(f"{missing[1]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
        else:
            return
    raise SystemExit("torchvision cannot be imported.")


import_torchvision()
folder = Path(importlib.import_module("root_painter_trainer").__file__ or "").parent
runpy.run_path(str(folder / "main.py"), run_name="__main__")
