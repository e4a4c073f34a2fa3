"""Other settings on a large image hold everywhere or nowhere."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Timer, current_thread, main_thread

import numpy as np
import pytest

from napari_unet.errors import OutputError, UserError
from napari_unet.image.boxes import as_box, whole
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.jobs.context import Cancelled
from napari_unet.project.before import Before, folder_of
from napari_unet.project.pyramid import LabelPyramid

from .conftest import blobs
from .test_areas import paint, settle

VIEW = as_box((0, 10, 40), (1, 80, 96))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "home"))


@pytest.fixture
def stack(session, model_path):
    """A session with a segmented stack of three planes on the disk, and its id."""
    image = np.stack([blobs()[0]] * 3)
    source = ImageSource.from_array(image, axes="ZYX", name="slide", scale=(0.5, 0.5, 0.5))
    image_id = session.add_image(replace(source, levels=2))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    return session, image_id


def all_labels(session, image_id):
    settle(session)
    while session.busy:
        session.deliver()
    pyramid = session.pyramid(image_id)
    return [pyramid.read(0, whole(level.shape[1:]), n) for n, level in enumerate(pyramid.levels)]


def stop_after(monkeypatch, frames, error):
    """Let the decoding end with an error after some frames."""
    decode = Decoding.frame
    left = [frames]

    def frame(self, *args):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return decode(self, *args)

    monkeypatch.setattr(Decoding, "frame", frame)


@pytest.mark.parametrize("frames", [0, 1, 2])
@pytest.mark.parametrize("error", [Cancelled(), OutputError("The disk is full.", "Free some space.")])
def test_a_stopped_decoding_leaves_the_labels_of_before(stack, monkeypatch, frames, error) -> None:
    session, image_id = stack
    area_id = session.set_area(image_id, 0, VIEW)
    paint(session, area_id, as_box((0, 5, 5), (1, 9, 9)), 900)
    before, origin = all_labels(session, image_id), session.shown_origin(image_id)
    area_before = session.labels(area_id).truth.labels.copy()
    strokes = []

    def paint_once(*place):
        if not strokes:
            strokes.append(place)
            paint(session, area_id, as_box((1, 34, 4), (2, 40, 10)), 901)

    session.events.pyramid_changed.connect(paint_once)
    stop_after(monkeypatch, frames, error)
    session.decode(image_id, replace(session.settings.objects, min_size=10**6))
    session.events.pyramid_changed.disconnect(paint_once)
    assert len(strokes) == min(frames, 1)
    if strokes:  # what the user says meanwhile stays
        before[0][1, 44:50, 44:50] = area_before[0, 1, 34:40, 4:10] = 901
        before[1][1, 22:25, 22:25] = 901
    for now, then in zip(all_labels(session, image_id), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(session.labels(area_id).truth.labels, area_before)
    assert session.shown_origin(image_id) == origin
    assert not folder_of(session.pyramid(image_id).path).exists()
    monkeypatch.undo()
    session.decode(image_id, replace(session.settings.objects, min_size=10**6))
    now = all_labels(session, image_id)[0]
    assert set(np.unique(now)) == ({0, 900, 901} if strokes else {0, 900})
    assert not folder_of(session.pyramid(image_id).path).exists()


def test_no_work_area_begins_with_labels_that_may_be_taken_back(stack) -> None:
    session, image_id = stack
    refused = []

    def try_area(*place):
        with pytest.raises(UserError, match="Other settings are being applied"):
            session.set_area(image_id, 0, VIEW)
        refused.append(place)

    session.events.pyramid_changed.connect(try_area)
    session.decode(image_id, replace(session.settings.objects, min_size=10**6))
    session.events.pyramid_changed.disconnect(try_area)
    assert len(refused) == 3
    assert session.set_area(image_id, 0, VIEW)


def test_a_work_area_made_meanwhile_gets_what_is_segmented(stack) -> None:
    session, image_id = stack
    made = []

    def make_area(*place):
        if not made:
            made.append(session.set_area(image_id, 0, VIEW))
            paint(session, made[0], as_box((0, 5, 5), (1, 9, 9)), 900)

    session.events.pyramid_changed.connect(make_area)
    session.segment(image_id)
    session.events.pyramid_changed.disconnect(make_area)
    now = all_labels(session, image_id)[0]
    truth = session.labels(made[0]).truth
    np.testing.assert_array_equal(truth.labels[0], now[:, 10:80, 40:96])
    assert (now[0, 15:19, 45:49] == 900).all()
    assert session.labels(made[0]).origin.model is not None


def test_a_decoding_that_a_crash_interrupts_is_taken_back_when_opened(stack, monkeypatch) -> None:
    session, image_id = stack
    area_id = session.set_area(image_id, 0, VIEW)
    paint(session, area_id, as_box((0, 5, 5), (1, 9, 9)), 900)
    before = all_labels(session, image_id)[0]
    pyramid = session.pyramid(image_id)
    torn = Before(pyramid)
    for z in (0, 1, 1):
        torn.write(0, as_box((z, 0, 0), (z + 1, 96, 96)), np.full((1, 96, 96), 5, np.uint32))
    last = sorted(torn.folder.iterdir())[-1]
    torn._kept += 1
    (torn.folder / "000000004.record").write_bytes(last.read_bytes()[:30])
    session._pyramids.clear()  # as if it was another program
    assert session.pyramid(image_id) is not pyramid
    np.testing.assert_array_equal(all_labels(session, image_id)[0], before)
    assert not torn.folder.exists()
    assert any("taken back" in message for _, message, _ in session.messages)


def test_what_was_written_twice_comes_back_as_it_was_first(tmp_path) -> None:
    pyramid = LabelPyramid(tmp_path / "labels.zarr", (1, 1, 30, 20), np.uint16)
    first = np.arange(600, dtype=np.uint16).reshape(1, 30, 20)
    pyramid.write(0, whole((1, 30, 20)), first)
    before = Before(pyramid)
    before.write(0, as_box((0, 3, 4), (1, 20, 18)), np.ones((1, 17, 14), np.uint16))
    before.write(0, whole((1, 30, 20)), np.full((1, 30, 20), 2, np.uint16))
    assert (pyramid.read(0, whole((1, 30, 20))) == 2).all()
    assert len(list(before.bring_back())) == 2
    np.testing.assert_array_equal(pyramid.read(0, whole((1, 30, 20))), first)
    before.write(0, whole((1, 30, 20)), first + 1)  # a writer that has not heard of it yet
    np.testing.assert_array_equal(pyramid.read(0, whole((1, 30, 20))), first)
    assert not before.folder.exists()


def test_a_segmentation_waits_until_the_labels_of_before_are_back(stack, monkeypatch) -> None:
    session, image_id = stack
    area = as_box((1, 0, 0), (2, 48, 48))
    stop_after(monkeypatch, 2, Cancelled())
    bring_back, may_go_on = Before.bring_back, Event()

    def slowly(self):
        may_go_on.wait(20)
        yield from bring_back(self)

    monkeypatch.setattr(Before, "bring_back", slowly)
    session.decode(image_id, replace(session.settings.objects, min_size=10**6))
    image = session.images[image_id].source.data
    image[1] = 0
    wrote = LabelPyramid.write

    def watched(self, *args):
        assert may_go_on.is_set() or current_thread() is not main_thread(), "segmented over what comes back"
        wrote(self, *args)

    monkeypatch.setattr(LabelPyramid, "write", watched)
    Timer(0.5, may_go_on.set).start()
    session.settings = replace(session.settings, objects=replace(session.settings.objects, min_size=0))
    session.segment(image_id, view=area)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    assert not all_labels(session, image_id)[0][1].any()


def test_a_decoding_that_cannot_start_leaves_the_image_free(stack) -> None:
    session, image_id = stack
    refused = []

    def try_it(*place):
        with pytest.raises(UserError, match="busy"):
            session.decode(image_id, session.settings.objects)
        session.set_area(image_id, 0, VIEW)
        refused.append(place)

    session.events.pyramid_changed.connect(try_it)
    session.segment(image_id)
    session.events.pyramid_changed.disconnect(try_it)
    assert refused
