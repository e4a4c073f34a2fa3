"""The engine: device, precision, threads, folding, memory, stopping, and answers that are none."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.errors import CheckpointError, DeviceError
from napari_unet.inference.network import devices
from napari_unet.inference.network.devices import Device, fast_bfloat16, free_on, resolve_precision
from napari_unet.inference.network.engine import (
    Engine,
    Stopped,
    TileTooLarge,
    available_devices,
    choose_device,
    is_out_of_memory,
    limited_threads,
)
from napari_unet.model.unet import UNet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def untouched(checkpoint, batch):
    with torch.inference_mode():
        return torch.softmax(checkpoint.network(torch.from_numpy(batch)), 1).numpy()


class Cramped(UNet):
    """Runs out of memory above a number of values, as a small GPU would."""

    most = 2 * 32 * 32

    def forward(self, x):
        if x.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(x)


class Poisoned(UNet):
    """Returns NaN where the input is very bright."""

    def forward(self, x):
        return super().forward(x) + torch.where(x.amax() > 1e3, torch.nan, 0.0)


class Shrinking(UNet):
    """Loses its border, like a network without padding."""

    def forward(self, x):
        return super().forward(x)[..., 1:-1, 1:-1]


class Talkative(UNet):
    """Returns more than the scores."""

    def forward(self, x):
        return {"logits": super().forward(x)}


class Failing(UNet):
    """Fails on anything but the smallest input."""

    def forward(self, x):
        if x.shape[-1] > 16:
            raise KeyError("secret")
        return super().forward(x)


def test_devices():
    assert available_devices()[-1] == "cpu"
    assert choose_device("CPU").sentence.startswith("Runs on the CPU")
    chosen = choose_device("auto")
    assert chosen.name in available_devices() and chosen.sentence.endswith(".")
    with pytest.raises(DeviceError, match="'cuda:93' was asked for.*finds only"):
        choose_device("cuda:93")
    with pytest.raises(DeviceError, match="'tpu' is unknown; expected auto, cpu, cuda:N or mps"):
        choose_device("tpu")


def test_precision(monkeypatch):
    cpu = choose_device("cpu")
    assert resolve_precision("float32", cpu) == torch.float32
    assert resolve_precision("bfloat16", cpu) == torch.bfloat16
    assert resolve_precision("auto", cpu) == (torch.bfloat16 if fast_bfloat16(cpu) else torch.float32)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert resolve_precision("auto", cpu) == torch.float32
    with pytest.raises(DeviceError, match="'float64' is not available on cpu"):
        resolve_precision("float64", cpu)


def test_threads_are_set_and_restored(make_checkpoint):
    seen = []

    class Watching(UNet):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return super().forward(x)

    before = torch.get_num_threads()
    Engine(make_checkpoint(Watching), "cpu", "float32", threads=2).run(noise(1, 1, 8, 8))
    assert seen[-1] == 2 and torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), limited_threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
    assert Engine(make_checkpoint(), "cpu").threads == max(1, (os.cpu_count() or 1) - 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("anything"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 4 GB)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true"), True),
        (RuntimeError("upsample_nearest2d only supports output tensors with less than INT_MAX elements"), True),
        (RuntimeError("Invalid buffer size: 19.45 GB"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("Expected 4D input"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_recognized(error, expected):
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("options", [{}, {"order": "nca"}, {"order": "can"}, {"residual": True, "bias": True}])
def test_folding_changes_nothing_and_leaves_the_network_alone(make_checkpoint, ndim, options):
    checkpoint = make_checkpoint(ndim=ndim, **options)
    batch = noise(2, 1, *(16,) * ndim)
    before = untouched(checkpoint, batch)
    engine = Engine(checkpoint, "cpu", "float32")
    np.testing.assert_allclose(engine.run(batch.copy()), before, atol=1e-5)
    np.testing.assert_array_equal(untouched(checkpoint, batch), before)
    norms = [layer for layer in engine._network.modules() if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert bool(norms) == ("order" in options and options["order"] != "cna")
    assert engine.cost.operations > 0


def test_bfloat16_is_close_and_scores_are_float32(make_checkpoint):
    checkpoint = make_checkpoint()
    batch = noise(1, 1, 32, 32)
    scores = Engine(checkpoint, "cpu", "bfloat16").run(batch.copy())
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores, untouched(checkpoint, batch), atol=0.05)


def test_sigmoid(make_checkpoint):
    checkpoint = make_checkpoint(out_channels=1)
    batch = noise(1, 1, 8, 8)
    expected = torch.sigmoid(checkpoint.network(torch.from_numpy(batch))).detach().numpy()
    np.testing.assert_allclose(Engine(checkpoint, "cpu", "float32").run(batch), expected, atol=1e-5)


def test_batch_is_halved_until_it_fits(make_checkpoint):
    checkpoint = make_checkpoint(Cramped)
    engine = Engine(checkpoint, "cpu", "float32")
    batch = noise(5, 1, 32, 32)
    calm = UNet(checkpoint.network.config).eval()
    calm.load_state_dict(checkpoint.network.state_dict())
    with torch.inference_mode():
        expected = torch.softmax(calm(torch.from_numpy(batch)), 1).numpy()
    np.testing.assert_allclose(engine.run(batch.copy()), expected, atol=1e-5)
    with pytest.raises(TileTooLarge):
        engine.run(noise(1, 1, 64, 64))


def test_answers_that_are_none_name_the_place(make_checkpoint):
    bright = noise(1, 1, 8, 8)
    bright[..., 3, 3] = 1e4
    with pytest.raises(CheckpointError, match="no numbers .NaN or infinite. at time 0, z 3:4"):
        Engine(make_checkpoint(Poisoned), "cpu", "float32").run(bright, where="time 0, z 3:4")
    with pytest.raises(CheckpointError, match=r"returned shape \(1, 3, 6, 6\) at the batch; expected \(1, 3, 8, 8\)"):
        Engine(make_checkpoint(Shrinking), "cpu", "float32").run(noise(1, 1, 8, 8))
    with pytest.raises(CheckpointError, match="returned a dict at"):
        Engine(make_checkpoint(Talkative), "cpu", "float32").run(noise(1, 1, 8, 8))
    with pytest.raises(CheckpointError, match=r"failed at the batch on an input of shape .*KeyError: 'secret'"):
        Engine(make_checkpoint(Failing), "cpu", "float32").run(noise(1, 1, 32, 32))


def test_stops_within_a_tile(make_checkpoint):
    engine = Engine(make_checkpoint(), "cpu", "float32")
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        engine.run(noise(1, 1, 16, 16), should_stop=stop)
    assert len(asked) == 4
    assert engine.run(noise(1, 1, 16, 16)).shape == (1, 3, 16, 16)


def test_what_torch_keeps_on_a_gpu_counts_as_free(monkeypatch):
    gpu = Device("cuda:0", "")
    for name, value in (("memory_reserved", 6), ("memory_allocated", 1)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value * 2**30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 2**30, 8 * 2**30))
    assert free_on(gpu) == 7 * 2**30


@pytest.mark.parametrize(("allocated", "expected"), [(3, 5), (7, 1), (9, 0)])
def test_an_apple_gpu_shares_the_main_memory(monkeypatch, allocated, expected):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 8 * 2**30)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: allocated * 2**30)
    monkeypatch.setattr(devices, "free_memory", lambda: 5 * 2**30)
    assert free_on(Device("mps", "")) == expected * 2**30


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("ConvTranspose 3D is not supported on MPS"),
        NotImplementedError(
            "The operator 'aten::max_pool3d_with_indices' is not currently implemented for the MPS device"
        ),
        RuntimeError("\"slow_conv3d\" not implemented for 'Half'"),
    ],
)
def test_a_layer_that_a_gpu_lacks_sends_to_the_cpu(make_checkpoint, error):
    class Lacking(UNet):
        broken = False

        def forward(self, x):
            if self.broken:
                raise error
            return super().forward(x)

    engine = Engine(make_checkpoint(Lacking), "cpu", "float32")
    engine._network.broken = True
    with pytest.raises(CheckpointError, match="failed at"):
        engine.run(noise(1, 1, 8, 8))
    engine.device = Device("mps", "")
    engine._sent = torch.from_numpy
    engine._settings = contextlib.nullcontext
    with pytest.raises(DeviceError, match="cannot compute a layer"):
        engine.run(noise(1, 1, 8, 8))
