"""What each head should answer for a batch of patches, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from napari_unet.learning.losses import masked_loss
from napari_unet.learning.pretraining.filters import responses
from napari_unet.learning.pretraining.recipe import Head
from napari_unet.learning.sampler import BOUNDARY_WEIGHT
from napari_unet.learning.targets import BOUNDARY, object_targets

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

TOUCHING_WEIGHT = 6.0  # where another object is near: the fewest, and all that matters for splitting


@dataclass(frozen=True, eq=False)
class Goal:
    """What one head should answer for some patches of a batch.

    Parameters
    ----------
    head : int
        Which head.
    patches : ndarray of int64
        Which patches.
    target : ndarray
        int64 (n, [Z], Y, X), channel indices; for filters float32 (n, channels, [Z], Y, X).
    weight : ndarray of float32 or None
        (n, [Z], Y, X).
    """

    head: int
    patches: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64] | Floats
    weight: Floats | None = None


def goals(
    heads: Sequence[Head], which: Sequence[int], images: Sequence[Floats], labels: Sequence[Labels]
) -> list[Goal]:
    """Return what is to be answered: by the head of each patch, and by heads that need no labels for every patch.

    Parameters
    ----------
    heads : sequence of Head
        Of the recipe.
    which : sequence of int
        The head of each patch.
    images : sequence of ndarray of float32
        (C, [Z], Y, X).
    labels : sequence of ndarray of int32
        ([Z], Y, X).
    """
    found = []
    for number, head in enumerate(heads):
        chosen = [n for n, own in enumerate(which) if _answers(heads, number, own)]
        if not chosen:
            continue
        places = np.asarray(chosen, np.int64)
        if head.kind == "filters":
            found.append(Goal(number, places, np.stack([responses(images[n]) for n in chosen])))
        elif head.kind == "distance":
            found.append(Goal(number, places, np.stack([inner_distance(labels[n])[None] for n in chosen])))
        elif head.kind == "instances":
            answers = [_objects(labels[n]) for n in chosen]
            found.append(Goal(number, places, np.stack([a for a, _ in answers]), np.stack([w for _, w in answers])))
        else:
            most = 1 if head.kind == "binary" else len(head.classes) - 1
            found.append(Goal(number, places, np.stack([np.minimum(labels[n], most) for n in chosen]).astype(np.int64)))
    return found


def _answers(heads: Sequence[Head], number: int, own: int) -> bool:
    """Whether a head learns from a patch of another: filters from all, distances from all that show objects."""
    kind = heads[number].kind
    return own == number or kind == "filters" or (kind == "distance" and heads[own].kind == "instances")


def inner_distance(labels: Labels) -> Floats:
    """Return how far inside its object each voxel lies: its distance from the border over the largest one.

    Parameters
    ----------
    labels : ndarray of int32
        Object ids, 0 is the background.

    Returns
    -------
    ndarray of float32
        0 in the background, up to 1 at the deepest place of each object.
    """
    edge = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        change = np.diff(labels, axis=axis) != 0
        edge |= np.pad(change, [(0, 1) if a == axis else (0, 0) for a in range(labels.ndim)])
        edge |= np.pad(change, [(1, 0) if a == axis else (0, 0) for a in range(labels.ndim)])
    depth = ndimage.distance_transform_edt(~edge | (labels == 0)) + 0.5
    depth[labels == 0] = 0
    most = np.zeros(int(labels.max(initial=0)) + 1)
    np.maximum.at(most, labels.ravel(), depth.ravel())
    return np.asarray(depth / np.maximum(most, 1e-6)[labels], np.float32)


def _objects(labels: Labels) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return background, interior and boundary, and how much each voxel counts."""
    target, _ = object_targets(labels, np.ones(labels.shape, bool))
    around = (3, 5, 5)[3 - labels.ndim :]
    body = np.where(labels > 0, labels, np.iinfo(np.int32).max)
    foreign = (ndimage.maximum_filter(labels, around) != labels) | (ndimage.minimum_filter(body, around) != labels)
    weight = np.ones(labels.shape, np.float32)
    weight[target == BOUNDARY] = BOUNDARY_WEIGHT
    weight[(target == BOUNDARY) & foreign] = TOUCHING_WEIGHT
    return target, weight


def loss_of(head: Head, logits: torch.Tensor, goal: Goal) -> torch.Tensor:
    """Return the loss of one head's logits (n, channels, [Z], Y, X) for the patches of a goal."""
    target = torch.from_numpy(goal.target).to(logits.device)
    if head.kind == "distance":
        return 4 * functional.smooth_l1_loss(logits.float().sigmoid(), target, beta=0.1)
    if head.kind == "filters":
        return functional.smooth_l1_loss(logits.float(), target)
    known = torch.ones_like(target, dtype=torch.bool)
    weight = None if goal.weight is None else torch.from_numpy(goal.weight).to(logits.device)
    return masked_loss(logits, target, known, weight, head.output.activation)
