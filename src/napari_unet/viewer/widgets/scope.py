"""How much of an image is segmented, and where a large one is corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QMessageBox, QPushButton, QWidget

from napari_unet.viewer.layers import level_of, level_sizes
from napari_unet.viewer.levels import choose_level
from napari_unet.viewer.widgets.parts import enable

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

ALL, VIEW, AREA = "all", "view", "area"
SCOPES = ((ALL, "all", "All of the image, the view first"), (VIEW, "in view", "Only what is in view"))
AREA_SCOPE = (AREA, "work area", "Only the work area")


class ScopeChoice(QWidget):
    """What *Segment* covers: all of the image, the view, or the work area; and the button that sets that.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.link = link
        self.choice = QComboBox()
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.choice.setToolTip("What is segmented")
        self.choice.setAccessibleName("What is segmented")
        self._fill(False)
        self.area = QPushButton("Work area")
        self.area.clicked.connect(link.areas.set_from_view)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.choice)
        layout.addWidget(self.area)
        self._area: str | None = None
        self.refresh()

    @property
    def scope(self) -> str:
        """One of `ALL`, `VIEW` and `AREA`."""
        return str(self.choice.currentData())

    def segment(self) -> None:
        """Segment what is chosen; ask first where that replaces what hours have made."""
        base = self.link.image.base_id
        lost = "" if base is None or self.scope != ALL else self.link.session.lost_by_segmenting(base)
        if (
            lost
            and QMessageBox.question(self, "Segment", f"{lost} Segment it again?") != QMessageBox.StandardButton.Yes
        ):
            return
        self.link.segment(only_view=self.scope == VIEW, only_area=self.scope == AREA)

    def _fill(self, with_area: bool) -> None:
        self.choice.clear()
        for scope, name, tip in (*SCOPES, *((AREA_SCOPE,) if with_area else ())):
            self.choice.addItem(name, scope)
            self.choice.setItemData(self.choice.count() - 1, tip, 3)

    def refresh(self) -> None:
        """Offer the work area where there is one; a new one is what is segmented next."""
        area = self.link.areas.current
        if area != self._area:
            before, self._area = self.scope, area
            self._fill(area is not None)
            wanted = AREA if area is not None else before
            self.choice.setCurrentIndex(max(0, self.choice.findData(wanted)))
        self.area.setVisible(self.link.image.is_large)
        no_model = "" if self.link.session.model is not None else "No model is chosen: choose one above."
        tip = "Correct labels in what is in view now: a large image is corrected in parts"
        enable(self.area, no_model, tip)


class LevelChoice(QComboBox):
    """Which level of a multiscale image the model sees; hidden for other images.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.image, self.session = link.image, link.session
        self._run = link.run
        self.setAccessibleName("Level of resolution")
        self.activated.connect(self._on_chosen)
        self.refresh()

    def _on_chosen(self, level: int) -> None:
        self._run(lambda: self.image.answer_level(level))

    def refresh(self) -> None:
        """Show the levels of the current image with their voxel sizes, and why this one."""
        layer, source = self.image.layer, self.image.source
        many = layer is not None and source is not None and source.levels > 1
        self.setVisible(many)
        if layer is None or source is None or not many:
            return
        sizes, level = level_sizes(layer), level_of(layer)
        names = [
            f"level {n}: {source_size(layer.level_shapes[n])}" + ("" if size is None else f" · {size[2]:.3g} µm")
            for n, size in enumerate(sizes)
        ]
        if [self.itemText(n) for n in range(self.count())] != names:
            self.clear()
            self.addItems(names)
        self.setCurrentIndex(level)
        model = self.session.model
        chosen, why = choose_level(sizes, None if model is None else model.header)
        self.setToolTip(f"The model sees level {level}" + (f", {why}" if chosen == level else ", as you chose"))


def source_size(shape: tuple[int, ...]) -> str:
    """Return the last two lengths of a shape, as width × height.

    Examples
    --------
    >>> source_size((3, 512, 1024))
    '1024 × 512'
    """
    return f"{int(shape[-1])} × {int(shape[-2])}"
