"""Images that do not fit into memory: the same labels, whatever happens on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels import agreement, blocks
from napari_unet.inference.labels.blocks import block_size
from napari_unet.inference.labels.keeping import ScoreStore, open_scores, sample_of
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.labels.planes import PlaneJoiner
from napari_unet.inference.large import frames_of, score_key, segment_large
from napari_unet.inference.network.devices import Device
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.model.header import COLORS, ClassInfo, Output

PAIR = (ClassInfo("background", COLORS[0]), ClassInfo("object", COLORS[1]))
OUTPUTS = {
    "instances": Output("instances", "softmax", ("background", "interior", "boundary"), PAIR),
    "connected": Output("binary", "sigmoid", ("foreground",), PAIR),
    "classes": Output("classes", "softmax", ("background", "a", "b"), (*PAIR, ClassInfo("b", COLORS[2]))),
}
FEW = {"max_examples": 8, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks and chunks so small that the images of these tests have many of them."""
    monkeypatch.setattr(blocks, "PLANE_CHUNK", (1, 32, 32))
    monkeypatch.setattr(blocks, "VOLUME_CHUNK", (4, 16, 16))
    monkeypatch.setattr(blocks, "PLANE_MARGIN", (0, 24, 24))
    monkeypatch.setattr(blocks, "VOLUME_MARGIN", (6, 12, 12))


