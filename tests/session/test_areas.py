"""Large images: labels on the disk, corrected in work areas whose truths are at the right place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_unet.errors import UserError
from napari_unet.image.boxes import as_box, whole
from napari_unet.image.source import ImageSource
from napari_unet.io.images import open_image, read_image
from napari_unet.jobs import JobRunner
from napari_unet.session import Session
from napari_unet.session.large import AREA_EDGE, AREA_VOXELS, area_box, is_large

from .conftest import blobs

VIEW = as_box((0, 10, 40), (1, 80, 96))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "home"))


@pytest.fixture
def large(session, model_path):
    """A session with a segmented image of two levels, and its id."""
    image, _ = blobs()
    source = ImageSource.from_array(image, axes="YX", name="slide", scale=(0.5, 0.5))
    image_id = session.add_image(replace(source, levels=2))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    return session, image_id


def settle(session):
    """Write what waits, and tell it."""
    session.save()
    session.deliver()


def shown(session, image_id):
    """Return the labels that the pyramid holds."""
    settle(session)
    pyramid = session.pyramid(image_id)
    return pyramid.read(0, whole(pyramid.shape[1:]))[0]


def paint(session, area_id, box, value):
    """Paint into the labels of a work area, as a viewer does."""
    session.begin_stroke(area_id)
    labels = session.labels(area_id)
    labels.truth.labels[0][box] = value
    assert session.end_stroke(area_id, 0, box, np.ones([s.stop - s.start for s in box], bool))


def same_partition(first, second):
    """Whether two label images hold the same objects, whatever their ids."""
    pairs = {(int(a), int(b)) for a, b in zip(first.ravel(), second.ravel(), strict=True)}
    return len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})


def test_a_large_image_is_segmented_onto_the_disk(large):
    session, image_id = large
    assert session.images[image_id].large and session.labels(image_id) is None
    assert same_partition(shown(session, image_id), blobs()[1])
    assert session.pyramid_origin(image_id).model == session.model.header
    with pytest.raises(UserError, match="work areas"):
        session.ensure_labels(image_id)


@pytest.mark.parametrize("in_blocks", [False, True])
def test_other_settings_need_no_network(large, monkeypatch, in_blocks):
    session, image_id = large
    before = shown(session, image_id)
    area_id = session.set_area(image_id, 0, VIEW)
    paint(session, area_id, as_box((0, 5, 5), (1, 9, 9)), 900)
    monkeypatch.setattr("napari_unet.session.tasks.segment", None)
    if in_blocks:
        monkeypatch.setattr("napari_unet.inference.labels.decoding.Decoding.fits_as_labels", lambda self, box: False)
    sizes = np.bincount(before.ravel())[1:]
    least = int(np.median(sizes[sizes > 0]))
    session.decode(image_id, replace(session.settings.objects, min_size=least), (0, VIEW))
    after = shown(session, image_id)
    kept = np.flatnonzero(np.bincount(before.ravel()) >= least)
    other = np.ones(before.shape, bool)
    other[VIEW[1:]] = False
    assert same_partition(np.where(other & np.isin(before, kept), before, 0), np.where(other, after, 0))
    assert (after[VIEW[1:]][5:9, 5:9] == 900).all(), "what the user said stays"
    assert session.labels(area_id).truth.prediction[0].any()
    assert session.shown_origin(image_id).settings["objects"]["min_size"] == least
    assert session.pyramid(image_id).notes["origin"]["settings"]["objects"]["min_size"] == least


def test_scores_of_a_large_image_move_with_the_project(large, tmp_path):
    session, image_id = large
    session.move_project(tmp_path / "elsewhere")
    session.decode(image_id, replace(session.settings.objects, min_size=10**6))
    assert not shown(session, image_id).any()


def test_a_work_area_begins_with_the_labels_there_and_its_strokes_land_there(large):
    session, image_id = large
    before = shown(session, image_id)
    area_id = session.set_area(image_id, 0, VIEW)
    labels = session.labels(area_id).truth.labels[0]
    np.testing.assert_array_equal(labels[0], before[10:80, 40:96])
    assert session.area_of(image_id) == area_id and session.area_of(area_id) is None
    paint(session, area_id, as_box((0, 2, 3), (1, 7, 9)), 77)
    after = shown(session, image_id)
    assert (after[12:17, 43:49] == 77).all()
    after[12:17, 43:49] = before[12:17, 43:49]
    np.testing.assert_array_equal(after, before)
    session.undo()
    np.testing.assert_array_equal(shown(session, image_id), before)


def test_ids_are_those_of_the_whole_image(large):
    session, image_id = large
    largest = shown(session, image_id).max()
    first = session.set_area(image_id, 0, VIEW)
    assert session.new_object_id(first) > largest
    second = session.set_area(image_id, 0, as_box((0, 0, 0), (1, 30, 30)))
    assert second != first
    assert session.new_object_id(second) > largest
    ids = session.labels(first).truth.ids
    assert ids is session.labels(second).truth.ids
    ids.see(500)
    session.segment(image_id)
    assert shown(session, image_id).max() > 500  # fresh ids where nothing is inherited


def test_what_is_known_stays_when_all_is_segmented_again(large):
    session, image_id = large
    area_id = session.set_area(image_id, 0, VIEW)
    paint(session, area_id, as_box((0, 2, 3), (1, 7, 9)), 77)
    session.accept_object(area_id, 0, (0, 10, 20))  # the blob at (20, 60)
    kept = shown(session, image_id)
    session.segment(image_id)
    again = shown(session, image_id)
    assert (again[12:17, 43:49] == 77).all()
    assert again[20, 60] == kept[20, 60]
    assert same_partition(again, kept)
    truth = session.labels(area_id).truth
    np.testing.assert_array_equal(truth.labels[0][0], again[10:80, 40:96])


def test_a_work_area_is_segmented_with_real_neighbours_and_undone(large):
    session, image_id = large
    area_id = session.set_area(image_id, 0, as_box((0, 10, 60), (1, 40, 96)))  # cuts the blob at (20, 60)
    before = session.labels(area_id).truth.labels.copy()
    assert before.any()
    session.segment(area_id)
    assert not [m for m in session.messages if m[0] == "error"], session.messages
    np.testing.assert_array_equal(session.labels(area_id).truth.labels > 0, before > 0)
    assert session.labels(area_id).origin.frames  # so that the threshold can be changed without the network
    session.decode(area_id, replace(session.settings.objects, min_size=10**6))
    assert not session.labels(area_id).truth.labels.any()
    assert not shown(session, image_id)[10:40, 60:96].any()
    session.undo()
    np.testing.assert_array_equal(shown(session, image_id)[10:40, 60:96] > 0, before[0, 0] > 0)


def test_an_area_over_another_takes_what_is_known_along(large):
    session, image_id = large
    first = session.set_area(image_id, 0, VIEW)
    paint(session, first, as_box((0, 2, 3), (1, 7, 9)), 77)
    assert session.set_area(image_id, 0, as_box((0, 20, 50), (1, 30, 60))) == first  # lies in it
    second = session.set_area(image_id, 0, as_box((0, 0, 0), (1, 15, 60)))
    truths = [session.labels(one).truth for one in (first, second)]
    assert truths[1].known[0][0, 12:15, 43:49].all() and not truths[1].known[0][0, :10].any()
    assert not truths[0].known[0][0, :5, :20].any() and truths[0].known[0][0, 5:7, 3:9].all()
    assert (shown(session, image_id)[12:17, 43:49] == 77).all()
    paint(session, second, as_box((0, 12, 43), (1, 15, 49)), 88)
    paint(session, first, as_box((0, 0, 0), (1, 7, 9)), 99)  # the later area wins where both lie
    after = shown(session, image_id)
    assert (after[12:15, 43:49] == 88).all() and (after[15:17, 40:49] == 99).all()


def test_all_areas_teach_at_their_place(large):
    session, image_id = large
    first = session.set_area(image_id, 0, VIEW)
    second = session.set_area(image_id, 0, as_box((0, 50, 0), (1, 96, 39)))
    for area_id in (first, second):
        session.accept_box(area_id, 0, as_box((0, 0, 0), (1, 30, 30)))
    known = {one.image_id: one for one in session._known_images(session.model)}
    assert set(known) == {first, second}
    assert session.images[first].statistics is session.images[image_id].statistics
    image = blobs()[0]
    np.testing.assert_array_equal(known[second].source.read(0)[0, 0], image[50:96, 0:39])


def test_it_is_all_there_when_the_project_is_opened_again(large, tmp_path):
    session, image_id = large
    image = blobs()[0]
    group = zarr.open_group(str(tmp_path / "slide.zarr"), mode="w", zarr_format=3)
    for level, values in enumerate((image, image[::2, ::2])):
        group.create_array(str(level), data=np.ascontiguousarray(values))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [0.5 * 2**n] * 2}]} for n in range(2)
    ]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    source = replace(read_image(tmp_path / "slide.zarr"), levels=2)
    session.remove_image(image_id)
    image_id = session.add_image(source)
    session.segment(image_id)
    area_id = session.set_area(image_id, 0, VIEW)
    paint(session, area_id, as_box((0, 2, 3), (1, 7, 9)), 77)
    before, truth = shown(session, image_id), session.labels(area_id).truth
    known, last = truth.known.copy(), truth.last_id
    path = session.project_path
    session.close()

    again = Session(JobRunner("inline"))
    again.open_project(path)
    assert again.images[image_id].large and again.images[image_id].area is None
    assert again.area_of(image_id) == area_id
    np.testing.assert_array_equal(again.labels(area_id).truth.known, known)
    assert again.labels(area_id).truth.last_id >= last
    assert again.labels(area_id).truth.ids is again.ids_of(image_id, ("instances",))
    np.testing.assert_array_equal(shown(again, image_id), before)
    assert again.pyramid_origin(image_id).model.name == "bright"

    # Taken off the screen and opened again, it comes back with its areas.
    again.remove_image(image_id)
    assert not again.images
    assert again.add_image(source) == image_id
    assert again.area_of(image_id) == area_id
    np.testing.assert_array_equal(again.labels(area_id).truth.known, known)
    again.close()


def test_all_of_it_is_exported_as_a_pyramid(large, tmp_path):
    session, image_id = large
    area_id = session.set_area(image_id, 0, VIEW)
    paint(session, area_id, as_box((0, 2, 3), (1, 7, 9)), 77)
    with pytest.raises(UserError, match="OME-Zarr"):
        session.export_labels(area_id, tmp_path / "labels.tif")
    target = tmp_path / "labels.ome.zarr"
    session.export_labels(area_id, target)
    opened = open_image(target)
    assert opened.provenance["model"] == "bright" and opened.is_labels and opened.scale == (1.0, 0.5, 0.5)
    np.testing.assert_array_equal(opened.data[0, 0], shown(session, image_id))
    assert (opened.data[0, 0, 12:17, 43:49] == 77).all()
    session.export_labels(image_id, target)
    assert "exists already" in session.messages[-1][1]
    session.export_labels(image_id, target, overwrite=True)
    assert session.messages[-1][0] == "info"
    assert [path.name for path in tmp_path.glob("*.zarr")] == ["labels.ome.zarr"]


def test_another_shape_is_another_image(large):
    session, image_id = large
    source = session.images[image_id].source
    with pytest.raises(UserError, match="changed its shape"):
        session.replace_image(image_id, replace(source, data=np.zeros((50, 50), np.float32)))
    area_id = session.set_area(image_id, 0, VIEW)
    other = replace(source, data=source.data + 1)
    session.replace_image(image_id, other)
    assert (session.images[area_id].source.read(0) >= 1).all()


def test_small_images_need_no_work_area(opened):
    session, image_id, _ = opened
    assert not session.images[image_id].large
    with pytest.raises(UserError, match="needs no work area"):
        session.set_area(image_id, 0, VIEW)


def test_what_is_large_depends_on_the_memory() -> None:
    source = ImageSource.from_array(np.zeros((1000, 1000), np.uint8), "YX")
    assert not is_large(source, 0.1) and is_large(source, 0.01)
    assert is_large(replace(source, levels=3), 1e6)


def test_a_work_area_lies_in_the_view() -> None:
    assert area_box(as_box((5, 10, 20), (6, 110, 90)), (9, 500, 500)) == as_box((0, 10, 20), (9, 110, 90))
    z, y, x = area_box(as_box((300, 0, 0), (301, 512, 512)), (600, 512, 512))
    assert z.start <= 300 < z.stop and (z.stop - z.start) * 512**2 <= AREA_VOXELS
    z, y, x = area_box(as_box((0, 0, 0), (1, 50_000, 40_000)), (1, 50_000, 40_000))
    assert (y.stop - y.start, x.stop - x.start) == (AREA_EDGE, AREA_EDGE) and (y.start + y.stop) // 2 == 25_000


@pytest.mark.parametrize("view", [as_box((0, 500, 500), (1, 600, 600)), as_box((0, 5, 5), (1, 5, 5))])
def test_what_is_not_in_view_is_neither_segmented_nor_a_work_area(large, view) -> None:
    session, image_id = large
    before = shown(session, image_id)
    with pytest.raises(UserError, match="in view"):
        session.set_area(image_id, 0, view)
    with pytest.raises(UserError, match="in view"):
        session.segment(image_id, view=view, only_view=True)
    np.testing.assert_array_equal(shown(session, image_id), before)
    assert not session.areas(image_id)
    session.segment(image_id, view=view)  # without a view, all of it
    assert same_partition(shown(session, image_id), before)
