"""What channels mean when nobody says. Free of torch."""

from __future__ import annotations

from napari_unet.model.header import COLORS, ClassInfo, Output
from napari_unet.model.origin import Finding, How

OBJECTS = (ClassInfo("background", COLORS[0]), ClassInfo("object", COLORS[1]))  # of every network that finds objects


def default_classes(count: int) -> tuple[ClassInfo, ...]:
    """Return the background and numbered classes, with colours."""
    names = ("background", *(f"class {index}" for index in range(1, count)))
    return tuple(ClassInfo(name, COLORS[index % len(COLORS)]) for index, name in enumerate(names))


def default_output(channels: int) -> Output:
    """Return what the logits of a network mean when nobody says: foreground, or one class each."""
    if channels == 1:
        classes = (ClassInfo("background", COLORS[0]), ClassInfo("foreground", COLORS[1]))
        return Output("binary", "sigmoid", ("foreground",), classes)
    return class_output(default_classes(channels))


def class_output(classes: tuple[ClassInfo, ...]) -> Output:
    """Return the output of a network with one softmax channel per class."""
    return Output("classes", "softmax", tuple(info.name for info in classes), tuple(classes))


def classes_finding(output: Output, how: How) -> Finding:
    """Return what the channels are taken for, and how that is known."""
    return Finding("classes", ", ".join(info.name for info in output.classes), how)
