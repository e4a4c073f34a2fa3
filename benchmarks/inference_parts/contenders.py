"""The ways to run one network over one image that are compared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_erosion, gaussian_filter

from napari_unet import Checkpoint, Predictor, UNet, UNetConfig
from napari_unet.image.normalize import Statistics
from napari_unet.inference.options import PredictOptions

CLASSES = 3
BLOB = 5.0  # standard deviation of the noise that becomes blobs, in voxels
AS_IT_IS = Statistics((0.0,), (1.0,), "given")


@dataclass(frozen=True)
class Task:
    """A network, an image size and the peers' window.

    Parameters
    ----------
    config : UNetConfig
        The network.
    shape, roi : tuple of int
        ([Z], Y, X) of the image and of a window of the peers.
    weights : Path or None
        File of the weights.
    """

    config: UNetConfig
    shape: tuple[int, ...]
    roi: tuple[int, ...]
    weights: Path | None = None

    def blobs(self, shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return bright blobs in noise (float32), and the truth (int64): 0 outside, 1 inside, 2 at the rim."""
        rng = np.random.default_rng(seed)
        smooth = gaussian_filter(rng.normal(size=shape).astype(np.float32), BLOB)
        inside = smooth > smooth.std() / 2
        image = 2 * inside.astype(np.float32) + 0.3 * rng.normal(size=shape).astype(np.float32)
        truth = inside.astype(np.int64)
        truth[inside & ~binary_erosion(inside, iterations=2)] = 2
        return np.asarray(image - image.mean(), np.float32), truth

    def image(self) -> np.ndarray[Any, Any]:
        """Return the image that everybody segments."""
        return self.blobs(self.shape)[0]

    def network(self) -> UNet:
        """Return the network: with the trained weights, or the same untrained ones each time."""
        torch.manual_seed(0)
        network = UNet(self.config)
        if self.weights is not None:
            network.load_state_dict(torch.load(self.weights, weights_only=True))
        return network.eval()


TWO = UNetConfig(ndim=2, features=(32, 64, 128, 256, 512), out_channels=CLASSES)
THREE = UNetConfig(ndim=3, features=(16, 32, 64, 128), out_channels=CLASSES)
TASKS = {
    "2d": Task(TWO, (4096, 4096), (512, 512)),
    "3d": Task(THREE, (64, 512, 512), (64, 128, 128)),
    "2d-small": Task(TWO, (2048, 2048), (512, 512)),
    "3d-small": Task(THREE, (64, 256, 256), (64, 128, 128)),
    "2d-quick": Task(UNetConfig(ndim=2, features=(4, 8), out_channels=CLASSES), (96, 80), (32, 32)),
    "3d-quick": Task(UNetConfig(ndim=3, features=(4, 8), out_channels=CLASSES), (16, 32, 40), (16, 16, 16)),
}

Contender = Callable[[Task, np.ndarray[Any, Any], int, float], Callable[[], np.ndarray[Any, Any]]]


def _predictor(task: Task, threads: int, memory: float, precision: str = "auto") -> Predictor:
    precision = _chosen(task, threads) if precision == "auto" else precision
    checkpoint = Checkpoint.from_module(task.network(), ndim=task.config.ndim, in_channels=1, out_channels=CLASSES)
    options = PredictOptions(memory_gb=memory)
    return Predictor(checkpoint, "cpu", precision, threads=threads, options=options)


@cache
def _chosen(task: Task, threads: int) -> str:
    """Return the precision that the self-check settles on; files of weights have it remembered."""
    checkpoint = Checkpoint.from_module(task.network(), ndim=task.config.ndim, in_channels=1, out_channels=CLASSES)
    predictor = Predictor(checkpoint, "cpu", threads=threads)
    predictor.predict(task.blobs(task.roi)[0], "ZYX"[-len(task.roi) :], statistics=AS_IT_IS)
    print(*predictor.notes, file=sys.stderr)
    return predictor.precision


def ours(
    task: Task, image: np.ndarray[Any, Any], threads: int, memory: float, precision: str = "auto"
) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs this package's predictor."""
    predictor = _predictor(task, threads, memory, precision)
    axes = "ZYX"[-image.ndim :]

    def run() -> np.ndarray[Any, Any]:
        return predictor.predict(image, axes, statistics=AS_IT_IS).argmax(0)

    return run


def ours_float32(
    task: Task, image: np.ndarray[Any, Any], threads: int, memory: float
) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs this package's predictor in float32."""
    return ours(task, image, threads, memory, "float32")


def untiled(
    task: Task, image: np.ndarray[Any, Any], threads: int, memory: float, precision: str = "auto"
) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs the network once over the whole image, as fast as this package can."""
    engine = _predictor(task, threads, memory, precision).engine
    return lambda: engine.run(image[np.newaxis, np.newaxis])[0].argmax(0)


def untiled_float32(
    task: Task, image: np.ndarray[Any, Any], threads: int, memory: float
) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs the network once over the whole image in float32."""
    return untiled(task, image, threads, memory, "float32")


def monai(task: Task, image: np.ndarray[Any, Any], threads: int, memory: float) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs MONAI's sliding window as it is documented, in float32."""
    from monai.inferers import sliding_window_inference

    network = task.network()

    def run() -> np.ndarray[Any, Any]:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            batch = torch.from_numpy(image)[None, None]
            return sliding_window_inference(batch, task.roi, 1, network, overlap=0.25)[0].argmax(0).numpy()

    return run


def monai_bfloat16(
    task: Task, image: np.ndarray[Any, Any], threads: int, memory: float
) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs MONAI's sliding window in bfloat16 (autocast) and channels-last."""
    from monai.inferers import sliding_window_inference

    layout = torch.channels_last if image.ndim == 2 else torch.channels_last_3d
    network = task.network().to(memory_format=layout)

    def run() -> np.ndarray[Any, Any]:
        torch.set_num_threads(threads)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            batch = torch.from_numpy(image)[None, None].contiguous(memory_format=layout)
            return sliding_window_inference(batch, task.roi, 1, network, overlap=0.25)[0].argmax(0).numpy()

    return run


def nnunet(task: Task, image: np.ndarray[Any, Any], threads: int, memory: float) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs nnU-Net's predictor: half overlap, Gaussian weights; without its mirroring."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.network = task.network()
    predictor.configuration_manager = SimpleNamespace(patch_size=list(task.roi))
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=CLASSES)

    def run() -> np.ndarray[Any, Any]:
        torch.set_num_threads(threads)
        volume = torch.from_numpy(image)[None] if image.ndim == 3 else torch.from_numpy(image)[None, None]
        logits = predictor.predict_sliding_window_return_logits(volume)
        return logits.argmax(0).numpy().reshape(image.shape)

    return run


def openvino(
    task: Task, image: np.ndarray[Any, Any], threads: int, memory: float
) -> Callable[[], np.ndarray[Any, Any]]:
    """Return what runs the network once over the whole image with OpenVINO, in bfloat16 where the processor has it."""
    import openvino as ov

    example = torch.zeros(1, 1, *(min(n, 64) for n in task.roi))
    model = ov.convert_model(task.network(), example_input=example, input=[1, 1, *image.shape])
    hint = "bf16" if torch.cpu._is_avx512_bf16_supported() else "f32"
    compiled = ov.Core().compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 1}
    )
    return lambda: np.asarray(compiled(image[None, None])[0][0]).argmax(0)


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "untiled": untiled,
    "monai": monai,
    "monai-bfloat16": monai_bfloat16,
    "nnunet": nnunet,
    "openvino": openvino,
    "ours-float32": ours_float32,
    "untiled-float32": untiled_float32,
}
