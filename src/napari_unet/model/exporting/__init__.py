"""Handing a model on: our own file, a bioimage.io package, TorchScript, ONNX."""

from __future__ import annotations

from pathlib import Path

from napari_unet.errors import OutputError

# Format → ending of its files, and what it is.
FORMATS = {
    "safetensors": (".safetensors", "napari-unet model"),
    "bioimageio": (".zip", "bioimage.io package"),
    "torchscript": (".ts", "TorchScript"),
    "onnx": (".onnx", "ONNX"),
    "original": (".pth", "the format that the weights came in"),
}
ORIGINAL = (".pt", ".ckpt", ".pytorch", ".bin")  # other endings of what other programs write


def format_of(path: Path, given: str | None = None) -> str:
    """Return the format of a file to be written: the given one, else by its ending.

    Raises
    ------
    OutputError
        If neither says one that is known.

    Examples
    --------
    >>> format_of(Path("nuclei.zip"))
    'bioimageio'
    """
    if given is not None and given in FORMATS:
        return given
    suffix = path.suffix.lower()
    found = next((name for name, (ending, _) in FORMATS.items() if suffix == ending), None)
    found = "original" if suffix in ORIGINAL else found
    if found is None or given is not None:
        known = ", ".join(f"{ending} ({what})" for ending, what in FORMATS.values())
        raise OutputError(f"A model cannot be written as {given or path.suffix or path.name!r}.", f"Known are {known}.")
    return found
