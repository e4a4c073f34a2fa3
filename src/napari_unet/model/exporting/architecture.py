"""Our U-Net as one self-contained Python file, made of this package's own source: needs torch and nothing else."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

from napari_unet.model import config, unet
from napari_unet.model.geometry import level_steps

FILE = "architecture.py"
FUNCTION = "Network"

_HEAD = '''"""The U-Net of napari-unet {version}, as one file that needs torch and nothing else.

Network(final_activation="softmax", **configuration) maps (N, C, [Z], Y, X) to scores of the same spatial size;
final_activation="none" leaves the logits. Made from the source of napari-unet (BSD-3-Clause).
"""

from __future__ import annotations

{imports}


class CheckpointError(ValueError):
    """The configuration or the input does not fit."""


'''

_TAIL = '''

class Network(UNet):
    """The U-Net with the activation that turns its logits into scores."""

    def __init__(self, final_activation="none", **configuration):
        super().__init__(UNetConfig.from_dict(configuration))
        self.final_activation = final_activation

    def forward(self, x):
        y = super().forward(x)
        if self.final_activation == "softmax":
            return torch.softmax(y, dim=1)
        return torch.sigmoid(y) if self.final_activation == "sigmoid" else y
'''


def architecture_source() -> str:
    """Return the source text of a file that builds our U-Nets.

    The file holds configuration, geometry and network as they are in this package, so that there is one source of
    truth; weights of a `napari_unet.model.unet.UNet` fit it by name.
    """
    from napari_unet import __version__

    pieces, imports = [], set()
    for module in (config, unet):
        body, needed = _body(module)
        imports |= needed
        pieces.append(body)
    pieces.insert(
        1, inspect.getsource(level_steps).replace("model: UNetConfig | CheckpointHeader", "model: UNetConfig")
    )
    head = _HEAD.format(version=__version__, imports="\n".join(sorted(imports)))
    return head + "\n\n".join(piece.strip("\n") + "\n" for piece in pieces) + _TAIL


def _body(module: ModuleType) -> tuple[str, set[str]]:
    """Return a module's source without its docstring and imports, and the imports from outside this package."""
    source = inspect.getsource(module)
    lines = source.splitlines(keepends=True)
    imports = set()
    start = 0
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            text = "".join(lines[node.lineno - 1 : node.end_lineno]).strip()
            if "napari_unet" not in text and "__future__" not in text:
                imports.add(text)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            break
        start = node.end_lineno or start
    return "".join(lines[start:]), imports
