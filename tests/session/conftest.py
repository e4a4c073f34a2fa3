"""A tiny real network whose scores are known: it calls bright voxels foreground."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_unet.image.normalize import Normalization
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader, ClassInfo, Output
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session

OUTPUTS = {
    "instances": Output(
        "instances",
        "softmax",
        ("background", "interior", "boundary"),
        (ClassInfo("background", "#000000"), ClassInfo("blob", "#e69f00")),
    ),
    "classes": Output(
        "classes",
        "softmax",
        ("background", "dim", "bright"),
        (ClassInfo("background", "#000000"), ClassInfo("dim", "#e69f00"), ClassInfo("bright", "#56b4e9")),
    ),
}


def threshold_checkpoint(kind: str, ndim: int = 2, name: str = "bright"):
    """Foreground where the image exceeds 0.5; for classes, "bright" where it exceeds 1.5."""
    import torch

    from napari_unet.model.checkpoint import Checkpoint
    from napari_unet.model.unet import UNet

    config = UNetConfig(
        ndim=ndim, in_channels=1, out_channels=3, features=(2, 2), convolutions=1, norm="none", bias=True
    )
    network = UNet(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        middle = (1,) * ndim
        convolutions = [m for m in network.modules() if type(m).__name__ == f"Conv{ndim}d"]
        # The skip connection of level 0 carries the intensity through the first feature.
        first, last, head = convolutions[0], convolutions[-2], convolutions[-1]
        first.weight[(0, 0, *middle)] = 1
        last.weight[(0, 0, *middle)] = 1
        slope = 20.0
        if kind == "classes":
            head.weight[1, 0], head.bias[1] = slope, -0.5 * slope
            head.weight[2, 0], head.bias[2] = 2 * slope, -2 * slope
        else:
            head.weight[1, 0], head.bias[1] = slope, -0.5 * slope
            head.bias[2] = -slope
    header = CheckpointHeader(
        name=name,
        config=config,
        normalization=Normalization("none"),
        output=OUTPUTS[kind],
        ndim=ndim,
        in_channels=1,
        out_channels=3,
    )
    return Checkpoint(network, header)


def blobs(shape=(96, 96), seed=0):
    """Disks of value 1 on 0, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    rows, columns = np.indices(shape)
    for n, (y, x) in enumerate([(20, 20), (20, 60), (60, 25), (65, 70)], start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 < rng.integers(70, 110)] = n
    return (labels > 0).astype(np.float32), labels


@pytest.fixture
def session(tmp_path):
    session = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "work"))
    session.messages = []
    session.events.message.connect(lambda *message: session.messages.append(message))
    yield session
    session.close()


@pytest.fixture
def model_path(tmp_path):
    def save(kind, ndim=2, name="bright"):
        path = tmp_path / f"{name}-{kind}-{ndim}.safetensors"
        threshold_checkpoint(kind, ndim, name).save(path)
        return path

    return save


@pytest.fixture
def opened(session, model_path):
    """A session with a segmented image of four blobs, and its id."""
    image, labels = blobs()
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    return session, image_id, labels


def cancelled_at_once(session, start):
    """Start a training in a worker process, and cancel it as soon as it reports anything."""
    session.runner.close()
    session.runner = JobRunner("process")
    session.curve.seconds.clear()
    job = start()
    end = time.monotonic() + 120
    while not session.curve.seconds:
        assert not job.ended and time.monotonic() < end, session.messages
        session.deliver()
        time.sleep(0.01)
    session.cancel("train")
    session.runner.wait(job, 60)
