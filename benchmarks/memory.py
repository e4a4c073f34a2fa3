"""How much memory a segmentation takes, whatever the size of the image: OME-Zarr in, OME-Zarr out.

Each run is a process of its own: it imports everything, opens the model and segments a small image, which is the idle
program; then it segments an OME-Zarr through the command ``napari-unet segment``. What counts is the largest resident
memory (``getrusage``) above that of the idle program.

    python benchmarks/memory.py             2048×2048 to 32768×2048, 64×512×512 to 64×8192×512, 1 GB
    python benchmarks/memory.py --square    4096² to 16384², 64×512×512 to 64×2048×2048
    python benchmarks/memory.py --smoke     small images, 0.25 GB: whether it runs
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# They grow along y, and x is never the longer side: a network passes along the longer one, and takes more memory the
# wider an image is across, up to the budget.
FLAT = {"1×": (1, 2048, 2048), "4×": (1, 8192, 2048), "16×": (1, 32768, 2048)}
# A volume below the first size is narrower than a block with its margins, and takes less.
DEEP = {"1×": (64, 512, 512), "4×": (64, 2048, 512), "16×": (64, 8192, 512)}
# Along both axes; takes half an hour.
SQUARE = {
    "2d": {"1×": (1, 4096, 4096), "4×": (1, 8192, 8192), "16×": (1, 16384, 16384)},
    "3d": {"1×": (64, 512, 512), "4×": (64, 1024, 1024), "16×": (64, 2048, 2048)},
}
MEBI = 2**20


def make_image(path: Path, shape: tuple[int, int, int]) -> None:
    """Write an OME-Zarr of generated nuclei, uint16, one generated piece after the other."""
    import zarr

    from napari_unet.image.synthetic import nuclei_2d, nuclei_3d

    deep = shape[0] > 1
    size = (min(shape[0], 32), 256, 256) if deep else (512, 512)
    pieces = [(nuclei_3d(size, seed=n) if deep else nuclei_2d(size, seed=n))[0] for n in range(4)]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"[not deep :]]
    scale = [0.5] * len(axes)
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes={"ome": ome})
    lengths = shape if deep else shape[1:]
    array = group.create_array("0", shape=lengths, chunks=size, dtype="uint16")
    for n, corner in enumerate(np.ndindex(*(-(-a // b) for a, b in zip(lengths, size, strict=True)))):
        place = tuple(slice(c * b, min((c + 1) * b, a)) for a, b, c in zip(lengths, size, corner, strict=True))
        piece = pieces[n % len(pieces)]
        array[place] = piece[tuple(slice(0, s.stop - s.start) for s in place)]


def make_model(path: Path) -> None:
    """Write a 3D network of the size that is usual (16 features, depth 3) which calls bright voxels interior."""
    import torch

    from napari_unet.image.normalize import Normalization
    from napari_unet.model.checkpoint import Checkpoint
    from napari_unet.model.config import UNetConfig
    from napari_unet.model.header import COLORS, CheckpointHeader, ClassInfo, Output
    from napari_unet.model.unet import UNet

    config = UNetConfig(ndim=3, features=(16, 32, 64), out_channels=3)
    network = UNet(config)
    with torch.no_grad():
        layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
        *_, head = layers
        # The intensity passes through the first feature of the finest level, which the skip connection hands over.
        for layer in (*layers[:2], *layers[-3:-1]):
            layer.weight[0] = 0
            layer.weight[0, 0, 1, 1, 1] = 1
        head.weight[:] = 0
        head.weight[1, 0], head.bias[1] = 30, -12
        head.weight[2, 0], head.bias[2] = 10, -3
    pair = (ClassInfo("background", COLORS[0]), ClassInfo("object", COLORS[1]))
    output = Output("instances", "softmax", ("background", "interior", "boundary"), pair)
    header = CheckpointHeader(
        name="bright-3d",
        config=config,
        normalization=Normalization(),
        output=output,
        ndim=3,
        in_channels=1,
        out_channels=3,
    )
    Checkpoint(network.eval(), header).save(path)


def child(image: str, model: str, out: str, memory: float) -> None:
    """Segment one image and print the memory before, at most, and the seconds."""
    import resource

    import psutil

    from napari_unet.cli import main
    from napari_unet.session.tasks import predictor_for

    predictor = predictor_for(model, "cpu", "auto")
    small = (4, 32, 32) if predictor.checkpoint.header.ndim == 3 else (64, 64)
    predictor.segment(np.zeros(small, np.uint16), "ZYX"[3 - len(small) :])
    idle = psutil.Process().memory_info().rss
    start = time.perf_counter()
    code = main(
        ["segment", image, "-m", model, "-o", out, "--device", "cpu", "--memory", str(memory), "--format", "ome-zarr"]
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"code": code, "idle": idle, "peak": peak, "seconds": seconds}))


def measure(image: Path, model: str, out: Path, memory: float) -> dict[str, float]:
    """Run `child` and return what it printed."""
    command = [sys.executable, __file__, "--child", str(image), model, str(out), str(memory)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode or not run.stdout.strip():
        raise SystemExit(run.stderr[-3000:])
    found: dict[str, float] = json.loads(run.stdout.strip().splitlines()[-1])
    if found["code"]:
        raise SystemExit(run.stderr[-3000:])
    return found


def table(sizes: dict[str, tuple[int, int, int]], model: str, memory: float, folder: Path) -> list[float]:
    """Measure every size and print a row each; return the peaks in bytes above the idle program."""
    peaks = []
    for name, shape in sizes.items():
        image = folder / "image.zarr"
        make_image(image, shape)
        found = measure(image, model, folder / "out", memory)
        above = found["peak"] - found["idle"]
        peaks.append(above)
        words = "×".join(str(n) for n in shape if n > 1)
        print(
            f"| {name} | {words} | {found['idle'] / MEBI:.0f} | {above / MEBI:.0f} | {found['seconds']:.0f} |",
            flush=True,
        )
        for left in (image, folder / "out"):
            subprocess.run(["rm", "-rf", str(left)], check=True)
    return peaks


def main_() -> int:
    """Print the tables; returns 1 if the memory grows or is more than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small images, to see whether it runs")
    parser.add_argument("--square", action="store_true", help="images that grow along both axes")
    parser.add_argument("--memory", type=float, help="budget in GB; 1 when omitted")
    parser.add_argument("--only", choices=("2d", "3d"), help="one of the tables")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        image, model, out, memory = arguments.child
        child(image, model, out, float(memory))
        return 0
    shrink = 8 if arguments.smoke else 1
    memory = arguments.memory or (0.25 if arguments.smoke else 1.0)
    fine = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "bright-3d.safetensors")
        for kind, sizes, model in (("2d", FLAT, "nuclei-2d"), ("3d", DEEP, str(folder / "bright-3d.safetensors"))):
            if arguments.only not in (None, kind):
                continue
            sizes = SQUARE[kind] if arguments.square else sizes
            shapes = {
                n: (s[0] if s[0] == 1 else s[0] // min(shrink, 4), s[1] // shrink, s[2] // shrink)
                for n, s in sizes.items()
            }
            print(f"\n{kind.upper()}, budget {memory:g} GB, {Path(model).stem}\n")
            print("| size | voxels | idle program, MiB | peak above it, MiB | seconds |\n|---|---|---|---|---|")
            peaks = table(shapes, model, memory, folder)
            spread = max(peaks) / min(peaks) - 1
            print(
                f"\nLargest over smallest peak: {1 + spread:.2f}; the largest is {max(peaks) / 1e9:.2f} GB.", flush=True
            )
            fine &= arguments.smoke or (spread <= 0.1 and max(peaks) <= 1.5e9)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main_())
