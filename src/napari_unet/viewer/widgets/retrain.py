"""The section that trains on what is known and shows honest numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton, QWidget

from napari_unet.viewer.widgets.finalize import FinalizeButton, InterruptedRow
from napari_unet.viewer.widgets.parts import JobBar, Section, enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.learning.prequential import CorrectedRegion
    from napari_unet.session.state import Round
    from napari_unet.viewer.link import ViewerLink

BUDGETS = (10, 30, 60, 120, 300, 600)  # seconds
LOSS_COLOR, SCORE_COLOR = "#e69f00", "#56b4e9"


class RetrainSection(Section):
    """Train, watch the curve, see both numbers, keep or discard.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Retrain")
        self.link, self.session = link, link.session
        self.button = QPushButton("Retrain")
        self.button.clicked.connect(self._retrain)
        self.budget = QComboBox()
        for seconds in BUDGETS:
            self.budget.addItem(f"{seconds} s" if seconds < 120 else f"{seconds // 60} min", seconds)
        self.budget.setCurrentIndex(BUDGETS.index(60))
        self.budget.setToolTip("How long to train")
        self.budget.setFixedWidth(74)  # the panel fits 300 pixels
        self.header.addWidget(self.button)
        self.header.addWidget(QLabel("for"))
        self.header.addWidget(self.budget)
        self.more = FinalizeButton(link)
        self.header.addWidget(self.more)
        self.header.addStretch(1)
        self.refit = QPushButton("Quick refit")
        self.refit.clicked.connect(lambda: link.run(self.session.refit))
        self.by_itself = QCheckBox("when I pause")
        self.by_itself.setToolTip("Refit by itself whenever you pause after a correction")
        self.by_itself.setChecked(self.session.settings.refit_when_pausing)
        self.by_itself.toggled.connect(self.session.refit_when_pausing)
        self.row(self.refit, self.by_itself, stretch=True)
        self.interrupted = InterruptedRow(link)
        self.body.addWidget(self.interrupted)
        self.progress = JobBar("Stop; the best so far is kept")
        self.progress.cancelled.connect(lambda: self.session.cancel("train"))
        self.body.addWidget(self.progress)
        self.curve: TrainingCurve | None = None
        self.numbers = QLabel()
        self.numbers.setToolTip(
            "Agreement with your corrections, and with what you left beside them, on blocks held back from training, "
            "before and after; this is not accuracy"
        )
        self.body.addWidget(self.numbers)
        self.others = sentence_label(dim=True)
        self.others.setToolTip(
            "Guard: agreement with the regions that the work began with, before and after. "
            "Before correction: how the earlier model did in the regions that you corrected since, before you did"
        )
        self.body.addWidget(self.others)
        self.verdict = sentence_label(dim=True)
        self.body.addWidget(self.verdict)
        self.keep = QPushButton("Keep")
        self.keep.setToolTip("Make the new model the current one")
        self.keep.clicked.connect(lambda: link.run(self.session.keep))
        self.discard = QPushButton("Discard")
        self.discard.setToolTip("Drop the new model and what it predicted")
        self.discard.clicked.connect(lambda: link.run(self.session.discard))
        self.flip = QPushButton("Show before")
        self.flip.setToolTip("Show the labels before and after in turn")
        self.flip.clicked.connect(self._flip)
        self.row(self.keep, self.discard, self.flip, stretch=True)
        self.anyway = QPushButton("Use anyway")
        self.anyway.setToolTip("Make the new model the current one although it agrees less; the model says so for good")
        self.anyway.clicked.connect(lambda: link.run(self.session.use_anyway))
        self.back = QPushButton("⟲ Back")
        self.back.clicked.connect(lambda: link.run(self.session.back))
        self.row(self.anyway, self.back, stretch=True)
        self.refresh()

    def prepare(self) -> None:
        """Make the plot ahead of its first use: pyqtgraph takes a moment to import."""
        if self.curve is None:
            self.curve = TrainingCurve()
            self.curve.widget.hide()
            self.body.insertWidget(self.body.indexOf(self.progress) + 1, self.curve.widget)

    def _retrain(self) -> None:
        self.link.run(lambda: self.session.retrain(float(self.budget.currentData())))

    def _flip(self) -> None:
        after = self.link.run(self.session.flip)
        self.flip.setText("Show after" if after is False else "Show before")

    def problem(self) -> str:
        """Return what is missing before a round can start, or an empty string."""
        session = self.session
        if "train" in session.jobs:
            return "A training round runs; stop it first."
        if session.undecided is not None:
            return "The last round waits: click Keep or Discard first."
        if session.model is None:
            return "No model is chosen: choose one above."
        if not any(session.known_counts(image_id)[0] for image_id in session.images):
            return "Nothing is known yet: paint what is wrong, or accept what is right."
        return ""

    def refresh(self) -> None:
        """Show whether a round runs, and what the last one gave."""
        session, view = self.session, self.session.jobs.get("train")
        enable(self.button, self.problem(), "Train a copy of the model on everything known, in all images")
        tip = "Train for a few seconds and show what comes out; nothing is adopted before you click Keep"
        enable(self.refit, self.problem(), tip)
        self.by_itself.setChecked(session.settings.refit_when_pausing)  # another project has its own
        self.more.refresh(self.problem())
        self.interrupted.refresh()
        self.progress.setVisible(view is not None)
        if view is not None:
            self.prepare()
            progress, stopping = view.progress, view.job.state.value == "stopping"
            self.progress.show_progress(progress.done, progress.total, progress.text, progress.seconds_left, stopping)
        if self.curve is not None:
            self.curve.widget.setVisible(view is not None)
            if view is not None:
                self.curve.show(session.curve)
        waiting = session.round
        last = waiting or session.last_round
        self.numbers.setText("" if last is None else agreement(last))
        self.numbers.setVisible(bool(self.numbers.text()))
        self.others.setText("" if last is None else beside(last, session.corrected))
        self.others.setVisible(bool(self.others.text()) and view is None)
        self.verdict.setText("" if last is None else last.decision.sentence)
        decided = last is not None and (waiting is not None or last.decision.verdict != "preliminary")
        self.verdict.setVisible(decided and view is None)
        if waiting is None:
            self.flip.setText("Show before")
        for button in (self.keep, self.discard, self.flip):
            button.setVisible(waiting is not None)
        self.anyway.setVisible(session.overrulable() is not None and view is None and waiting is None)
        parent = session.parent_version()
        self.back.setVisible(parent is not None and waiting is None and view is None)
        if parent is not None:
            enable(self.back, "", f"Return to “{parent.header.name}”, which this model was trained from")


