from __future__ import annotations

import time

import pytest

from napari_unet.errors import CheckpointError
from napari_unet.model.packages.yamltext import read_yaml


def refused(text, *words):
    start = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        read_yaml(text.encode() if isinstance(text, str) else text, "rdf.yaml")
    assert all(word in str(caught.value) for word in ("rdf.yaml", *words)), caught.value
    return time.perf_counter() - start


def test_values_are_those_of_the_core_schema():
    text = "a: 1\nb: 1e-6\nc: no\nd: [.inf, -.inf, ~, true]\ne: '1'\nf: 2019-12-11\ng: |\n  lines\n  here\ny: 0o7\n"
    assert read_yaml(text.encode(), "x") == {
        "a": 1,
        "b": 1e-6,
        "c": "no",
        "d": [float("inf"), float("-inf"), None, True],
        "e": "1",
        "f": "2019-12-11",
        "g": "lines\nhere\n",
        "y": "0o7",
    }


def test_aliases_repeat_what_stands_before():
    assert read_yaml(b"a: &x [1, 2]\nb: *x\nc: {d: *x}", "x")["c"] == {"d": [1, 2]}


def test_a_few_lines_cannot_stand_for_billions():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    refused("\n".join(lines), "stands for more than")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: !!python/object/apply:os.system ['true']", "tag"),
        ("!!python/name:os.system", "tag"),
        ("a: !custom 1", "tag"),
        ("[" * 5000, "nested"),
        ("a: {" * 5000, "nested"),
        ("a: &x [*x]", "not complete"),
        ("a: 1\na: 2", "twice"),
        ("[1, 2]: 3\n", "key"),
        ("a: [1", "no YAML"),
        (b"\xff\xfe\x00", "no YAML"),
        ("a: " + "x" * 2**20, "bytes"),
    ],
)
def test_hostile_texts_are_refused(text, word):
    refused(text, word)
