"""What no file carries, said once by its user and remembered beside it, for exactly these weights. Free of torch.

``model.pth`` has its answers in ``model.pth.napari-unet.json``; they count while the weights are the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.header import COLORS, CheckpointHeader, ClassInfo, Output
from napari_unet.model.origin import Finding, Origin, bounds_problem
from napari_unet.model.outputs import OBJECTS

SUFFIX = ".napari-unet.json"
MAX_BYTES = 2**20
SCHEMA = 1


@dataclass(frozen=True)
class Answers:
    """What was said about a model.

    Parameters
    ----------
    weights : str
        SHA-256 of the weights as they are in the file, see `napari_unet.model.weights.hash_tensors`.
    normalization : Normalization, optional
        How images are prepared.
    activation : str, optional
        What turns the network's values into scores.
    classes : tuple of str
        Names of the classes, the background first; empty if not said.
    channels : tuple of str
        For a network that finds objects: what each channel is, with one ``interior`` and one ``boundary``; empty
        if not said.
    voxel_size : tuple of float, optional
        In µm, ([Z], Y, X).
    axes : str
        The order of the axes of the volumes that a 3D network learned from, such as ``"XYZ"``; empty if not said.
    arguments : dict
        Of the network's constructor, such as ``strides`` or ``num_groups``.
    """

    weights: str
    normalization: Normalization | None = None
    activation: str | None = None
    classes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    voxel_size: tuple[float, ...] | None = None
    axes: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


def read_answers(path: Path) -> Answers | None:
    """Read the answers beside a file or folder; None if there are none.

    Raises
    ------
    CheckpointError
        If they are damaged.
    """
    file = path.with_name(path.name + SUFFIX)
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("schema") != SCHEMA or bounds_problem(values.get("arguments", {})):
            raise ValueError("its schema or an argument is out of bounds")
        given = values.get("normalization")
        size = values.get("voxel_size")
        return Answers(
            **{
                **values,
                "normalization": None if given is None else Normalization.from_dict(given),
                "classes": tuple(values.get("classes", ())),
                "channels": tuple(values.get("channels", ())),
                "voxel_size": None if size is None else tuple(size),
            }
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{file.name}, which holds what was said about {path.name}, cannot be used: {error}.",
            "Delete it; what it said is asked again in the window, or given to: napari-unet inspect FILE --say …",
        ) from error


def answers_text(answers: Answers) -> str:
    """Return what is written beside the file."""
    return json.dumps({"schema": SCHEMA, **asdict(answers)}, indent=2)


def answered(header: CheckpointHeader, answers: Answers) -> CheckpointHeader:
    """Return a header with what was said about it.

    Raises
    ------
    CheckpointError
        If it does not fit the network, such as another number of classes.
    """
    output = header.output
    said = []
    if answers.channels:
        output = Output("instances", output.activation, answers.channels, OBJECTS)
        said.append(Finding("classes", "objects, from " + ", ".join(answers.channels), "said"))
    elif answers.classes:
        infos = tuple(ClassInfo(name, COLORS[k % len(COLORS)]) for k, name in enumerate(answers.classes))
        single = header.out_channels == 1
        channels = ("foreground",) if single else answers.classes
        output = Output("binary" if single else "classes", output.activation, channels, infos)
        said.append(Finding("classes", ", ".join(answers.classes), "said"))
    if answers.activation is not None:
        output = replace(output, activation=cast(Any, answers.activation))
        said.append(Finding("activation", answers.activation, "said"))
    if answers.normalization is not None:
        said.append(Finding("normalization", answers.normalization.sentence, "said"))
    if answers.voxel_size is not None:
        said.append(Finding("voxel size", " × ".join(f"{length:g}" for length in answers.voxel_size) + " µm", "said"))
    if answers.axes:
        said.append(Finding("axes", ", ".join(answers.axes), "said"))
    origin = header.origin or Origin(header.family)
    names = {finding.argument: finding.what for finding in origin.findings if finding.argument}
    said += [Finding(names.get(name, name), str(value), "said", name) for name, value in answers.arguments.items()]
    kept = [finding for finding in origin.findings if finding.what not in {one.what for one in said}]
    return replace(
        header,
        output=output,
        normalization=answers.normalization or header.normalization,
        voxel_size=answers.voxel_size or header.voxel_size,
        origin=replace(origin, findings=(*kept, *said)),
    )