class TrainingCurve:
    """Loss and score over the seconds of a round."""

    def __init__(self) -> None:
        import pyqtgraph

        self._plot = pyqtgraph.PlotWidget(background=None)
        self._plot.setFixedHeight(104)
        self._plot.setMouseEnabled(False, False)
        self._plot.hideButtons()
        self._plot.setMenuEnabled(False)
        self._plot.getAxis("left").setWidth(34)
        # Above the plot: a legend inside would hide what is drawn.
        names = (("loss", LOSS_COLOR), ("agreement", SCORE_COLOR))
        self._plot.setTitle(
            " ".join(f'<span style="color: {color}">{name}</span>' for name, color in names), size="8pt"
        )
        self._loss = self._plot.plot(pen=pyqtgraph.mkPen(LOSS_COLOR, width=2))
        self._score = self._plot.plot(
            pen=pyqtgraph.mkPen(SCORE_COLOR, width=2),
            symbol="o",
            symbolSize=5,
            symbolBrush=SCORE_COLOR,
        )

    @property
    def widget(self) -> QWidget:
        """The plot."""
        plot: QWidget = self._plot
        return plot

    def show(self, curve: Any) -> None:
        """Draw what training reported so far.

        Parameters
        ----------
        curve : Curve
            Seconds, loss and score.
        """
        self._loss.setData(curve.seconds, curve.loss)
        looks = [n for n, score in enumerate(curve.score) if n == 0 or score != curve.score[n - 1]]  # no number: each
        scored = [(curve.seconds[n], curve.score[n]) for n in looks if not math.isnan(curve.score[n])]
        self._score.setData([s for s, _ in scored], [v for _, v in scored])


def agreement(finished: Round) -> str:
    """Return both numbers of a round with the number of blocks, or an empty string without any.

    Parameters
    ----------
    finished : Round
        The round.
    """
    decision = finished.decision
    if decision.parent is None or decision.candidate is None:
        return ""
    return f"{decision.parent:.2f} → {decision.candidate:.2f} agreement (n={decision.n_blocks})"


def beside(finished: Round, corrected: Sequence[CorrectedRegion]) -> str:
    """Return the numbers beside the agreement, one a line: of the guard, and of the regions before correction.

    Parameters
    ----------
    finished : Round
        The round.
    corrected : sequence of CorrectedRegion
        All of the work; those that the round's parent was scored on count.
    """
    lines = []
    guard, parent = finished.decision.guard, finished.parent.header.weights_hash
    if guard is not None:
        lines.append(f"{guard[0]:.2f} → {guard[1]:.2f} guard (first regions)")
    scores = [one.score for one in corrected if one.weights_hash == parent and not one.accepted]
    if finished.decision.verdict == "preliminary" and scores:
        last = ", ".join(f"{score:.2f}" for score in scores[-5:])
        more = "" if len(scores) <= 5 else f"; last 5 of {len(scores)}"
        lines.append(f"{last} before correction (n={len(scores[-5:])}{more})")
    return "\n".join(lines)
