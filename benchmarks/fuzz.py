"""Damaged model files: thousands of mutations of each format, in child processes with bounded memory.

    python benchmarks/fuzz.py --mutations 10000

Counts what happens: opened, refused with a sentence of ours, anything else. A mutation changes bytes of a file, cuts it
off, or changes the pickle inside of a zip and gives it the right checksum again. Prints a table; exits with 1 if there
was a crash, a foreign exception or a file outside of the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import queue
import random
import resource
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint, default_classes, load_checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.consent import allow
from napari_unet.model.exporting.about import About
from napari_unet.model.exporting.writing import export_checkpoint
from napari_unet.model.families import monai_basic, torchem
from napari_unet.model.families.residual3d import ResidualUNet

MEMORY = 6 * 2**30  # of address space; torch alone maps four
ROUND = 500  # mutations a child, so that one crash does not hide the others

Writer = Callable[[Path], tuple[Path, Path]]


def own(folder: Path) -> tuple[Path, Path]:
    """Write one of our own files; return what is opened and what is damaged."""
    checkpoint = Checkpoint.from_config(UNetConfig(features=(2, 4)), default_classes(2), name="x")
    path = checkpoint.save(folder / "m.safetensors")
    return path, path


def plain_safetensors(folder: Path) -> tuple[Path, Path]:
    """Write weights without our header."""
    path = folder / "m.safetensors"
    save_file(_weights(), path)
    return path, path


def torch_file(folder: Path) -> tuple[Path, Path]:
    """Write what a trainer writes: containers, settings, an optimizer."""
    path = folder / "best.pt"
    init = {"model_class": "torch_em.model.unet.UNet2d", "model_kwargs": {"in_channels": 1, "out_channels": 2}}
    optimizer = torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict()
    torch.save({"model_state": _weights(), "init": init, "epoch": 3, "optimizer_state": optimizer}, path)
    return path, path


def described(folder: Path) -> tuple[Path, Path]:
    """Write a folder whose YAML is damaged."""
    state = ResidualUNet(2, 1, 2, [2, 4], "gcr", 8).state_dict()
    torch.save({"model_state_dict": state}, folder / "best_checkpoint.pytorch")
    lines = ["model: &m", "  name: UNet2D", "  layer_order: gcr", "  num_groups: 8", "  f_maps: [2, 4]", "loaders:"]
    lines += ["  val: {transformer: {raw: [{name: PercentileNormalizer, pmin: 1, pmax: 99.5}]}}", "same: *m"]
    document = folder / "config_train.yml"
    document.write_text("\n".join(lines))
    return folder, document


def bundled(folder: Path) -> tuple[Path, Path]:
    """Write a MONAI bundle whose configuration is damaged."""
    for name in ("configs", "models"):
        (folder / name).mkdir()
    widths = (2, 2, 2, 2, 2)
    config = UNetConfig(features=widths, norm="instance", activation="leaky_relu", slope=0.1, bias=True)
    state = monai_basic.pack(Checkpoint.from_config(config, default_classes(2), name="x"))
    torch.save(dict(state), folder / "models" / "model.pt")
    network = {"_target_": "BasicUNet", "act": ["LeakyReLU", {"negative_slope": 0.2}]}
    step = {"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1, "clip": True}
    document = folder / "configs" / "inference.json"
    document.write_text(json.dumps({"network_def": network, "preprocessing": {"transforms": [step]}}))
    return folder, document


def packaged(folder: Path) -> tuple[Path, Path]:
    """Write a bioimage.io package."""
    checkpoint = Checkpoint.from_config(UNetConfig(features=(2, 4)), default_classes(2), name="packed")
    example = ImageSource(np.random.default_rng(0).random((24, 24), np.float32), "YX", "example")
    path = folder / "package.zip"
    export_checkpoint(checkpoint, path, example=example, about=About(("Somebody",), "MIT"))
    return path, path


def unpacked(folder: Path) -> tuple[Path, Path]:
    """Write a package as a folder whose description is damaged; our own notes in it are left out."""
    path, _ = packaged(folder)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    path.unlink()
    described = yaml.safe_load((folder / "rdf.yaml").read_text())
    del described["config"]
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described))
    allow(described["weights"]["torchscript"]["sha256"])
    return folder, folder / "rdf.yaml"


def scripted(folder: Path) -> tuple[Path, Path]:
    """Write a TorchScript program; each mutation is allowed to run."""
    path = folder / "net.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 8, 8)).save(str(path))
    return path, path


FORMATS: dict[str, Writer] = {
    "our .safetensors": own,
    "plain .safetensors": plain_safetensors,
    "torch.save": torch_file,
    "pickle in torch.save": torch_file,
    "YAML beside": described,
    "JSON beside": bundled,
    "bioimage.io package": packaged,
    "its description": unpacked,
    "TorchScript": scripted,
    "code in TorchScript": scripted,
}


def _weights() -> dict[str, torch.Tensor]:
    config = UNetConfig(features=(2, 4), order="nca", upsampling="interpolate", project=True, bias=True)
    return dict(torchem.pack(Checkpoint.from_config(config, default_classes(2), name="x")))


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return a file with some bytes changed, a piece doubled or removed, or the end cut off."""
    changed = bytearray(content)
    kind = chance.random()
    # Headers are at the beginning; half of the changes go there.
    reach = len(changed) if chance.random() < 0.5 else min(len(changed), 2000)
    if kind < 0.7:
        for _ in range(chance.choice((1, 1, 2, 8))):
            changed[chance.randrange(reach)] ^= chance.randrange(1, 256)
    elif kind < 0.8:
        del changed[chance.randrange(len(changed)) :]
    else:
        start, length = chance.randrange(reach), chance.choice((1, 4, 64))
        piece = changed[start : start + length]
        changed[start : start + length] = piece * 2 if kind < 0.9 else b""
    return bytes(changed)


