"""The section that segments, and decodes the scores again with other settings."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, create_widget
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from napari_unet.errors import UserError
from napari_unet.inference.labels.objects import MOST_SMOOTH, SMALLEST, ObjectSettings
from napari_unet.jobs import Job
from napari_unet.session.segmenting import View
from napari_unet.session.state import Origin
from napari_unet.viewer.widgets.options import RunOptions
from napari_unet.viewer.widgets.parts import JobBar, Section, enable, sentence_label
from napari_unet.viewer.widgets.scope import ScopeChoice

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

LABELS = {
    "threshold": ("threshold", "Score from which a voxel is foreground", {"min": 0.0, "max": 1.0, "step": 0.05}),
    "min_size": ("min. size", "Objects of fewer voxels are removed", {"min": 0, "max": 10**9, "step": 10}),
    "split": ("splitting", "How eagerly touching objects are split", {"min": 0.0, "max": 1.0, "step": 0.05}),
    "fill_holes": ("fill holes", "Fill what an object encloses", {}),
    "smooth": ("smoothing", "Smooth the outlines: radius in voxels, 0 for none", {"min": 0, "max": MOST_SMOOTH}),
    "connected": ("separate objects", "Number connected objects instead of labelling all of them 1", {}),
}
FOR_INSTANCES = ("threshold", "min_size", "split", "smooth", "fill_holes")
FOR_BINARY = ("threshold", "min_size", "smooth", "fill_holes", "connected")
LABEL_JOBS = ("segment", "model")  # jobs after which the labels, or what they mean, are others
DECODE_DELAY = 120  # ms without another change before the scores are decoded again


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
        self.scope = ScopeChoice(link)
        self.button = QPushButton("Segment")
        self.button.clicked.connect(self.scope.segment)
        self.header.addWidget(self.button)
        self.header.addWidget(self.scope)
        self.header.addStretch(1)
        self.progress = JobBar("Stop; the finished tiles stay")
        self.progress.cancelled.connect(lambda: self.session.cancel("segment"))
        self.body.addWidget(self.progress)
        self.note = sentence_label(dim=True)
        self.body.addWidget(self.note)
        self.form, self.editors = _form(self.session.settings.objects)
        self.body.addWidget(self.form.native)
        self.options = RunOptions(link)
        self.options.joining_changed.connect(lambda: self._delay.start(DECODE_DELAY))
        self.body.addWidget(self.options)
        self._ndim = 2
        self._decoding: Job | None = None
        self._waiting: set[str] = set()  # images to decode again once what runs has ended
        self._stopped = False
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.timeout.connect(self._decode)
        self.form.changed.connect(lambda: self._delay.start(DECODE_DELAY))
        self.options.form.changed.connect(self._follow_dimensions)  # three directions find objects in 3D
        self.refresh()

    def values(self) -> ObjectSettings:
        """Return the settings on screen."""
        values = {name: editor.value for name, editor in self.editors.items()}
        usual = values["min_size"] == SMALLEST[self._ndim]
        return ObjectSettings(**values | {"min_size": None if usual else values["min_size"]})

    def stop(self) -> None:
        """Start nothing any more: the panel closes."""
        self._stopped = True
        self._delay.stop()

    def _decode(self) -> None:
        """Take the settings on screen for the next run, and for the scores that there are."""
        self.link.run(lambda: self.session.set_objects(self.values()))
        image_id = self.link.image.image_id
        if image_id is None:
            return
        area = self.session.images[image_id].area
        if area is not None and not self.session.shown_origin(image_id).frames:
            image_id = area.parent  # the area shows what the whole image was segmented to
        self._decode_when_quiet(image_id)

    def _decode_when_quiet(self, image_id: str) -> None:
        """Decode again, without the network, as soon as nothing else writes into the labels.

        Only a decoding is stopped for that: a segmentation that is stopped leaves no scores to decode.
        """
        if self._stopped or image_id not in self.session.images:
            return
        if not self.session.jobs.keys() & LABEL_JOBS:
            labels = self.session.labels(image_id)
            if labels is None:  # of a large image on the disk
                self.link.run(lambda: self._decode_now(image_id))
            else:
                self.session.when_not_stroking(labels, lambda: self.link.run(lambda: self._decode_now(image_id)))
            return
        if image_id not in self._waiting:
            self._waiting.add(image_id)
            # A moment later: what the session itself goes on with comes first.
            self.session.when_idle(LABEL_JOBS, lambda: QTimer.singleShot(0, lambda: self._ended(image_id)))
        view = self.session.jobs.get("segment")
        if view is not None and view.job is self._decoding:
            self.session.cancel("segment")

    def _ended(self, image_id: str) -> None:
        self._waiting.discard(image_id)
        self._decode_when_quiet(image_id)

    def _decode_now(self, image_id: str) -> None:
        if self.session.jobs.keys() & LABEL_JOBS:  # started while this waited for a stroke
            self._decode_when_quiet(image_id)
            return
        origin = self.session.shown_origin(image_id) if image_id in self.session.images else Origin()
        settings = self.session.settings
        if not origin.frames:
            return
        shown = origin.settings
        options = shown.get("options")
        joined = options.get("join_z", True) if isinstance(options, dict) else True
        chosen = asdict(settings.objects.settled(2 if origin.flat else 3))
        if shown.get("objects") != chosen or joined != settings.options.join_z:
            self._decoding = self.session.decode(image_id, settings.objects, self._view_of(image_id))

    def _view_of(self, image_id: str) -> View | None:
        """Return what is on screen of an image, if it is the current one."""
        image = self.link.image
        if image_id == image.image_id:
            t, box = image.view()
        elif image_id == image.base_id:
            t, box = image.base_view()
        else:
            return None
        return None if box is None else (t, box)

    def problem(self) -> str:
        """Return what is missing before an image can be segmented, or an empty string."""
        model, image = self.session.model, self.link.image
        if "segment" in self.session.jobs:
            return "A segmentation runs; stop it first."
        if self.session.undecided is not None:
            return "The last training round waits for your decision: click Keep or Discard first."
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
        self.scope.refresh()
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
        self._follow_dimensions()
        self.options.refresh()

    def _follow_dimensions(self) -> None:
        """Show the usual minimum size of objects in 2D or 3D, unless another was typed."""
        model, source = self.session.model, self.link.image.source
        ndim = 2 if model is None else model.header.ndim
        if source is not None:
            ndim = self.session.settings.options.object_ndim(ndim, source.shape[1])
        if ndim == self._ndim:
            return
        field = self.editors["min_size"]
        if field.value == SMALLEST[self._ndim]:
            with self.form.changed.blocked():
                field.value = SMALLEST[ndim]
        self._ndim = ndim


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
        value = SMALLEST[2] if value is None else value
        editor = create_widget(value=value, annotation=type(value), name=field.name, label=label, options=options)
        editor.tooltip = tip
        editors[field.name] = editor
    form = Container(widgets=list(editors.values()), labels=True)
    form.margins = (0, 0, 0, 0)
    form.native.layout().setSpacing(2)
    return form, editors
