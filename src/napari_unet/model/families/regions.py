"""Scores of exclusive classes from regions that contain each other, as nnU-Net paints them.

::

    regions   whole ⊃ core ⊃ centre, each with a sigmoid of its own
    painting  whole = 1, then core = 2 over it, then centre = 3 over that, wherever the score exceeds one half
    classes   a region counts where no later one is painted; the background where none is

The largest class score is that of the label that nnU-Net paints, at every voxel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class RegionScores(nn.Module):
    """A network of overlapping regions, as one of exclusive classes.

    Parameters
    ----------
    body : torch.nn.Module
        Returns one logit per region, in the order in which they are painted.
    values : sequence of int
        Label that each region is painted with: 1, 2, … in any order.
    """

    def __init__(self, body: nn.Module, values: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        self.values = tuple(values)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) to scores of background and classes, in 0 to 1."""
        regions = torch.sigmoid(self.body(x))
        scores = [1 - regions.amax(1, keepdim=True)]
        covered = torch.zeros_like(scores[0], dtype=torch.bool)
        painted: dict[int, torch.Tensor] = {}
        for index in reversed(range(len(self.values))):
            region = regions[:, index : index + 1]
            painted[self.values[index]] = torch.where(covered, 0.0, region)
            covered = covered | (region > 0.5)
        return torch.cat(scores + [painted[value] for value in sorted(painted)], 1)
