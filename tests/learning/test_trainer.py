import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import DeviceError, TrainingError
from napari_unet.image.normalize import Normalization
from napari_unet.jobs import JobContext
from napari_unet.learning.budget import seconds_of
from napari_unet.learning.learner import is_untrained
from napari_unet.learning.preparation import patch_size
from napari_unet.learning.samples import TrainingRegion, hold_back
from napari_unet.learning.scoring import Scoring
from napari_unet.learning.trainer import Trainer, TrainSettings
from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader, ClassInfo, Output
from napari_unet.session.training_tasks import run_trainer

QUICK = TrainSettings(steps=12, threads=1, device="cpu", batch=2)


def discs(seed=0, shape=(160, 160), noise=0.2):
    """Bright discs on a dark ground: image (1, 1, Y, X) and object ids (1, Y, X)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number in range(1, 30):
        cy, cx, r = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(6, 11)
        body = (y - cy) ** 2 + (x - cx) ** 2 < r * r
        if not labels[body].any():
            labels[body] = number
    image = (labels > 0) + noise * rng.standard_normal(shape)
    return image.astype(np.float32)[None, None], labels[None]


def region(seed=0, kind="classes", known=None, **where):
    image, labels = discs(seed)
    labels = (labels > 0).astype(np.int32) if kind == "classes" else labels
    mask = np.ones(labels.shape, bool) if known is None else known
    return TrainingRegion(image, labels, mask, None, f"image {seed}", 0, (0, 0, 0), **where)


def model(channels=1, **options):
    config = UNetConfig(in_channels=channels, features=(8, 16), **options)
    return Checkpoint.from_config(config, default_classes(2), name="small")


def instances_model():
    torch.manual_seed(0)
    checkpoint = Checkpoint.from_config(UNetConfig(features=(8, 16)), default_classes(3), name="objects")
    output = Output("instances", "softmax", ("background", "interior", "boundary"), default_classes(2))
    header = CheckpointHeader("objects", checkpoint.header.config, Normalization(), output, out_channels=3)
    return Checkpoint(checkpoint.network, header)


def finish(trainer, **options):
    reports = list(trainer.run(**options))
    return trainer.result, reports


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_a_network_learns_from_sparse_strokes(kind):
    known = np.zeros((1, 160, 160), bool)
    known[0, 20:60] = known[0, :, 90:120] = True
    checkpoint = model() if kind == "classes" else instances_model()
    settings = TrainSettings(steps=45, threads=1, device="cpu", augment=False)
    result, reports = finish(Trainer(checkpoint, [region(0, kind, known)], [region(1, kind)], settings))
    assert result.score > result.parent_score + 0.2
    assert result.score > 0.7 if kind == "classes" else result.score > 0.5
    assert result.steps == 45
    assert result.stopped_because == "budget"
    assert reports[-1].progress == 1
    assert math.isfinite(reports[-1].loss)
    assert [r.step for r in reports] == sorted(r.step for r in reports)


def test_the_parent_stays_as_it_is():
    checkpoint = model()
    before = {name: value.clone() for name, value in checkpoint.network.state_dict().items()}
    result, _ = finish(Trainer(checkpoint, [region()], settings=QUICK))
    after = checkpoint.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(before[n], v) for n, v in result.checkpoint.network.state_dict().items())
    assert result.parent_scores == result.scores == ()
    assert result.decision.verdict == "preliminary"


def test_fine_tuning_leaves_the_batch_norm_statistics():
    result, _ = finish(Trainer(model(), [region()], settings=QUICK))
    child = result.checkpoint
    again, _ = finish(Trainer(child, [region()], settings=QUICK))
    first, second = child.network.state_dict(), again.checkpoint.network.state_dict()
    statistics = [name for name in first if "running" in name]
    assert statistics
    assert all(torch.equal(first[name], second[name]) for name in statistics)
    untrained = model().network.state_dict()
    assert not any(torch.equal(first[name], untrained[name]) for name in statistics), "a new network takes them"


def test_steps_are_repeatable():
    runs = [finish(Trainer(model(), [region()], [region(1)], QUICK))[0] for _ in range(2)]
    states = [run.checkpoint.network.state_dict() for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert runs[0].scores == runs[1].scores


def test_a_resumed_run_is_bit_equal(tmp_path):
    def make():
        return Trainer(model(dropout=0.2), [region()], [region(1)], TrainSettings(steps=24, threads=1, device="cpu"))

    whole, _ = finish(make())
    first = make()
    calls = iter(range(1000))
    blocks = 1
    stopped, _ = finish(first, should_stop=lambda: next(calls) >= blocks + 13)
    assert stopped.stopped_because == "cancelled"
    assert 5 < stopped.steps < 20
    first.save_state(tmp_path / "state.safetensors")
    second = make()
    second.load_state(tmp_path / "state.safetensors")
    resumed, _ = finish(second)
    assert resumed.steps == whole.steps
    ours, expected = resumed.checkpoint.network.state_dict(), whole.checkpoint.network.state_dict()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    assert resumed.scores == whole.scores
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_damaged_state_is_an_error(tmp_path):
    trainer = Trainer(model(), [region()], settings=QUICK)
    path = trainer.save_state(tmp_path / "state.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(TrainingError, match="damaged"):
        trainer.load_state(path)
    other = Trainer(model(channels=1, residual=True), [region()], settings=QUICK)
    path.write_bytes(data)
    with pytest.raises(TrainingError, match="does not belong"):
        other.load_state(path)
    assert b"napari_unet.training" in data
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def test_stopping_keeps_the_best_so_far():
    stop = [False]
    trainer = Trainer(model(), [region()], [region(1)], TrainSettings(steps=10_000, threads=1, device="cpu"))
    last = None
    for report in trainer.run(lambda: stop[0]):
        if stop[0]:
            last = report
        stop[0] = report.step >= 2
    assert last.step <= 6
    assert trainer.result.stopped_because == "cancelled"
    assert trainer.result.steps < 10


def test_a_budget_in_seconds_ends():
    trainer = Trainer(model(), [region()], [region(1)], TrainSettings(seconds=2, threads=1, device="cpu"))
    result, reports = finish(trainer)
    assert result.steps > 0
    assert result.scores
    assert all(0 <= report.seconds_left <= 2 for report in reports)


def test_the_time_left_on_the_bar_is_that_of_the_budget(monkeypatch):
    sent = []
    context = JobContext(lambda kind, value: sent.append((kind, value)), lambda: False)
    context._start -= 100  # reading images and scoring the parent took long
    trainer = Trainer(model(), [region()], (), TrainSettings(seconds=2, threads=1, device="cpu"))
    run_trainer(context, trainer, (), None, "training")
    left = [value.seconds_left for kind, value in sent if kind == "progress"]
    assert len(left) > 2 and left[-1] == 0
    assert all(0 <= seconds <= 2 for seconds in left)


def test_a_round_ends_when_it_has_learned_what_there_is(monkeypatch):
    monkeypatch.setattr("napari_unet.learning.budget.LEARNED", {2: 0.8})
    monkeypatch.setattr("napari_unet.learning.budget.LEAST_STEPS", {2: 20})
    settings = TrainSettings(seconds=600, threads=1, device="cpu")
    result, reports = finish(Trainer(model(), [region()], [region(1)], settings))
    assert result.stopped_because == "learned"
    assert len(result.scores) == 1, "it is scored before it ends"
    assert reports[-1].loss < 0.8 and reports[-1].progress == 1 and reports[-1].seconds_left == 0
    result, _ = finish(Trainer(model(), [region()], (), TrainSettings(steps=result.steps + 5, threads=1, device="cpu")))
    assert result.stopped_because == "budget", "a number of steps is what was asked for"


def test_the_best_is_kept_not_the_last(monkeypatch):
    scores = iter([(0.5,), (0.9,), (0.1,), (0.2,)])  # the parent, a look, the last look, halfway
    looked = []

    def score(scoring, learner, should_stop):
        looked.append(learner.weights())
        return next(scores)

    monkeypatch.setattr(Scoring, "score", score)
    settings = TrainSettings(steps=15, batch=2, threads=1, device="cpu")
    result, _ = finish(Trainer(model(), [region()], [region(1)], settings))
    assert result.scores == (0.9,)
    kept = result.checkpoint.network.state_dict()
    assert all(torch.equal(kept[name], looked[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], looked[2][name]) for name in kept)


def test_a_resumed_round_of_seconds_uses_what_is_left(tmp_path, monkeypatch):
    def make():
        return Trainer(model(), [region()], [region(1)], TrainSettings(seconds=9.0, threads=1, device="cpu"))

    first = make()
    for report in first.run():
        if report.seconds > 4:
            break
    first.save_state(tmp_path / "state.safetensors")
    second = make()
    second.load_state(tmp_path / "state.safetensors")
    result, _ = finish(second)
    assert result.seconds > 8.0
    assert result.steps > first._learner.step_count


def test_a_round_makes_steps_however_long_scoring_takes(monkeypatch):
    def score(scoring, learner, should_stop):
        time.sleep(0.6)
        return (0.5,)

    monkeypatch.setattr(Scoring, "score", score)
    result, _ = finish(Trainer(model(), [region()], [region(1)], TrainSettings(seconds=0.5, threads=1, device="cpu")))
    assert result.steps > 0


def test_the_budget_counts_from_the_beginning_and_leaves_something_to_learn():
    settings = TrainSettings(seconds=60.0)
    assert seconds_of(settings, ready=5.0) == 60.0
    assert seconds_of(settings, ready=5.0, reserve=4.0) == 56.0
    assert seconds_of(settings, ready=58.0) == pytest.approx(78.0)
    assert seconds_of(settings, ready=58.0, reserve=40.0) == pytest.approx(68.0)


def test_after_a_gradient_that_is_no_number_a_new_network_has_the_statistics_of_the_images():
    trainer = Trainer(model(), [region()], settings=replace(QUICK, from_nothing=True))
    wrong = iter([math.nan])
    trainer._learner.network.head.weight.register_hook(lambda gradient: gradient * next(wrong, 1.0))
    result, _ = finish(trainer)
    assert not is_untrained(result.checkpoint.network)


def test_stopped_while_it_looks_halfway_the_new_weights_stay(monkeypatch):
    trainer = Trainer(model(), [region()], [region(1)], replace(QUICK, from_nothing=False))
    finish(trainer)
    new = trainer._learner.weights()
    trainer._choice.weights = None  # no look succeeded
    monkeypatch.setattr(Scoring, "score", lambda scoring, learner, should_stop: ())
    trainer._choice.go_halfway(1.0, lambda: True)
    assert all(torch.equal(tensor, new[name]) for name, tensor in trainer._learner.weights().items())


def test_an_infinite_loss_is_tried_once_more_and_then_an_error():
    checkpoint = model()
    with torch.no_grad():
        checkpoint.network.head.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="diverged"):
        finish(Trainer(checkpoint, [region()], settings=QUICK))


def test_a_gradient_that_is_no_number_does_not_reach_the_weights():
    """The loss may be finite: what the backward pass of one layer returns once is enough to spoil all weights."""
    trainer = Trainer(model(), [region()], settings=QUICK)
    wrong = iter([1.0, 1.0, math.nan])
    weight = trainer._learner.network.head.weight
    weight.register_hook(lambda gradient: gradient * next(wrong, 1.0))
    result, _ = finish(trainer)
    assert result.steps == QUICK.steps
    assert all(torch.isfinite(tensor).all() for tensor in result.checkpoint.network.state_dict().values())


@given(
    depth=st.integers(1, 40), levels=st.integers(2, 5), wanted=st.sampled_from([None, (8, 32, 32)]), flat=st.booleans()
)
def test_no_level_of_a_3d_network_gets_two_planes(depth, levels, wanted, flat):
    """Two planes are what torch's convolutions in bfloat16 give wrong gradients for."""
    pooling = ((1, 2, 2) if flat else (2, 2, 2),) * (levels - 1)
    config = UNetConfig(ndim=3, features=(2,) * levels, pooling=pooling)
    checkpoint = Checkpoint.from_config(config, default_classes(2), name="deep")
    shape = (depth, 20, 20)
    image, known = np.zeros((1, *shape), np.float32), np.ones(shape, bool)
    crop = TrainingRegion(
        image=image, labels=np.zeros(shape, int), known=known, weight=None, image_id="", t=0, origin=(0, 0, 0)
    )
    planes = patch_size(wanted, [crop], checkpoint)[0]
    assert 2 not in [planes if flat else planes // 2**level for level in range(levels)]


def test_when_memory_runs_out_batch_and_patch_shrink():
    """The network itself refuses large inputs, as a full device would."""

    class Full(torch.nn.Module):
        def __init__(self, limit):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 2, 3, padding=1)
            self.limit = limit

        def forward(self, x):
            if x.numel() > self.limit:
                raise torch.OutOfMemoryError(f"out of memory for {x.numel()} values")
            return self.layer(x)

    for limit, fits in ((64 * 64, True), (16 * 16, False)):
        module = Full(10**9)
        checkpoint = Checkpoint.from_module(module, ndim=2, in_channels=1, out_channels=2)
        assert checkpoint.geometry.divisor == (1, 1)
        module.limit = limit
        trainer = Trainer(checkpoint, [region()], settings=TrainSettings(steps=3, threads=1, device="cpu"))
        if fits:
            result, _ = finish(trainer)
            assert result.steps == 3
        else:
            with pytest.raises(DeviceError, match="Memory ran out"):
                finish(trainer)


