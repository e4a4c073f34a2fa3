"""What a package says about a model besides what the model knows of itself. Free of torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from napari_unet.errors import OutputError

MAX_TEXT = 1000
LICENSES = ("CC-BY-4.0", "CC0-1.0", "MIT", "BSD-3-Clause", "Apache-2.0")


@dataclass(frozen=True)
class About:
    """Who made a model, and on what terms it is handed on.

    Parameters
    ----------
    authors : tuple of str
        Each ``"Name"`` or ``"Name; Affiliation"``.
    license : str
        SPDX identifier, such as ``"CC-BY-4.0"``.
    description : str
        A sentence of what it segments.
    cite : tuple of str
        References, each a text that ends with a DOI or a URL.
    tags : tuple of str
        Words to find it by.

    Raises
    ------
    OutputError
        If there is no author or no licence.
    """

    authors: tuple[str, ...]
    license: str
    description: str = ""
    cite: tuple[str, ...] = ()
    tags: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.authors or not all(name.partition(";")[0].strip() for name in self.authors):
            raise OutputError("A package names its authors, and none is given.", "Say who made the model.")
        if not re.fullmatch(r"[A-Za-z0-9.+-]{2,40}", self.license):
            raise OutputError(
                f"The licence is {self.license!r:.60}, expected an SPDX identifier.", f"For example {LICENSES[0]}."
            )
        for text in self.cite:
            if not re.search(r"(10\.\d{4,9}/\S+|https?://\S+)$", text.strip()):
                raise OutputError(f"The reference {text!r:.80} ends with neither a DOI nor a URL.", "Add one.")
