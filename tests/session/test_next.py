"""Next: where the session leads the user, and what a random check hides, keeps and gives back."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_unet.errors import UserError
from napari_unet.image.boxes import as_box, overlap
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner, JobState, LazyArray
from napari_unet.learning.places import RegionGrid
from napari_unet.project.folder import WorkFolder
from napari_unet.session import Session
from napari_unet.session.looking import SuggestImage
from napari_unet.session.suggest_tasks import SuggestRequest, suggest

from .conftest import threshold_checkpoint


class Quiet:
    """A job context that nobody listens to."""

    cancelled = False

    def check(self):
        pass

    def progress(self, *args):
        pass


def lopsided(path, kind="instances", ndim=2):
    """A network that looks at the voxels beside each voxel, so that flips matter where they differ."""
    import torch

    checkpoint = threshold_checkpoint(kind, ndim)
    first = next(m for m in checkpoint.network.modules() if type(m).__name__ == f"Conv{ndim}d")
    with torch.no_grad():
        first.weight[(0, 0, *(1,) * ndim)] = 0.0
        first.weight[(0, 0, *(1,) * (ndim - 1), 0)] = 1.0
    checkpoint.save(path)
    return str(path)


def striped(shape, places, height=1.0):
    """Vertical stripes in disks on nothing but weak noise: a lopsided network is in doubt in the disks."""
    image = np.random.default_rng(0).normal(0, 0.05, shape).astype(np.float32)
    rows, columns = np.indices(shape[-2:])
    for *index, y, x in places:
        disk = (rows - y) ** 2 + (columns - x) ** 2 < 400
        image[tuple(index)][disk] = height * (columns[disk] % 2)
    return image


def request(checkpoint, *arrays, axes="YX", **options):
    images = tuple(
        SuggestImage(f"image-{n}", ImageSource.from_array(array, axes=axes)) for n, array in enumerate(arrays)
    )
    return SuggestRequest(checkpoint, None, images, **options)


def lead(session, kind):
    """Go on until a region of a kind comes up."""
    while True:
        suggestion = session.next_region()
        if suggestion is None or suggestion.kind == kind:
            return suggestion


def large(session, model_path, shape=(300, 400)):
    """A segmented image of 3 × 4 regions with blobs in all of them."""
    rows, columns = np.indices(shape)
    image = ((rows % 40 < 20) & (columns % 40 < 20)).astype(np.float32)
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="large"))
    session.select_model(model_path("instances"))
    session.segment(image_id)
    return image_id


@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_an_ambiguous_object_comes_before_empty_background(tmp_path, kind) -> None:
    image = striped((512, 640), [(300, 450)])
    result = suggest(Quiet(), request(lopsided(tmp_path / "m.safetensors", kind), image, seconds=60))
    first = result.suggestions[0]
    assert overlap(first.box, as_box((0, 300, 450), (1, 301, 451)))
    assert first.reason.startswith("Uncertain: flips disagree on")
    assert result.scored == result.candidates == result.total == 20


def test_a_stack_and_a_series_are_looked_through_too(tmp_path) -> None:
    image = striped((3, 20, 96, 192), [(1, 12, 50, 140), (1, 13, 50, 140), (1, 14, 50, 140)])
    result = suggest(Quiet(), request(lopsided(tmp_path / "m.safetensors", ndim=3), image, axes="TZYX", seconds=60))
    first = result.suggestions[0]
    assert (first.t, first.box) == (1, as_box((10, 0, 96), (20, 96, 192)))


def test_regions_are_unlike_one_another(tmp_path) -> None:
    """Three kinds of doubtful object, one of them everywhere and most doubtful: the others are visited as well."""
    common = [(64 + 128 * row, 64 + 128 * column) for row in range(4) for column in range(3)]
    image = striped((512, 640), common)
    image[:, 384:512] = 3 * striped((512, 640), [(64 + 128 * row, 448) for row in range(4)], 0.3)[:, 384:512]
    image[:, 512:] = striped((512, 640), [(64, 576), (80, 600), (320, 576)])[:, 512:]
    result = suggest(Quiet(), request(lopsided(tmp_path / "m.safetensors"), image, uncertain=3, seconds=60))
    columns = {s.box[2].start // 128 for s in result.suggestions if s.kind == "uncertain"}
    assert len(columns & {3, 4}) >= 1 and len(columns) >= 2


def test_what_is_known_is_not_suggested(tmp_path) -> None:
    image = striped((256, 256), [(64, 64), (192, 192)])
    known = np.zeros((1, 1, 256, 256), bool)
    known[..., :128, :128] = True
    checkpoint = lopsided(tmp_path / "m.safetensors")
    source = ImageSource.from_array(image, axes="YX")
    place = (0, as_box((0, 0, 0), (1, 128, 128)))
    given = SuggestImage("image", source, known=LazyArray(known), places=(place,))
    result = suggest(Quiet(), SuggestRequest(checkpoint, None, (given,), uncertain=3, random=3, seconds=60))
    assert result.suggestions[0].box == as_box((0, 128, 128), (1, 256, 256))
    assert len(result.suggestions) == 6
    assert all(overlap(s.box, place[1]) is None for s in result.suggestions)
    known[:] = True
    whole = (0, as_box((0, 0, 0), (1, 256, 256)))
    given = SuggestImage("image", source, known=LazyArray(known), places=(whole,))
    assert suggest(Quiet(), SuggestRequest(checkpoint, None, (given,), seconds=60)).suggestions == ()


def test_random_regions_are_uniform_over_images_times_and_planes_and_reproducible(tmp_path) -> None:
    checkpoint = lopsided(tmp_path / "m.safetensors")
    small, series = np.zeros((130, 100), np.float32), np.zeros((3, 100, 390), np.float32)
    images = (
        SuggestImage("small", ImageSource.from_array(small, axes="YX")),
        SuggestImage("series", ImageSource.from_array(series, axes="TYX")),
    )
    total = sum(len(RegionGrid(image.source.shape, 2)) for image in images)
    assert total == 2 + 3 * 4

    def drawn(seed):
        found = []
        for n in range(70):
            asked = SuggestRequest(checkpoint, None, images, seed, n, uncertain=0, random=4, seconds=0)
            found += [(s.image_id, s.t, str(s.box)) for s in suggest(Quiet(), asked).suggestions]
        return found

    first = drawn(0)
    assert first == drawn(0) != drawn(1)
    counts = np.unique([str(one) for one in first], return_counts=True)[1]
    assert len(counts) == total
    expected = len(first) / total
    assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-squared, 13 degrees of freedom: p = 0.005


def test_only_what_is_looked_at_is_read(tmp_path) -> None:
    read = []

    class Recorded:
        shape, dtype, ndim = (1000, 8000, 8000), np.dtype(np.uint8), 3

        def __getitem__(self, index):
            lengths = [len(range(*part.indices(n))) for part, n in zip(index[1:], self.shape[1:], strict=True)]
            read.append(int(np.prod(lengths)))
            return np.zeros(lengths, np.uint8)

    result = suggest(Quiet(), request(lopsided(tmp_path / "m.safetensors"), Recorded(), axes="TYX", seconds=0.5))
    assert result.total == 1000 * 63 * 63
    assert result.candidates <= 384
    assert max(read) <= 256 * 256
    assert len(result.suggestions) == 5


def test_one_of_five_is_random_and_the_others_are_not(session, model_path) -> None:
    large(session, model_path, (600, 700))
    kinds = [session.next_region().kind for _ in range(10)]
    assert [kinds[:5].count("random"), kinds[5:].count("random")] == [1, 1]


def test_the_hidden_prediction_comes_back_with_skip_and_with_undo(session, model_path) -> None:
    image_id = large(session, model_path)
    truth = session.labels(image_id).truth
    before = truth.labels.copy()
    here = lead(session, "random")
    assert session.check is here is session.suggestion
    assert before[0][here.box].any() and not truth.labels[0][here.box].any()
    assert session.undo() == "random check"
    assert session.check is None and np.array_equal(truth.labels, before)
    session.redo()
    assert session.check is here and not truth.labels[0][here.box].any()
    session.skip_region()
    assert session.check is None and np.array_equal(truth.labels, before)
    assert session.undo() == "skip random check"
    assert session.check is here and not truth.labels[0][here.box].any()


def test_a_new_prediction_stays_hidden_while_a_check_is_open(session, model_path) -> None:
    image_id = large(session, model_path)
    truth = session.labels(image_id).truth
    here = lead(session, "random")
    session.segment(image_id)
    assert truth.prediction[0][here.box].any() and not truth.labels[0][here.box].any()
    session.undo()
    assert not truth.labels[0][here.box].any()
    session.redo()
    session.skip_region()
    assert np.array_equal(truth.labels, truth.prediction)


def test_done_makes_the_region_known_and_compares_it_with_what_was_hidden(session, model_path) -> None:
    image_id = large(session, model_path)
    labels = session.labels(image_id)
    hidden = labels.truth.prediction.copy()
    here = lead(session, "random")
    half = (here.box[0], here.box[1], slice(here.box[2].start, here.box[2].start + 50))
    labels.truth.labels[0][half] = hidden[0][half]
    session.end_stroke(image_id, 0, half, None)
    session.done_region()
    (region,) = session.audits
    assert (region.image_id, region.t, region.box) == (image_id, 0, here.box)
    assert region.weights_hash == session.model.header.weights_hash
    assert 0.4 < region.score < 0.9
    assert labels.truth.known[0][here.box].all()
    assert session.undo() == "random check done"
    assert session.audits == () and session.check is here
    assert not labels.truth.labels[0][here.box][..., 50:].any()
    session.redo()
    assert session.audits == (region,) and session.check is None
    assert np.array_equal(labels.truth.prediction, hidden)


def test_a_perfect_answer_scores_one_and_next_counts_as_done(session, model_path) -> None:
    image_id = large(session, model_path)
    labels = session.labels(image_id)
    here = lead(session, "random")
    labels.truth.labels[0][here.box] = labels.truth.prediction[0][here.box]
    session.end_stroke(image_id, 0, here.box, None)
    after = session.next_region()
    assert after is not here and session.check is None
    assert [region.score for region in session.audits] == [1.0]


def test_next_skips_a_check_in_which_nothing_was_labelled_and_done_takes_it_as_empty(session, model_path) -> None:
    image_id = large(session, model_path)
    truth = session.labels(image_id).truth
    before = truth.labels.copy()
    lead(session, "random")
    session.next_region()
    assert session.audits == () and np.array_equal(truth.labels, before)
    assert any("nothing was labelled" in message[1] for message in session.messages)
    here = lead(session, "random")
    session.done_region()
    assert session.audits[0].score < 1 and not truth.labels[0][here.box].any()


def test_what_a_check_hides_is_never_accepted_as_background(session, model_path) -> None:
    image_id = large(session, model_path)
    here = lead(session, "random")
    for accept in (
        lambda: session.accept_box(image_id, 0, as_box((0, 0, 0), (1, 300, 400)), confirmed=True),
        lambda: session.accept_slice(image_id, 0, 0, confirmed=True),
    ):
        with pytest.raises(UserError, match="hides the prediction"):
            accept()
    assert session.known_counts(image_id) == (0, 0)
    assert session.check is here


def test_an_accepted_region_becomes_known_and_a_left_one_does_not(session, model_path) -> None:
    image_id = large(session, model_path)
    truth = session.labels(image_id).truth
    here = lead(session, "uncertain")
    session.skip_region()
    assert session.suggestion is None and truth.n_known == 0
    here = lead(session, "uncertain")
    session.done_region()
    assert truth.known[0][here.box].all()
    assert session.history.next_undo == "accept region"
    with pytest.raises(UserError, match="no region to leave"):
        session.skip_region()


def test_the_check_survives_closing_and_the_file_has_no_hole(session, model_path, tmp_path) -> None:
    image_id = large(session, model_path)
    here = lead(session, "random")
    for export in (session.export_labels, session.export_table):
        with pytest.raises(UserError, match="hides the prediction"):
            export(image_id, tmp_path / "file")
    kept = session.documents.take_touched()
    assert {"check", "next"} <= set(kept)
    truth = session.labels(image_id).truth
    session.set_check(session.labels(image_id), None)
    assert session.check is None and truth.labels[0][here.box].any()
    session.documents.load(kept)
    assert session.check == here and not truth.labels[0][here.box].any()


def test_another_model_empties_the_queue_and_a_gone_image_ends_the_check(session, model_path, tmp_path) -> None:
    image_id = large(session, model_path)
    lead(session, "uncertain")
    assert session._found
    session.select_model(lopsided(tmp_path / "other.safetensors"))
    assert session._take_found(None) is None
    lead(session, "random")
    session.remove_image(image_id)
    assert session.suggestion is None and session.check is None
    with pytest.raises(UserError, match="no image"):
        session.next_region()


def test_when_all_is_known_next_says_so(session, model_path) -> None:
    image_id = large(session, model_path)
    session.accept_box(image_id, 0, as_box((0, 0, 0), (1, 300, 400)), confirmed=True)
    assert session.next_region() is None
    assert "everything is known" in session.messages[-1][1]


def test_an_open_check_is_open_again_after_reopening(session, model_path, tmp_path) -> None:
    image_id = large(session, model_path)
    here = lead(session, "random")
    inside = as_box((0, here.box[1].start, here.box[2].start), (1, here.box[1].start + 9, here.box[2].start + 9))
    session.labels(image_id).truth.labels[0][inside] = 77
    session.end_stroke(image_id, 0, inside, None)
    session.save()
    path = session.folder.path
    session.close()
    again = Session(JobRunner("inline"))
    again.open_project(path)
    truth = again.labels(image_id).truth
    assert (again.check.image_id, again.check.t, again.check.box) == (image_id, 0, here.box)
    assert (truth.labels[0][inside] == 77).all() and truth.prediction[0][here.box].any()
    assert not truth.labels[0][here.box][~truth.known[0][here.box]].any()
    again.skip_region()
    assert np.array_equal(truth.labels[~truth.known], truth.prediction[~truth.known])
    again.close()


def test_regions_are_found_when_nothing_else_is_to_be_done_and_make_room_for_a_segmentation(
    model_path, tmp_path
) -> None:
    session = Session(JobRunner("process"), WorkFolder.create(tmp_path / "work"))
    reached = []
    session.events.suggestion_ready.connect(reached.append)
    image_id = large(session, model_path, (600, 700))

    def until(done):
        for _ in range(60_000):
            if done():
                return
            session.deliver()
            time.sleep(0.002)
        raise TimeoutError("It did not come true in time.")

    until(lambda: session._found)
    assert session.next_region() is reached[0]
    session._found = []
    assert session.next_region() is None and "suggest" in session.jobs
    session.segment(image_id)
    assert session.jobs["suggest"].job.state is JobState.STOPPING
    until(lambda: len(reached) == 2)
    assert "segment" not in session.jobs
    session._found = []
    assert session.next_region() is None
    session.cancel("suggest")  # as the panel does when it closes
    until(lambda: not session.jobs)
    assert not session.asked_next
    session.close()
