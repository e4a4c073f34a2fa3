"""`seams` from the command line."""

from __future__ import annotations


def test_seams_prints_how_far_tiles_differ(call, images, models) -> None:
    said = call("seams", images / "field_2.tif", "-m", models["instances"], "--device", "cpu", "--precision", "float32")
    assert said.code == 0, said.err
    assert "scores differ by at most" in said.out
    assert "of 7680 voxels" in said.out
    assert "float32" in said.out


def test_seams_refuses_what_does_not_fit(call, images, models) -> None:
    said = call("seams", images / "none.tif", "-m", models["instances"])
    assert said.code == 2
    said = call("seams", images / "field_2.tif", "-m", models["instances"], "--time", "3")
    assert said.code == 2, said
    assert "Traceback" not in said.err
