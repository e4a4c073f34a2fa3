"""The panel says how far the work is, and what a round gave; in both themes, on a small panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtGui import QImage

from napari_unet.learning.audit import AuditRegion
from napari_unet.learning.decision import decide
from napari_unet.learning.prequential import CorrectedRegion
from napari_unet.session.state import Round

BOX = (slice(0, 1), slice(0, 64), slice(0, 64))


def corrected(minutes, score, accepted=False, weights_hash="h"):
    return CorrectedRegion(minutes, "a", 0, BOX, score, 500, weights_hash, "m", accepted)


def audits(n, score, weights_hash, every=3.0):
    boxes = [(slice(0, 1), slice(64 * k, 64 * k + 64), slice(0, 64)) for k in range(n)]
    return tuple(
        AuditRegion("a", 0, box, every * k, score + 0.03 * (-1) ** k, weights_hash) for k, box in enumerate(boxes)
    )


def pixels(widget):
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    data = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return data.reshape(image.height(), image.width(), 4)[..., :3].astype(int)


def test_at_first_nothing_is_claimed(panel):
    assert "Too early to say" in panel.progress.verdict.text()
    assert not panel.progress.curve.isVisible()
    assert panel.progress.numbers.text() == "0 min"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_good_enough_with_its_curve_in_both_themes(panel, visible_viewer, screen, theme):
    session = panel.session
    visible_viewer.theme = theme
    session.audits = audits(12, 0.91, session.model.header.weights_hash)
    session.corrected = (*(corrected(2.0 * k, 0.5 + 0.02 * k) for k in range(14)), corrected(9.0, 1.0, accepted=True))
    panel.resize(300, 600)
    session.events.numbers_changed.emit()
    screen.pump(0.2)
    assert panel.progress.verdict.text().startswith("Probably good enough: accuracy 0.91 (0.")
    assert panel.progress.numbers.text() == "0 min · accuracy 0.91 (n=12)"
    assert panel.progress.curve.isVisible()
    screen.picture(f"progress-{theme}")
    drawn = pixels(panel.progress.curve)
    background = np.median(drawn.reshape(-1, 3), axis=0)
    distance = np.abs(drawn - background).sum(axis=-1)
    assert (distance > 150).sum() > 150, "lines and points stand out from the background"
    panel.progress.toggle.setChecked(False)
    assert not panel.progress.curve.isVisible()


def test_the_panel_stays_narrow(panel):
    panel.session.audits = audits(12, 0.91, panel.session.model.header.weights_hash)
    panel.session.events.numbers_changed.emit()
    assert panel.minimumSizeHint().width() <= 300
    assert all(section.minimumSizeHint().width() <= 290 for section in (panel.progress, panel.retrain))


def test_looking_around_is_work(panel, visible_viewer):
    session, now = panel.session, [0.0]
    session.clock = lambda: now[0]
    session.acted()
    before = session.effort_minutes
    for _ in range(4):
        now[0] += 15
        visible_viewer.scene.camera.zoom *= 1.1
    assert session.effort_minutes - before == pytest.approx(1.0)


def test_a_round_shows_guard_and_scores_before_correction_and_can_be_overruled(panel, screen):
    session = panel.session
    parent = session.model
    session.versions.append(parent) if parent not in session.versions else None
    waiting = decide([0.9], [0.8], guard=([0.95], [0.97]))
    session.corrected = (corrected(1.0, 0.61, weights_hash=parent.header.weights_hash), corrected(2.0, 0.2))
    session.round = session.last_round = Round(parent, parent, waiting, 5)
    session.events.round_changed.emit()
    assert panel.retrain.numbers.text() == "0.80 → 0.90 agreement (n=1)"
    assert panel.retrain.others.text() == "0.97 → 0.95 guard (first regions)\n0.61 before correction (n=1)"
    assert panel.retrain.keep.isVisible()
    assert not panel.retrain.anyway.isVisible()
    session.round = None
    session.last_round = Round(parent, parent, decide([0.5] * 4, [0.6] * 4), 5)
    session.events.round_changed.emit()
    assert panel.retrain.anyway.isVisible()
    assert not panel.retrain.back.isVisible()
    screen.picture("use-anyway")


def test_the_refit_by_itself_is_that_of_the_project(panel):
    session = panel.session
    session.settings = replace(session.settings, refit_when_pausing=True)  # as another project is opened
    session.events.model_changed.emit()
    assert panel.retrain.by_itself.isChecked()
    assert session.settings.refit_when_pausing


def test_a_refit_on_screen_hides_use_anyway_until_it_is_gone(panel):
    session = panel.session
    parent = session.model
    session.versions.append(parent) if parent not in session.versions else None
    session.last_round = Round(parent, parent, decide([0.5] * 4, [0.6] * 4), 5)
    session.round = Round(parent, parent, decide((), ()), 5, quick=True)
    session.events.round_changed.emit()
    assert panel.retrain.keep.isVisible()
    assert not panel.retrain.anyway.isVisible()
    session.round = None
    session.events.round_changed.emit()
    assert panel.retrain.anyway.isVisible()