def mutated_inside(content: bytes, chance: random.Random) -> bytes:
    """Return a zip of torch.save whose pickles or code were changed, with right checksums."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(stream, "w") as after:
        for name in before.namelist():
            part = before.read(name)
            after.writestr(name, mutated(part, chance) if name.endswith((".pkl", ".py")) else part)
    return stream.getvalue()


def run(kind: str, first: int, count: int, results: multiprocessing.Queue[dict[str, object]]) -> None:
    """Open mutations one after the other and report what happened; runs in a child."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    opened = refused = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        folder.mkdir()
        source, target = FORMATS[kind](folder)
        content = target.read_bytes()
        listing = sorted(Path(place).rglob("*"))
        change = mutated_inside if kind.startswith(("pickle", "code")) else mutated
        for seed in range(first, first + count):
            damaged = change(content, random.Random(seed))
            target.write_bytes(damaged)
            if target.suffix == ".ts":
                allow(hashlib.sha256(damaged).hexdigest())
            try:
                load_checkpoint(source)
                opened += 1
            except UserError:
                refused += 1
            except Exception:  # noqa: BLE001 - that there is none is what is measured
                results.put({"seed": seed, "error": traceback.format_exc(limit=-3)})
            results.put({"seed": seed})
        elsewhere = sorted(Path(place).rglob("*")) != listing
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put({"opened": opened, "refused": refused, "elsewhere": elsewhere, "peak": peak})


def fuzz(kind: str, count: int) -> dict[str, object]:
    """Run all mutations of one format, a new child after each `ROUND` and after each crash."""
    context = multiprocessing.get_context("spawn")
    total: dict[str, object] = {"opened": 0, "refused": 0, "foreign": [], "crashes": [], "elsewhere": 0, "peak": 0.0}
    start = 0
    while start < count:
        results = context.Queue()
        child = context.Process(target=run, args=(kind, start, min(ROUND, count - start), results))
        child.start()
        seed, ended = start - 1, False
        while not ended:
            try:
                said = results.get(timeout=60)
            except queue.Empty:
                if not child.is_alive():
                    break
                continue
            if "error" in said:
                total["foreign"].append((said["seed"], said["error"]))  # type: ignore[attr-defined]
            elif "opened" in said:
                for name in ("opened", "refused", "elsewhere"):
                    total[name] += said[name]  # type: ignore[operator]
                total["peak"] = max(total["peak"], said["peak"])  # type: ignore[type-var]
                ended = True
            else:
                seed = said["seed"]
        child.join()
        if not ended:
            total["crashes"].append(seed + 1)  # type: ignore[attr-defined]
        start = start + ROUND if ended else seed + 2
    return total


def main() -> int:
    """Fuzz every format and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--only", choices=tuple(FORMATS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {}
    print("| format | mutations | opened | refused | foreign exceptions | crashes | files elsewhere | peak, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in [arguments.only] if arguments.only else FORMATS:
        found[kind] = result = fuzz(kind, arguments.mutations)
        foreign, crashes = result["foreign"], result["crashes"]
        print(
            f"| {kind} | {arguments.mutations} | {result['opened']} | {result['refused']} | {len(foreign)} | "  # type: ignore[arg-type]
            f"{len(crashes)} | {result['elsewhere']} | {result['peak']:.0f} |",  # type: ignore[arg-type]
            flush=True,
        )
        for seed, error in foreign[:3]:  # type: ignore[index]
            print(f"seed {seed}: {error}", file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    return int(any(result["foreign"] or result["crashes"] or result["elsewhere"] for result in found.values()))


if __name__ == "__main__":
    sys.exit(main())
