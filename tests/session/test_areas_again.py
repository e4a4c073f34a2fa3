"""Work areas that lie over each other and are taken up again."""

from __future__ import annotations

import numpy as np

from napari_unet.image.boxes import as_box

from .test_areas import home, large, paint, shown  # noqa: F401


def test_a_stroke_in_an_earlier_area_is_kept_where_a_later_one_lies_over_it(large):  # noqa: F811
    session, image_id = large
    first = session.set_area(image_id, 0, as_box((0, 10, 10), (1, 70, 70)))
    second = session.set_area(image_id, 0, as_box((0, 40, 40), (1, 96, 96)))
    paint(session, second, as_box((0, 10, 10), (1, 15, 15)), 888)
    assert session.set_area(image_id, 0, as_box((0, 20, 20), (1, 65, 65))) == first
    truth = session.labels(first).truth
    assert (truth.labels[0, 0, 40:45, 40:45] == 888).all()
    assert truth.known[0, 0, 40:45, 40:45].all()
    assert not session.labels(second).truth.n_known
    paint(session, first, as_box((0, 35, 35), (1, 40, 40)), 777)
    found = shown(session, image_id)
    assert (found[45:50, 45:50] == 777).all()
    assert np.array_equal(found[50:55, 50:55], np.full((5, 5), 888))