def image(*shape, seed=0):
    """Return blobs of 0 to 3, a few voxels wide."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), [0 if n < 4 else 1.5 for n in shape])
    return np.clip(2 * noise / noise.std() - 1, 0, 3).astype(np.float32)


def bright(checkpoint):
    """Make a network call interior what is brighter than 1, and boundary what is brighter than 0.5."""
    network = checkpoint.network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
        first, last, head = layers[0], layers[-2], layers[-1]
        middle = (1,) * (first.weight.ndim - 2)
        # The skip connection of level 0 carries the intensity through the first feature.
        first.weight[(0, 0, *middle)] = last.weight[(0, 0, *middle)] = 1
        head.weight[1, 0], head.bias[1] = 20, -15
        head.weight[2, 0], head.bias[2] = 10, -5
    return checkpoint


class Case:
    """A model, an image, and the labels of an undisturbed run in memory."""

    def __init__(self, make_checkpoint, axes, shape, kind="connected", ndim=2, **options):
        channels = 1 if kind == "connected" else 3
        if kind == "instances":
            options |= {"norm": "none", "bias": True, "convolutions": 1, "features": (2, 2)}
        checkpoint = make_checkpoint(ndim=ndim, out_channels=channels, output=OUTPUTS[kind], **options)
        checkpoint = bright(checkpoint) if kind == "instances" else checkpoint
        normalization = Normalization("none" if kind == "instances" else "percentile")
        checkpoint = replace(checkpoint, header=replace(checkpoint.header, normalization=normalization))
        self.source = ImageSource.from_array(image(*shape), axes)
        self.predictor = Predictor(
            checkpoint, "cpu", "float32", tile=16, threads=1, options=PredictOptions(join_z=False)
        )
        scores = self.predictor.predict(self.source).reshape(self.source.n_times, channels, *self.source.shape[1:])
        threshold = float(np.quantile(scores, 0.7)) if kind == "connected" else 0.5
        self.settings = ObjectSettings(threshold=threshold, min_size=4, connected=True)
        self.expected = np.zeros(self.source.shape, np.uint32)
        for t, box in frames_of(self.source, ndim == 2):
            kept = scores[(t, slice(None), *box)]
            kept = kept if kind == "classes" else kept.astype(np.float16).astype(np.float32)
            found = decode(kept, OUTPUTS[kind], self.settings)
            if kind != "classes":
                found[found > 0] += self.expected.max()
            self.expected[(t, *box)] = found

    def run(self, folder, **options):
        """Return the labels of a run on the disk, and what it says."""
        labels = np.full(self.source.shape, 2**32 - 1, np.uint32)

        def write(t, box, values):
            assert (labels[(t, *box)] == 2**32 - 1).all()
            labels[(t, *box)] = values

        folder.mkdir(exist_ok=True)
        result = segment_large(
            self.predictor, self.source, self.settings, write, folder, {"image": "a"}, budget=2000, **options
        )
        return labels, result


@pytest.mark.parametrize(
    ("axes", "shape", "options"),
    [
        ("YX", (100, 90), {}),
        ("TYX", (2, 70, 40), {"kind": "instances"}),
        ("ZYX", (3, 60, 50), {"kind": "instances"}),
        ("ZYX", (10, 30, 34), {"ndim": 3}),
        ("ZYX", (10, 30, 34), {"ndim": 3, "kind": "instances"}),
        ("TZYX", (2, 3, 30, 44), {"kind": "classes"}),
    ],
)
def test_the_labels_are_those_of_a_run_in_memory(make_checkpoint, tmp_path, monkeypatch, axes, shape, options):
    monkeypatch.setattr(agreement, "_IN_MEMORY", 1000)
    case = Case(make_checkpoint, axes, shape, **options)
    labels, result = case.run(tmp_path / "work")
    np.testing.assert_array_equal(labels, case.expected)
    assert result.resumed == 0
    assert result.objects == (None if options.get("kind") == "classes" else case.expected.max())
    assert len(np.unique(case.expected)) > 1
    again, result = case.run(tmp_path / "work")
    np.testing.assert_array_equal(again, case.expected)
    assert result.resumed == 1


def stop_after(tiles):
    """Return a `should_stop` and a progress that stop a run after some tiles."""
    done = [0]

    def progress(n, total):
        done[0] = n

    return {"should_stop": lambda: done[0] >= tiles, "progress": progress}


@settings(**FEW)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["exact", "blended", "deep"]))
def test_stopping_anywhere_and_going_on_changes_nothing(make_checkpoint, tmp_path_factory, first, second, kind):
    folder = tmp_path_factory.mktemp("work")
    if kind == "deep":
        case = Case(make_checkpoint, "ZYX", (12, 40, 36), ndim=3)
    else:
        case = Case(make_checkpoint, "YX", (100, 90), norm="instance" if kind == "blended" else "batch")
    total = len(case.predictor.plan(case.source).tiles)
    finished = 0.0
    for tiles in (first, second):
        _, result = case.run(folder, **stop_after(tiles % total))
        if result is not None:
            assert result.resumed >= finished
            finished = result.resumed
    labels, result = case.run(folder)
    np.testing.assert_array_equal(labels, case.expected)
    if kind == "exact":
        assert result.resumed >= max(first % total, second % total) / total * 0.5


@settings(**FEW)
@given(st.integers(0, 40), st.integers(1, 3))
def test_memory_that_runs_out_anywhere_changes_nothing(make_checkpoint, tmp_path_factory, when, times):
    case = Case(make_checkpoint, "YX", (100, 90))
    forward, calls = case.predictor.engine._forward, [0]

    def fails(batch, where):
        calls[0] += 1
        if when <= calls[0] - 1 < when + times:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(batch, where)

    case.predictor.engine._forward = fails
    labels, _ = case.run(tmp_path_factory.mktemp("work"))
    np.testing.assert_array_equal(labels, case.expected)


def test_a_failed_run_is_gone_on_with(make_checkpoint, tmp_path):
    case = Case(make_checkpoint, "YX", (100, 90))
    put = ScoreStore.put
    calls = []

    def fails(self, t, box, scores):
        calls.append(box)
        if len(calls) == 5:
            raise CheckpointError("broken", "never mind")
        put(self, t, box, scores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScoreStore, "put", fails)
        with pytest.raises(CheckpointError):
            case.run(tmp_path / "work")
    labels, result = case.run(tmp_path / "work")
    assert result.resumed > 0
    np.testing.assert_array_equal(labels, case.expected)


def test_scores_of_something_else_are_not_gone_on_with(tmp_path):
    box = (slice(0, 1), slice(0, 4), slice(0, 8))
    store = ScoreStore(tmp_path / "scores.npy", (1, 2, 1, 8, 8), {"image": "a"})
    store.put(0, box, np.ones((2, 1, 4, 8), np.float16))
    assert ScoreStore(tmp_path / "scores.npy", (1, 2, 1, 8, 8), {"image": "a"}).finished(0, box)
    # The last line was interrupted: its tile does not count.
    with open(tmp_path / "scores.tiles", "a", encoding="utf-8") as journal:
        journal.write("[0, [0, 1], [4, 8], [0")
    store = ScoreStore(tmp_path / "scores.npy", (1, 2, 1, 8, 8), {"image": "a"})
    assert store.finished(0, box) and store.finished_voxels == 32
    assert not store.finished(0, (slice(0, 1), slice(0, 5), slice(0, 8)))
    store.put(0, (slice(0, 1), slice(4, 8), slice(0, 8)), np.ones((2, 1, 4, 8), np.float16))
    assert ScoreStore(tmp_path / "scores.npy", (1, 2, 1, 8, 8), {"image": "a"}).finished_voxels == 64
    large_one = ScoreStore(tmp_path / "scores.npy", (1, 2, 1, 8, 8), {"image": "b"}, limit=10)
    assert large_one.finished_voxels == 0 and large_one.path.suffix == ".zarr"
    assert not (tmp_path / "scores.npy").exists()
    large_one.put(0, box, np.full((2, 1, 4, 8), 0.5, np.float16))
    assert np.asarray(open_scores(large_one.path)[0, 1, 0]).sum() == 16


def test_another_image_has_another_sample():
    first = ImageSource.from_array(image(200, 300), "YX")
    second = ImageSource.from_array(image(200, 300, seed=1), "YX")
    assert sample_of(first) == sample_of(first) != sample_of(second)


def test_blocks_fit_into_the_budget(monkeypatch):
    monkeypatch.undo()
    core, margin = block_size((400, 4000, 4000), False, 10**9)
    assert all(c % d == 0 for c, d in zip(core, (32, 128, 128), strict=True))
    assert np.prod([c + 2 * m for c, m in zip(core, margin, strict=True)]) * 100 <= 10**9 / 4
    assert block_size((1, 300, 300), True, 10**9)[0] == (1, 512, 512)


def test_planes_of_a_large_stack_are_joined(make_checkpoint, tmp_path):
    case = Case(make_checkpoint, "TZYX", (2, 3, 60, 50), kind="instances")
    case.predictor = case.predictor.with_options(PredictOptions())
    labels, result = case.run(tmp_path / "work")
    joiner = PlaneJoiner()
    expected = [[joiner.add(z, plane, t) for z, plane in enumerate(planes)] for t, planes in enumerate(case.expected)]
    np.testing.assert_array_equal(labels, expected)
    assert result.objects == joiner.next_id - 1 < case.expected.max()


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_what_ran_out_of_memory_on_a_gpu_goes_on_on_the_cpu(tmp_path, make_checkpoint, precision):
    checkpoint = make_checkpoint()
    source = ImageSource.from_array(np.random.default_rng(0).random((96, 64), np.float32), "YX")

    def key(asked, device=None):
        predictor = Predictor(checkpoint, device="cpu", precision=asked)
        plan = predictor.plan(source)
        if device is not None:
            predictor.engine.device, predictor.engine.dtype = Device(device, ""), torch.float16
        return score_key(predictor, predictor.measure(source), plan)

    assert key(precision) == key(precision, "mps")
    assert key("float32") != key("auto")
