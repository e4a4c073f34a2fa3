"""The group of an image, written into the panel."""

from __future__ import annotations

import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from .conftest import pump


@pytest.fixture(autouse=True)
def home(work_home):
    return work_home


@pytest.fixture
def files(tmp_path, nuclei):
    """Two image files."""
    found = [tmp_path / f"field{number}.tif" for number in (1, 2)]
    for file in found:
        tifffile.imwrite(file, nuclei[0])
    return found


def write(field, text):
    """Replace the text of a line by typing, and press Enter."""
    field.setFocus()
    field.selectAll()
    QTest.keyClick(field, Qt.Key.Key_Delete)
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)
    pump(0.05)


def paint(session, image_id):
    """Make a few voxels known, so that the image is part of the project."""
    session.ensure_labels(image_id)
    session.begin_stroke(image_id)
    session.labels(image_id).truth.labels[0, 0, 20:40, 50:90] = 7
    session.end_stroke(image_id, 0, (slice(0, 1), slice(20, 40), slice(50, 90)), None)


def test_a_group_is_written_for_the_open_image_and_comes_back_with_the_project(panel, visible_viewer, files):
    session, group = panel.session, panel.image.group
    assert not group.isVisible(), "there is no image"
    visible_viewer.open([str(file) for file in files], plugin="napari-unet-interactive", stack=False)
    first, second = visible_viewer.layers[:2]
    for layer, name in ((first, "animal 3"), (second, "animal 4")):
        visible_viewer.layers.selection.active = layer
        pump(0.05)
        assert group.isVisible()
        assert group.name.text() == ""
        write(group.name, name)
        paint(session, panel.link.image.image_id)
    ids = tuple(session.images)
    assert session.assignment.groups == dict(zip(ids, ("animal 3", "animal 4"), strict=True))
    visible_viewer.layers.selection.active = first
    pump(0.05)
    assert group.name.text() == "animal 3"
    assert "one role" in group.name.toolTip()

    session.save()
    path = session.project_path
    other = path.parent / "elsewhere"
    from napari_unet.project.folder import WorkFolder

    empty = WorkFolder.create(other)
    (empty.path / "truths" / "a-1").mkdir()
    (empty.path / "truths" / "a-1" / "instances.journal").write_bytes(b"")
    empty.close()
    panel.link.projects.open(empty.path)
    assert not session.assignment.groups
    panel.link.projects.open(path)
    assert session.assignment.groups == dict(zip(ids, ("animal 3", "animal 4"), strict=True))
    shown = panel.link.image.image_id
    assert group.name.text() == session.assignment.groups[shown]

    write(group.name, "")
    assert shown not in session.assignment.groups
    panel.link.projects.open(empty.path)
    panel.link.projects.open(path)
    assert shown not in session.assignment.groups
    assert len(session.assignment.groups) == 1


def test_what_is_being_written_is_not_overwritten(panel, visible_viewer, nuclei, screen):
    group = panel.image.group
    visible_viewer.add_image(nuclei[0], name="field")
    pump(0.05)
    QTest.keyClicks(group.name, "mouse")
    panel.session.events.images_changed.emit()
    assert group.name.text() == "mouse"
    QTest.keyClick(group.name, Qt.Key.Key_Return)
    assert tuple(panel.session.assignment.groups.values()) == ("mouse",)
    screen.picture("group")
