"""The settings of objects can be moved at any time: while the model runs, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.session.session import Session
from napari_unet.viewer.lookup import use_session
from napari_unet.viewer.widgets.panel import UNetPanel


def test_settings_moved_while_the_model_runs_are_applied_afterwards(
    visible_viewer: Any, screen: Any, tmp_path: Path, nuclei: Any
) -> None:
    session = Session(JobRunner(), WorkFolder.create(tmp_path / "work"))
    use_session(visible_viewer, session)
    visible_viewer.add_image(nuclei[0], name="nuclei")
    panel = UNetPanel(visible_viewer)
    visible_viewer.window.add_dock_widget(panel, name="U-Net")
    said: list[str] = []
    session.events.message.connect(lambda level, sentence, details: said.append(sentence))
    screen.pump(0.1)

    def move(threshold: float) -> None:
        panel.segment.editors["threshold"].value = threshold
        panel.segment._delay.stop()
        panel.segment._decode()

    def settle(threshold: float) -> None:
        image_id = panel.link.image.image_id

        def applied() -> bool:
            settings = session.labels(image_id).origin.settings.get("objects", {})
            return not session.jobs and settings.get("threshold") == threshold

        screen.wait_until(applied, 60)
        assert session.labels(image_id).frames
        assert not said

    try:
        panel.link.segment()  # for the first time
        screen.wait_until(lambda: "segment" in session.jobs, 5)
        job = session.jobs["segment"].job
        for threshold in (0.6, 0.65, 0.7):
            move(threshold)
        assert session.jobs["segment"].job is job
        settle(0.7)
        assert "seconds" not in session.labels(panel.link.image.image_id).origin.settings, "decoded, not run again"
        panel.link.segment()  # and again
        move(0.4)
        settle(0.4)
        # A decoding that runs is not waited for.
        move(0.5)
        decoding = session.jobs["segment"].job
        move(0.55)
        assert decoding.state.value in ("stopping", "cancelled")
        settle(0.55)
        steps = session.history.next_undo
        move(0.55)
        screen.pump(0.3)
        assert not session.jobs
        assert session.history.next_undo == steps
    finally:
        panel.dispose()
        session.close()
