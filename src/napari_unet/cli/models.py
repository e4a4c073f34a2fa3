"""`napari-unet inspect` and `napari-unet export-model`: what a checkpoint is, and a copy of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli import console
from napari_unet.cli.exporting import add_export_options, target_of, write
from napari_unet.errors import UserError
from napari_unet.model.origin import HOW
from napari_unet.model.questions import questions_about

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint
    from napari_unet.model.header import CheckpointHeader
    from napari_unet.model.origin import Origin

SHOWN = 400  # characters of a provenance value


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="A built-in name or a checkpoint file.")
    if name == "inspect":
        parser.set_defaults(run=inspect)
        parser.add_argument("--json", action="store_true", help="Print the header as JSON.")
        parser.add_argument(
            "--say",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="Say what the file does not: normalization, activation, classes, channels, voxel_size, axes "
            "or argument.NAME. It is remembered beside the file, for exactly these weights.",
        )
    else:
        parser.set_defaults(run=export)
        parser.add_argument("output", metavar="OUT", help="The file to write; its ending tells the format.")
        parser.add_argument("--overwrite", action="store_true", help="Replace the output.")
        add_export_options(parser)


def inspect(arguments: argparse.Namespace) -> int:
    """Print what a checkpoint is."""
    from napari_unet.model.checkpoint import load_checkpoint

    if arguments.say:
        remember(Path(arguments.checkpoint), arguments.say)
    checkpoint = load_checkpoint(arguments.checkpoint)
    if arguments.json:
        console.say(json.dumps(checkpoint.header.to_dict(), indent=2, ensure_ascii=False))
    else:
        console.facts(checkpoint.header.name, facts(checkpoint))
        if questions_about(checkpoint.header) is not None:
            console.note(
                "What is assumed can be said once: napari-unet inspect FILE --say …, or open it in the window."
            )
    return console.DONE


def remember(path: Path, said: list[str]) -> None:
    """Write what was said about a foreign file beside it, if the network can be built so."""
    from napari_unet.model.answers import Answers, read_answers
    from napari_unet.model.asking import subject_of, write_answers
    from napari_unet.model.saying import EXPECTED, parsed

    wrong = [text for text in said if "=" not in text]
    if wrong or not path.exists():
        raise UserError(f"{wrong[0]!r} is no KEY=VALUE." if wrong else f"There is no file {path}.", EXPECTED)
    subject = subject_of(path)
    if subject is None:
        raise UserError(f"{path.name} says everything itself.", "What it says can be changed by training or export.")
    before = read_answers(path)
    start = before if before is not None and before.weights == subject.digest else Answers(subject.digest)
    answers = parsed({text.partition("=")[0]: text.partition("=")[2] for text in said}, start)
    subject.open(answers)
    write_answers(path, answers)


def export(arguments: argparse.Namespace) -> int:
    """Write a checkpoint in one of the formats of `napari_unet.model.exporting`."""
    from napari_unet.model.checkpoint import load_checkpoint

    target = target_of(arguments)
    checkpoint = load_checkpoint(arguments.checkpoint)
    for note in write(arguments, checkpoint, target):
        console.note(note)
    console.say(f"Wrote {target}: {checkpoint.header.name}, weights {checkpoint.header.weights_hash[:12]}….")
    return console.DONE


def facts(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Return what is known of a checkpoint, and how: name and value."""
    from napari_unet.model.weights import once_each

    header, geometry = checkpoint.header, checkpoint.geometry
    parameters = sum(tensor.numel() for tensor in once_each(checkpoint.network).values())
    output = header.output
    scores = "as the network gives them" if output.activation == "none" else f"by {output.activation}"
    rows = [
        ("family", f"{header.family} ({_known_by(header)})"),
        ("architecture", _architecture(header)),
        ("size", f"{parameters:,} weights"),
        (
            "input",
            f"{header.ndim}D ({header.axes}), {_channels(header.in_channels)}"
            + (", gray repeated" * header.repeat_gray),
        ),
        ("output", f"{output.kind}: {', '.join(output.channels)}; scores {scores}"),
        ("classes", ", ".join(f"{k} {info.name} {info.color}" for k, info in enumerate(output.classes))),
        ("normalization", header.normalization.sentence),
        ("voxel size", " × ".join(f"{n:g}" for n in header.voxel_size) + " µm" if header.voxel_size else "unknown"),
        ("object size", f"{header.object_diameter:g} voxels wide" if header.object_diameter else "unknown"),
        (
            "geometry",
            f"sizes in multiples of {_by(geometry.divisor)}; sees {_by(geometry.halo)} voxels to each side (halo)",
        ),
        ("tiles", "exact: the same scores as for the whole image at once" if geometry.exact else _blended(checkpoint)),
        ("weights", f"SHA-256 {header.weights_hash}"),
        ("parent", header.parent or "none"),
    ]
    rows += _origin(header.origin)
    return rows + [(f"  {key}", _short(value)) for key, value in header.provenance.items() if value not in ([], {}, "")]


def _known_by(header: CheckpointHeader) -> str:
    if header.program is not None:
        return "a program, found out by running it" if header.origin else "a program, as its package describes it"
    ours = header.family == "napari-unet"
    return "stated by its header" if ours else "told by names and shapes of the weights, which fit exactly"


def _blended(checkpoint: Checkpoint) -> str:
    """Return why tiles of a network are no more than nearly what the whole image would give."""
    from napari_unet.model.reach import looks_at_all

    if looks_at_all(checkpoint.network):
        why = (
            "a normalization layer takes mean and deviation from all that it is given, so a tile's scores depend on it"
        )
    else:
        why = "how far the network sees was measured, not derived"
    return f"overlap and are blended: {why}. “napari-unet seams” measures how much on an image of yours"


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _origin(origin: Origin | None) -> list[tuple[str, str]]:
    """Return the format that the weights came in, and how what is known of it is known."""
    if origin is None:
        return []
    where = ["folder"] if origin.file else []
    where += [f"under {' / '.join(origin.container)}"] if origin.container else []
    where += [f"prefix {origin.prefix}"] if origin.prefix else []
    came = ": ".join(filter(None, (origin.family, origin.variant))) + (f" ({', '.join(where)})" if where else "")
    found = [(f"  {finding.what}", f"{finding.value} ({HOW[finding.how]})") for finding in origin.findings]
    return [("came as", came), *found]


def _architecture(header: CheckpointHeader) -> str:
    config = header.config
    if header.blueprint is not None:
        return f"{header.blueprint.network} of {header.blueprint.family}: {_short(header.blueprint.arguments)}"
    if header.program is not None:
        program = header.program
        sizes = "fixed" if not any(program.sizes.step) else f"in steps of {_by(program.sizes.step)}"
        where = f"{program.kind} {program.name}, SHA-256 {program.sha256[:12]}…"
        return f"{where}; takes {_by(program.sizes.minimum)} ({sizes}). {program.sentence}"
    if config is None:
        return "not a U-Net of ours"
    parts = [
        f"{config.ndim}D U-Net",
        f"features {'-'.join(map(str, config.features))}",
        f"{config.convolutions} convolutions a level, {config.bottleneck_convolutions} in the bottleneck",
        f"{config.norm} normalization",
        config.activation,
        f"upsampling by {config.upsampling}",
    ]
    return ", ".join(parts + (["residual blocks"] if config.residual else []))


def _by(numbers: tuple[int, ...]) -> str:
    return " × ".join(map(str, numbers))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
