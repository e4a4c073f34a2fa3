"""The section of what is known: counter, overlay, accept, new object, undo, and the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QLabel, QMenu, QPushButton, QWidget

from napari_unet.viewer.accepting import Question
from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.keys import KeysDialog
from napari_unet.viewer.widgets.next import NextRegion
from napari_unet.viewer.widgets.parts import Section, SplitButton, enable, lay_out_question, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

THIN_SPACE = "\u202f"
NO_LABELS = "The image has no labels yet: click Segment first."


class KnownSection(Section):
    """How much is known, and the commands that make more of it known or take a step back.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Known")
        self.link, self.session, self.keys = link, link.session, link.keys
        self.counter = QLabel()
        self.eye = IconButton("eye", "Show what is known", link.toggle_known, checkable=True)
        self.new_object = IconButton("plus", "", link.tools.new_object)
        self.list_keys = IconButton("keys", "List the keys", self._toggle_keys, checkable=True)
        self.header.addWidget(self.counter, 1)
        for button in (self.new_object, self.list_keys, self.eye):
            self.header.addWidget(button)
        self.accept = SplitButton("Accept", link.accept_view, ())
        self._fill_menu()
        self.undo = QPushButton("Undo")
        self.undo.clicked.connect(lambda: link.undo())
        self.redo = QPushButton("Redo")
        self.redo.clicked.connect(lambda: link.redo())
        self.next = NextRegion(link)
        self.row(self.accept, self.next.button, self.undo, self.redo, stretch=True)
        self.body.addWidget(self.next)
        self.question = QuestionBar(link)
        self.body.addWidget(self.question)
        self.hint = sentence_label()
        self.hint.hide()
        self.body.addWidget(self.hint)
        self.key_list = KeyList(link)
        self.body.addWidget(self.key_list)
        self.painting = sentence_label()
        self.body.addWidget(self.painting)
        link.tools.hinted.connect(self._show_hint)
        self.keys.changed.connect(self._on_keys)
        self.refresh()

    def _fill_menu(self) -> None:
        menu: QMenu = self.accept.more.menu()
        menu.clear()
        link, key = self.link, self.keys.key
        for name, action in (
            (f"View ({key('accept_view')})", link.accept_view),
            (f"Object… ({key('accept')})", link.tools.accept_clicked),
            (f"Region… ({key('accept_region')})", link.tools.accept_region),
            ("Slice", link.accept_slice),
        ):
            menu.addAction(name, action)

    def _on_keys(self) -> None:
        self._fill_menu()
        self.key_list.refresh()
        self.refresh()

    def _toggle_keys(self) -> None:
        self.key_list.setVisible(self.list_keys.isChecked())

    def _show_hint(self, hint: str) -> None:
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))

    def show_overlay(self, shown: bool) -> None:
        """Let the eye button follow the overlay."""
        self.eye.blockSignals(True)
        self.eye.setChecked(shown)
        self.eye.blockSignals(False)

    def refresh(self) -> None:
        """Show what is known of the current image."""
        self.next.refresh()
        image_id, history, key = self.link.image.image_id, self.session.history, self.keys.key
        labels = None if image_id is None else self.session.labels(image_id)
        voxels, regions = (0, 0) if labels is None or image_id is None else self.session.known_counts(image_id)
        text = f"{voxels:,} px".replace(",", THIN_SPACE) + f" · {regions} region{'' if regions == 1 else 's'}"
        self.counter.setText(text if voxels else "nothing yet")
        self.counter.setToolTip("Voxels that you painted, passed over or accepted; only these teach the model")
        none = "" if labels is not None else NO_LABELS
        enable(self.eye, none, f"Show what is known ({key('known')})")
        enable(self.accept.more, none, "Accept the view, an object, a region or the slice")
        enable(self.accept.button, none, f"Make what is on screen known as it is ({key('accept_view')}); ▾ for more")
        classes = "Classes have no new objects: choose a class." if labels and not labels.truth.instances else none
        enable(self.new_object, classes, f"New object: a label never used before, and the brush ({key('new_object')})")
        undo, redo = history.next_undo, history.next_redo
        enable(self.undo, "" if undo else "There is nothing to undo.", f"Undo: {undo} (Ctrl-Z)")
        enable(self.redo, "" if redo else "There is nothing to redo.", f"Redo: {redo} (Ctrl-Shift-Z)")
        problem = self.link.painting_problem()
        self.painting.setText(problem)
        self.painting.setVisible(bool(problem))


class QuestionBar(QFrame):
    """What is asked before much becomes known by one click; everything else goes on meanwhile.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.sentence = sentence_label()
        self.yes, self.no = QPushButton("Accept"), QPushButton("Cancel")
        self.yes.clicked.connect(lambda: link.accepting.confirm())
        self.no.clicked.connect(lambda: link.accepting.cancel())
        lay_out_question(self, self.sentence, self.yes, self.no, margins=(6, 4))
        link.accepting.asked.connect(self._show)
        self.hide()

    def _show(self, question: Question | None) -> None:
        self.setVisible(question is not None)
        if question is not None:
            self.sentence.setText(question.text)
            self.sentence.setToolTip(question.hint)


class KeyList(QWidget):
    """The keys and what they do, and the way to change them.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.keys = link.keys
        self.text = sentence_label(dim=True)
        self.change = QPushButton("Change keys…")
        self.change.setToolTip("Choose other keys; they are kept for the next time")
        self.change.clicked.connect(self._open)
        lay_out_question(self, self.text, self.change)
        self.refresh()
        self.hide()

    def refresh(self) -> None:
        """Show the keys as they are now."""
        self.text.setText("\n".join(f"{self.keys.key(a.name)}  {a.what}" for a in self.keys.offered))

    def _open(self) -> None:
        KeysDialog(self, self.keys).open()
