"""The rules that are compared: each turns what is known into a predictor, round by round."""

from __future__ import annotations

from interactive_parts.rules.base import Outcome, Rule
from interactive_parts.rules.cellpose import Cellpose
from interactive_parts.rules.forest import Forest
from interactive_parts.rules.nothing import Nothing
from interactive_parts.rules.ours import FromNuclei, Ours, Scratch
from interactive_parts.rules.plain import Plain
from interactive_parts.rules.real_rootpainter import RealRootPainter
from interactive_parts.rules.rootpainter import RootPainter

__all__ = ["RULES", "Outcome", "RealRootPainter", "Rule"]

_ALL: tuple[type[Rule], ...] = (
    Ours,
    Scratch,
    FromNuclei,
    Forest,
    RootPainter,
    Cellpose,
    Nothing,
    RealRootPainter,
    Plain,
)
RULES: dict[str, type[Rule]] = {rule.name: rule for rule in _ALL}
