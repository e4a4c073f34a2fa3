"""Which code in model files a command may run: what its own arguments name, nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option that names code in model files."""
    parser.add_argument(
        "--run-code",
        action="append",
        default=[],
        metavar="SHA256",
        help="Run the code with this SHA-256 that a model file contains (TorchScript, Python); the refusal to open "
        "the file names it. 'never': take weights that need no code, where the file has any.",
    )


@contextmanager
def only_named_code(named: Sequence[str]) -> Iterator[None]:
    """Within this context, run code of these hashes; answers given in the window do not count.

    Raises
    ------
    UserError
        If one is no SHA-256.
    """
    from napari_unet.model.consent import given, only_named

    with ExitStack() as stack:
        stack.enter_context(only_named())
        for one in named:
            stack.enter_context(given(one))
        yield
