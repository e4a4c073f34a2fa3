"""The section that segments, and decodes the scores again with other settings."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, create_widget
from qtpy.QtCore import QTimer

from napari_unet.errors import UserError
from napari_unet.inference.objects import ObjectSettings
from napari_unet.viewer.widgets.parts import JobBar, Section, SplitButton, enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

LABELS = {
    "threshold": ("threshold", "Score from which a voxel is foreground", {"min": 0.0, "max": 1.0, "step": 0.05}),
    "min_size": ("min. size", "Objects of fewer voxels are removed", {"min": 0, "max": 10**9, "step": 10}),
    "split": ("splitting", "How eagerly touching objects are split", {"min": 0.0, "max": 1.0, "step": 0.05}),
    "fill_holes": ("fill holes", "Fill what an object encloses", {}),
    "connected": ("separate objects", "Number connected objects instead of labelling all of them 1", {}),
}
FOR_INSTANCES = ("threshold", "min_size", "split", "fill_holes")
FOR_BINARY = ("threshold", "min_size", "fill_holes", "connected")
DECODE_DELAY = 250  # ms without another change before the scores are decoded again


class SegmentSection(Section):
    """Run the model: all of the image, or what is on screen.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Segment")
        self.link, self.session = link, link.session
        self.split = SplitButton(
            "Segment",
            link.segment,
            (
                ("All of the image, the view first", link.segment),
                ("Only what is in view", lambda: link.segment(only_view=True)),
            ),
        )
        self.button = self.split.button
        self.header.addWidget(self.split)
        self.header.addStretch(1)
        self.progress = JobBar("Stop; the finished tiles stay")
        self.progress.cancelled.connect(lambda: self.session.cancel("segment"))
        self.body.addWidget(self.progress)
        self.note = sentence_label(dim=True)
        self.body.addWidget(self.note)
        self.form, self.editors = _form(self.session.settings.objects)
        self.body.addWidget(self.form.native)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.timeout.connect(self._decode)
        self.form.changed.connect(lambda: self._delay.start(DECODE_DELAY))
        self.refresh()

    def values(self) -> ObjectSettings:
        """Return the settings on screen."""
        return ObjectSettings(**{name: editor.value for name, editor in self.editors.items()})

    def _decode(self) -> None:
        """Decode again without the network where there are scores; else keep the settings for the next run."""

        def command() -> None:
            settings, image_id = self.values(), self.link.image.image_id
            labels = None if image_id is None else self.session.labels(image_id)
            self.session.set_objects(settings)
            if image_id is not None and labels is not None and labels.frames:
                if "segment" in self.session.jobs:
                    self.session.cancel("segment")
                    self._delay.start(DECODE_DELAY)
                    return
                self.session.decode(image_id, settings)

        self.link.run(command)

    def problem(self) -> str:
        """Return what is missing before an image can be segmented, or an empty string."""
        model, image = self.session.model, self.link.image
        if "segment" in self.session.jobs:
            return "A segmentation runs; stop it first."
        if image.layer is None:
            return "There is no image: open one first."
        if image.problem is not None:
            return str(image.problem)
        if model is None:
            return "No model is chosen: choose one above."
        if model.untrained:
            return "The model has not been trained: paint a stroke in each class."
        return channel_problem(self.link)

    def refresh(self) -> None:
        """Show whether and how far a segmentation runs."""
        view, model = self.session.jobs.get("segment"), self.session.model
        enable(self.button, self.problem(), "Segment the image, the view first")
        enable(self.split.more, self.problem(), "All of the image, or only what is in view")
        self.progress.setVisible(view is not None)
        if view is not None:
            progress = view.progress
            stopping = view.job.state.value == "stopping"
            self.progress.show_progress(progress.done, progress.total, progress.text, progress.seconds_left, stopping)
        problem = channel_problem(self.link) if model is not None and self.link.image.source is not None else ""
        self.note.setText(problem)
        self.note.setVisible(bool(problem))
        kind = "" if model is None else model.header.output.kind
        shown = FOR_INSTANCES if kind == "instances" else FOR_BINARY if kind == "binary" else ()
        for name, editor in self.editors.items():
            editor.visible = name in shown
        self.form.native.setVisible(bool(shown))


def channel_problem(link: ViewerLink) -> str:
    """Return why the image's channels do not fit the model, or an empty string.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """
    from napari_unet.inference.channels import match_channels

    model, source = link.session.model, link.image.source
    if model is None or source is None:
        return ""
    header = model.header
    try:
        match_channels(source.n_channels, header.in_channels, header.repeat_gray, source.rgb)
    except UserError as error:
        if header.repeat_gray and source.n_channels > 1:
            return f"{error.message} Choose one channel, or {header.in_channels}, with the button of the channels."
        return str(error)
    if header.ndim == 3 and source.shape[1] < 2:
        return "The model is 3D, but the image has one plane. Choose a 2D model."
    return ""


def _form(settings: ObjectSettings) -> tuple[Container[Any], dict[str, Any]]:
    """Return a form with an editor for each field of the settings, by name."""
    editors = {}
    for field in fields(settings):
        label, tip, options = LABELS[field.name]
        value = getattr(settings, field.name, field.default if field.default is not MISSING else None)
        editor = create_widget(value=value, annotation=type(value), name=field.name, label=label, options=options)
        editor.tooltip = tip
        editors[field.name] = editor
    form = Container(widgets=list(editors.values()), labels=True)
    form.margins = (0, 0, 0, 0)
    form.native.layout().setSpacing(2)
    return form, editors