def test_what_cannot_be_learned_says_what_to_paint():
    nothing = np.zeros((1, 160, 160), bool)
    with pytest.raises(TrainingError, match="Nothing is known"):
        Trainer(model(), [region(known=nothing)])
    image, labels = discs()
    only_one = TrainingRegion(image, labels * 0, ~nothing, None, "a", 0, (0, 0, 0))
    with pytest.raises(TrainingError, match="Only 'background' is known") as caught:
        Trainer(model(), [only_one])
    assert "'class 1'" in caught.value.hint
    with pytest.raises(TrainingError, match="label 7"):
        Trainer(model(), [TrainingRegion(image, labels * 0 + 7, ~nothing, None, "a", 0, (0, 0, 0))])
    with pytest.raises(TrainingError, match="channels"):
        Trainer(model(channels=2), [region()])
    with pytest.raises(TrainingError, match="budget"):
        TrainSettings(seconds=0)


def test_gray_is_repeated_for_a_model_that_says_so():
    checkpoint = model(channels=3)
    header = CheckpointHeader(**{**vars(checkpoint.header), "repeat_gray": True})
    result, _ = finish(Trainer(Checkpoint(checkpoint.network, header), [region()], settings=QUICK))
    assert result.steps == 12


def test_a_volume_and_a_binary_output():
    rng = np.random.default_rng(0)
    labels = (rng.random((6, 40, 40)) < 0.3).astype(np.int32)
    image = (labels + 0.1 * rng.standard_normal(labels.shape)).astype(np.float32)[None]
    crop = TrainingRegion(image, labels, np.ones(labels.shape, bool), None, "a", 0, (0, 0, 0))
    torch.manual_seed(0)
    from napari_unet.model.unet import UNet

    classes = (ClassInfo("background", "#000000"), ClassInfo("cell", "#e69f00"))
    network = UNet(UNetConfig(ndim=3, out_channels=1, features=(4, 8)))
    output = Output("binary", "sigmoid", ("foreground",), classes)
    checkpoint = Checkpoint.from_module(network, ndim=3, in_channels=1, out_channels=1, output=output)
    result, _ = finish(Trainer(checkpoint, [crop], [crop], TrainSettings(steps=20, threads=1, device="cpu")))
    assert result.score > result.parent_score


