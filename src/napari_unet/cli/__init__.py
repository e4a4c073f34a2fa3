"""The command `napari-unet`: what the panel can do, without a window.

Exit codes: 0 all done; 1 some files failed; 2 nothing could be done, with one sentence why; 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["segment"])
    2
    """
    import sys

    from napari_unet.cli.console import ERROR, INTERRUPTED, error, print_anything
    from napari_unet.cli.parser import build_parser
    from napari_unet.cli.trust import only_named_code
    from napari_unet.errors import UserError

    arguments = list(sys.argv[1:] if argv is None else argv)
    print_anything()
    try:
        chosen = build_parser(arguments).parse_args(arguments)
        with only_named_code(getattr(chosen, "run_code", ())):
            return int(chosen.run(chosen))
    except UserError as problem:
        from napari_unet.cli.said import sentence

        error(sentence(problem))
        return ERROR
    except KeyboardInterrupt:
        error("Interrupted; what was finished stays, nothing half-written does.")
        return INTERRUPTED
