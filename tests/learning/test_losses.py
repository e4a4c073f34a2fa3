import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_unet.learning.losses import anchor_loss, masked_loss


def problem(seed, channels=3, shape=(2, 8, 9)):
    generator = torch.Generator().manual_seed(seed)
    n, y, x = shape
    logits = torch.randn((n, channels, y, x), generator=generator)
    target = torch.randint(0, max(channels, 2), shape, generator=generator)
    known = torch.rand(shape, generator=generator) < 0.4
    weight = 1 + 2 * torch.rand(shape, generator=generator)
    return logits, target, known, weight


def gradient(logits, *arguments):
    leaf = logits.clone().requires_grad_(True)
    loss = masked_loss(leaf, *arguments)
    loss.backward()
    return loss.detach(), leaf.grad


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([(1, "sigmoid"), (3, "softmax"), (3, "sigmoid")]),
    st.integers(0, 40),
    st.sampled_from([0.0, 1.0, 50.0]),
)
def test_loss_and_gradient_do_not_depend_on_the_unknown(seed, kind, margin, noise):
    channels, activation = kind
    logits, target, known, weight = problem(seed, channels)
    loss, grad = gradient(logits, target, known, weight, activation)

    around = (margin,) * 4
    wide = functional.pad(logits, around)
    unknown = ~functional.pad(known, around)
    wide = torch.where(unknown[:, None], noise * torch.randn_like(wide), wide)
    wide_loss, wide_grad = gradient(
        wide,
        torch.where(unknown, 1, functional.pad(target, around)),
        ~unknown,
        functional.pad(weight, around, value=100.0),
        activation,
    )
    inner = wide_grad[..., margin : margin + 8, margin : margin + 9]
    assert torch.equal(loss, wide_loss)
    assert torch.equal(inner[known[:, None].expand_as(inner)], grad[known[:, None].expand_as(grad)])
    assert not wide_grad[unknown[:, None].expand_as(wide_grad)].any()


def test_the_loss_is_what_its_definition_says():
    logits, target, known, weight = problem(3)
    scores = logits.softmax(1)
    entropy = dice = total = 0.0
    for k in range(3):
        here = known & (target == k)
        entropy -= float((weight[here] * scores[:, k][here].log()).sum())
        total += float(weight[here].sum())
        overlap = float((weight * scores[:, k])[here].sum())
        size = float(weight[here].sum() + (weight * scores[:, k])[known].sum())
        dice += (1 - 2 * overlap / size) / 3
    assert float(masked_loss(logits, target, known, weight)) == pytest.approx(entropy / total + dice, rel=1e-5)


def test_a_class_that_is_not_known_has_no_dice_term():
    logits, target, known, _ = problem(4)
    target = target.clamp_max(1)
    perfect = 30.0 * functional.one_hot(target, 3).movedim(-1, 1).float()
    assert float(masked_loss(perfect, target, known)) == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(masked_loss(logits, target, known))


def test_nothing_known_is_no_loss():
    logits, target, known, _ = problem(5)
    loss, grad = gradient(logits, target, known & False)
    assert float(loss) == 0
    assert not grad.any()


def test_scores_and_logits_give_the_same_loss():
    logits, target, known, weight = problem(6)
    from_scores = masked_loss(logits.softmax(1), target, known, weight, "none")
    assert float(from_scores) == pytest.approx(float(masked_loss(logits, target, known, weight)), rel=1e-4)


def test_the_anchor_is_zero_at_the_parent_and_acts_on_the_unknown_alone():
    logits, _, known, _ = problem(7)
    parent = logits + torch.randn_like(logits)
    assert float(anchor_loss(logits, logits, ~known)) == pytest.approx(0, abs=1e-6)
    leaf = logits.clone().requires_grad_(True)
    anchor_loss(leaf, parent, ~known).backward()
    assert leaf.grad is not None
    assert not leaf.grad[known[:, None].expand_as(leaf.grad)].any()
    assert float(anchor_loss(logits, parent, ~known)) > 0
