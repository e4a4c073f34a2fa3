"""Losses whose sums and denominators run over known voxels only.

Known voxels are gathered before anything is computed, so that loss and gradient for the same known
voxels are the same whatever unknown area surrounds them.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

Activation = Literal["sigmoid", "softmax", "none"]

TINY = 1e-6


def masked_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    known: torch.Tensor,
    weight: torch.Tensor | None = None,
    activation: Activation = "softmax",
) -> torch.Tensor:
    """Return weighted cross entropy plus soft Dice over the known voxels.

    Parameters
    ----------
    logits : torch.Tensor, (N, C, [Z], Y, X)
        What the network returned; scores in 0 to 1 if `activation` is ``"none"``.
    target : torch.Tensor of int64, (N, [Z], Y, X)
        Channel index; with a single channel 1 is foreground.
    known : torch.Tensor of bool, (N, [Z], Y, X)
        Which voxels count. With none, the loss is 0.
    weight : torch.Tensor, (N, [Z], Y, X), optional
        Weight of each voxel, at least 0.
    activation : {"sigmoid", "softmax", "none"}
        What turns `logits` into scores.

    Returns
    -------
    torch.Tensor
        A scalar. The Dice term is the mean over the classes that occur among the known voxels [1]_;
        a class without known voxels teaches through the cross entropy alone.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: Fully Convolutional Neural Networks for
       Volumetric Medical Image Segmentation", 3DV 2016.
    """
    log_scores = _log_scores(gather(logits, known), activation)
    if log_scores.shape[0] == 0:
        return logits.sum() * 0.0
    truth = target[known]
    factor = torch.ones_like(log_scores[:, 0]) if weight is None else weight[known].to(log_scores.dtype)
    total = factor.sum().clamp_min(TINY)
    entropy = (functional.nll_loss(log_scores, truth, reduction="none") * factor).sum() / total
    share = functional.one_hot(truth, log_scores.shape[1]).to(log_scores.dtype) * factor[:, None]
    scores = log_scores.exp()
    in_truth = share.sum(0)
    overlap = (scores * share).sum(0)
    predicted = (scores * factor[:, None]).sum(0)
    loss = 1 - 2 * overlap / (in_truth + predicted).clamp_min(TINY)
    occurs = (in_truth > 0).to(loss.dtype)
    return entropy + (loss * occurs).sum() / occurs.sum().clamp_min(1)


def anchor_loss(
    logits: torch.Tensor, parent: torch.Tensor, unknown: torch.Tensor, activation: Activation = "softmax"
) -> torch.Tensor:
    """Return the mean divergence KL(parent ‖ current) over the unknown voxels, against forgetting.

    Parameters
    ----------
    logits, parent : torch.Tensor, (N, C, [Z], Y, X)
        What the network and its parent returned for the same input.
    unknown : torch.Tensor of bool, (N, [Z], Y, X)
        Where it counts.
    activation : {"sigmoid", "softmax", "none"}
        What turns them into scores.
    """
    current = _log_scores(gather(logits, unknown), activation)
    if current.shape[0] == 0:
        return logits.sum() * 0.0
    before = _log_scores(gather(parent, unknown), activation)
    return _divergence(before.exp(), before, current)


def soft_loss(
    logits: torch.Tensor, soft: torch.Tensor, where: torch.Tensor, activation: Activation = "softmax"
) -> torch.Tensor:
    """Return the mean divergence KL(soft ‖ current) over some voxels.

    Parameters
    ----------
    logits : torch.Tensor, (N, C, [Z], Y, X)
        What the network returned.
    soft : torch.Tensor, (N, classes, [Z], Y, X)
        Scores to learn from, with a sum of 1; one channel of logits has two classes.
    where : torch.Tensor of bool, (N, [Z], Y, X)
        Where it counts.
    activation : {"sigmoid", "softmax", "none"}
        What turns the logits into scores.
    """
    current = _log_scores(gather(logits, where), activation)
    if current.shape[0] == 0:
        return logits.sum() * 0.0
    wanted = gather(soft, where)
    return _divergence(wanted, wanted.clamp_min(TINY).log(), current)


def gather(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the channels (n, C) of the voxels of (N, C, [Z], Y, X) marked in (N, [Z], Y, X)."""
    return values.movedim(1, -1)[where].float()


def _divergence(wanted: torch.Tensor, log_wanted: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
    """Return the mean KL(wanted ‖ current) of scores (n, classes) and the logarithms of both."""
    return (wanted * (log_wanted - current)).sum(1).mean()


def _log_scores(values: torch.Tensor, activation: Activation) -> torch.Tensor:
    """Return log scores (n, classes); a single channel becomes background and foreground."""
    if activation == "softmax":
        return functional.log_softmax(values, dim=1)
    if values.shape[1] == 1:
        if activation == "sigmoid":
            return torch.cat((functional.logsigmoid(-values), functional.logsigmoid(values)), dim=1)
        scores = values.clamp(TINY, 1 - TINY)
        return torch.cat(((1 - scores).log(), scores.log()), dim=1)
    # Several channels that were not normalized against each other: their shares are compared.
    scores = values.sigmoid() if activation == "sigmoid" else values
    scores = scores.clamp_min(TINY)
    return (scores / scores.sum(1, keepdim=True)).log()
