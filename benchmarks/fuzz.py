"""Damaged model files: thousands of mutations of each format, in child processes with bounded memory.

    python benchmarks/fuzz.py --mutations 10000 --state fuzz.json

Counts what happens: opened, refused with a sentence of ours, anything else. A mutation changes bytes of a file, cuts it
off, or changes the pickle inside of a zip and gives it the right checksum again. Prints a table; exits with 1 if there
was a crash, a foreign exception or a file outside of the folder. With ``--state`` it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import queue
import random
import resource
import sys
import tempfile
import traceback
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from fuzz_parts.formats import FORMATS
from napari_unet.errors import UserError
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.consent import allow

MEMORY_GB = 6.0  # of address space; torch alone maps four
ROUND = 2000  # mutations a child
PATIENCE = 180.0  # seconds without a sign of life, after which a child is ended and counted as a crash
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}


@dataclass
class Found:
    """What happened to the mutations of one format so far.

    Parameters
    ----------
    done : int
        How many were tried.
    opened, refused : int
        Loaded; refused with a sentence of ours.
    foreign : list of (int, str)
        Seeds that raised anything else, and where.
    crashes : list of int
        Seeds at which the child died or hung.
    elsewhere : list of str
        Files outside of the folder that were written or changed.
    peak : float
        Largest resident memory of a child, MiB.
    """

    done: int = 0
    opened: int = 0
    refused: int = 0
    foreign: list[tuple[int, str]] = field(default_factory=list)
    crashes: list[int] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    peak: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether anything happened that must not."""
        return bool(self.foreign or self.crashes or self.elsewhere)


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
    """Return a zip of torch.save in which one pickle or piece of code was changed, with the right checksum."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(stream, "w") as after:
        chosen = chance.choice([name for name in before.namelist() if name.endswith((".pkl", ".py"))])
        for name in before.namelist():
            part = before.read(name)
            after.writestr(name, mutated(part, chance) if name == chosen else part)
    return stream.getvalue()


def run(kind: str, first: int, count: int, results: multiprocessing.Queue[dict[str, Any]]) -> None:
    """Open mutations one after the other and report what happened to each."""
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
            results.put({"seed": seed})
            try:
                load_checkpoint(source)
                results.put({"outcome": "opened"})
            except UserError:
                results.put({"outcome": "refused"})
            except Exception:  # noqa: BLE001 - that there is none is what is measured
                results.put({"outcome": "foreign", "error": traceback.format_exc(limit=-3)})
        elsewhere = [str(path) for path in sorted(Path(place).rglob("*")) if path not in listing]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put({"elsewhere": elsewhere, "peak": peak})


def child(
    kind: str, first: int, count: int, memory: int, place: str, results: multiprocessing.Queue[dict[str, Any]]
) -> None:
    """Run mutations in a process whose memory is bounded, and whose writes are watched."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    tempfile.tempdir = place
    os.chdir(place)
    touched: set[str] = set()

    def watch(event: str, values: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(values[2], int) and values[2] & WRITES
        if (writes or event in CHANGES) and isinstance(values[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(values[0]))
            if not path.startswith((place, "/dev/")):
                touched.add(path)

    load_once(kind)
    sys.addaudithook(watch)
    run(kind, first, count, results)
    results.put({"touched": sorted(touched)})


def load_once(kind: str) -> None:
    """Open the undamaged file once: libraries set up their own caches when they are first used."""
    with tempfile.TemporaryDirectory() as place:
        source, target = FORMATS[kind](Path(place))
        if target.suffix == ".ts":
            allow(hashlib.sha256(target.read_bytes()).hexdigest())
        load_checkpoint(source)


def go_on(kind: str, found: Found, count: int, memory: int) -> None:
    """Run one child from where the format was left; a crash ends it, and costs one mutation."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with tempfile.TemporaryDirectory() as place:
        arguments = (kind, found.done, min(ROUND, count - found.done), memory, os.path.realpath(place), results)
        process = context.Process(target=child, args=arguments)
        process.start()
        silent, seed, ended = 0.0, found.done, False
        while not ended and silent < PATIENCE:
            try:
                said = results.get(timeout=5)
            except queue.Empty:
                silent += 5
                if not process.is_alive():
                    break
                continue
            silent = 0.0
            seed = said.get("seed", seed)
            if "outcome" in said:
                found.done = seed + 1
                found.opened += said["outcome"] == "opened"
                found.refused += said["outcome"] == "refused"
                if said["outcome"] == "foreign":
                    found.foreign.append((seed, said["error"]))
            found.elsewhere += said.get("elsewhere", []) + said.get("touched", [])
            found.peak = max(found.peak, said.get("peak", 0.0))
            ended = "touched" in said
        process.kill()
        process.join()
    if not ended:
        found.crashes.append(found.done)
        found.done += 1


def main() -> int:
    """Fuzz every format and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--memory-gb", type=float, default=MEMORY_GB, help="address space of a child")
    parser.add_argument("--only", choices=tuple(FORMATS), action="append")
    parser.add_argument("--state", type=Path, help="a JSON file with what is done; formats go on from there")
    arguments = parser.parse_args()
    state: dict[str, Found] = {}
    if arguments.state and arguments.state.is_file():
        state = {kind: Found(**values) for kind, values in json.loads(arguments.state.read_text()).items()}
    print(f"Each child has {arguments.memory_gb:g} GiB of address space.\n")
    print("| format | mutations | opened | refused | foreign exceptions | crashes | files elsewhere | peak, MiB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    chosen = arguments.only or list(FORMATS)
    for kind in chosen:
        found = state.setdefault(kind, Found())
        while found.done < arguments.mutations:
            go_on(kind, found, arguments.mutations, int(arguments.memory_gb * 2**30))
            if arguments.state:
                texts = {name: asdict(one) for name, one in state.items()}
                replaced = arguments.state.with_suffix(".new")
                replaced.write_text(json.dumps(texts, indent=1))
                replaced.replace(arguments.state)
        counts = (found.done, found.opened, found.refused, len(found.foreign), len(found.crashes), len(found.elsewhere))
        print(f"| {kind} | {' | '.join(map(str, counts))} | {found.peak:.0f} |", flush=True)
        for seed, error in found.foreign[:3]:
            print(f"seed {seed}: {error}", file=sys.stderr)
        for what in (*found.crashes[:3], *found.elsewhere[:3]):
            print(f"{kind}: {what}", file=sys.stderr)
    return int(any(state[kind].failed for kind in chosen))


if __name__ == "__main__":
    sys.exit(main())
