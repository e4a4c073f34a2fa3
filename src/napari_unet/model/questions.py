"""What of a model no file says, so that its user is asked once. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_unet.image.normalize import Normalization
from napari_unet.model.answers import Answers
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.origin import Finding

ASKED = ("normalization", "activation", "classes")


@dataclass(frozen=True)
class Questions:
    """What is asked about a model, with what is taken for it until somebody answers.

    Parameters
    ----------
    header : CheckpointHeader
        The model as it is without answers: each default is there.
    unknown : tuple of str
        Which of `ASKED` no file says; the rest may be corrected, but need not be looked at.
    arguments : tuple of Finding
        Assumed arguments of the network's constructor, such as the groups of its normalization.
    earlier : dict
        What was said before about other weights under this name, as texts; empty if nothing was.
    """

    header: CheckpointHeader
    unknown: tuple[str, ...]
    arguments: tuple[Finding, ...] = ()
    earlier: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What is missing, and where the suggestions come from, in two sentences."""
        names = {
            "normalization": "how images are prepared",
            "activation": "what makes scores of its values",
            "classes": "what its channels mean",
        }
        missing = [names[name] for name in self.unknown] + [f"the {finding.what}" for finding in self.arguments]
        listed = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]}"
        program = self.header.program is not None
        suggested = "a guess" if program else f"what {self.header.family} does by default"
        return f"The file does not say {listed}. What is suggested is {suggested}."


def questions_about(header: CheckpointHeader, earlier: Answers | None = None) -> Questions | None:
    """Return what is to be asked about a model; None if its files, its family or its user say everything.

    Parameters
    ----------
    header : CheckpointHeader
        Of a model that was opened from a foreign file.
    earlier : Answers, optional
        What was said about other weights under the same name; suggested again.
    """
    found = () if header.origin is None else header.origin.findings
    assumed = [finding for finding in found if finding.how == "assumed"]
    unknown = tuple(name for name in ASKED if any(finding.what == name for finding in assumed))
    answered = any(finding.how == "said" for finding in found)
    arguments = () if answered else tuple(finding for finding in assumed if finding.argument)
    if not unknown and not arguments:
        return None
    return Questions(header, unknown, arguments, {} if earlier is None else texts_of(earlier))


def texts_of(answers: Answers) -> dict[str, str]:
    """Return answers as the texts that `napari_unet.model.saying.parsed` reads."""
    texts = {} if answers.normalization is None else {"normalization": normalization_text(answers.normalization)}
    texts |= {} if answers.activation is None else {"activation": answers.activation}
    for name in ("classes", "channels"):
        texts |= {name: ",".join(getattr(answers, name))} if getattr(answers, name) else {}
    if answers.voxel_size is not None:
        texts["voxel_size"] = ",".join(f"{length:g}" for length in answers.voxel_size)
    return texts | ({"axes": answers.axes} if answers.axes else {})


def normalization_text(how: Normalization) -> str:
    """Return a normalization as a text, as far as texts go: one offset and scale for all channels.

    Examples
    --------
    >>> normalization_text(Normalization("fixed", scale=(255.0,)))
    'fixed:0:255'
    """
    if how.method == "percentile":
        return f"percentile:{how.low:g}:{how.high:g}"
    if how.method == "fixed":
        return f"fixed:{how.offset[0]:g}:{how.scale[0]:g}"
    return how.method