def test_blocks_held_back_decide():
    crops = [region(seed) for seed in range(2)]
    split = hold_back(crops, 2, seed=1)
    assert len(split.blocks) >= 2
    settings = TrainSettings(steps=20, threads=1, device="cpu", batch=2)
    result, _ = finish(Trainer(model(), split.training, split.validation, settings))
    assert result.n_blocks == len(split.blocks)
    assert result.decision.verdict == "adopt"


def test_the_anchor_holds_the_unknown_to_a_parent_that_is_right_where_it_is_known():
    settings = TrainSettings(steps=25, threads=1, device="cpu", batch=2)
    trained, _ = finish(Trainer(model(), [region()], settings=settings))
    parent = trained.checkpoint
    known = np.zeros((1, 160, 160), bool)
    known[0, :40] = True
    right, wrong = region(known=known), region(known=known)
    wrong.labels[:] = 1 - wrong.labels
    moved = []
    image = torch.from_numpy(np.ascontiguousarray(right.image[:, 0][None]))
    for crop, anchor in ((right, 0.0), (right, 20.0), (wrong, 0.0), (wrong, 20.0)):
        settings = TrainSettings(steps=15, threads=1, device="cpu", anchor=anchor, rate=1e-2, batch=2)
        child, _ = finish(Trainer(parent, [crop], settings=settings))
        with torch.no_grad():
            apart = child.checkpoint.network(image).softmax(1) - parent.network(image).softmax(1)
        moved.append(float(apart[..., 60:, :].abs().mean()))
    assert moved[1] < 0.7 * moved[0]
    assert moved[3] == moved[2]
