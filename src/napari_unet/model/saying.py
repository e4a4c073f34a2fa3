"""What a user says about a model, as texts: from the command line, and from the form of the window. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.answers import Answers
from napari_unet.model.origin import bounds_problem

EXPECTED = (
    "Expected normalization=zscore, =none, =percentile:LOW:HIGH or =fixed:OFFSET:SCALE; activation=sigmoid, =softmax "
    "or =none; classes=NAME,NAME,…; channels=NAME,NAME,… with interior and boundary, for objects; "
    "voxel_size=[Z,]Y,X in µm; axes=XYZ or another order; or argument.NAME=VALUE of the network's constructor."
)


def parsed(said: Mapping[str, str], before: Answers) -> Answers:
    """Add what was said, as texts, to earlier answers.

    Parameters
    ----------
    said : mapping of str to str
        For example ``{"normalization": "zscore", "argument.num_groups": "4"}``.
    before : Answers
        They stay where nothing new is said.

    Raises
    ------
    CheckpointError
        If a text is none of those that are expected.
    """
    answers = before
    for key, text in said.items():
        try:
            if key == "normalization":
                answers = replace(answers, normalization=_normalization(text))
            elif key == "activation" and text in ("sigmoid", "softmax", "none"):
                answers = replace(answers, activation=text)
            elif key == "classes":
                answers = replace(answers, classes=_names(text), channels=())
            elif key == "channels":
                answers = replace(answers, channels=_names(text), classes=())
            elif key == "voxel_size":
                answers = replace(answers, voxel_size=tuple(float(length) for length in text.split(",")))
            elif key == "axes" and sorted(text.upper()) == ["X", "Y", "Z"]:
                answers = replace(answers, axes=text.upper())
            elif key.startswith("argument."):
                arguments = {**answers.arguments, key.removeprefix("argument."): _value(text)}
                answers = replace(answers, arguments=arguments)
            else:
                raise ValueError("it is not known")
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{key}={text} cannot be understood: {error}.", EXPECTED) from error
    return answers


def _normalization(text: str) -> Normalization:
    method, *numbers = text.split(":")
    values = [float(number) for number in numbers]
    given: dict[str, Any] = {"method": method}
    if method == "percentile" and len(values) == 2:
        given |= {"low": values[0], "high": values[1]}
    elif method == "fixed" and len(values) == 2:
        given |= {"offset": values[:1], "scale": values[1:]}
    elif values or method not in ("zscore", "none", "percentile"):
        raise ValueError("its numbers do not fit")
    return Normalization.from_dict(given)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _value(text: str) -> Any:
    """Return a JSON value, or the text itself where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    problem = bounds_problem(value)
    if problem:
        raise ValueError(problem)
    return value
