"""Training from recipes: what is drawn, what is answered, going on, and the checkpoint that comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import TrainingError
from napari_unet.image.normalize import Normalization
from napari_unet.learning.pretraining.augmentation import Augmentation, draw_patch
from napari_unet.learning.pretraining.filters import CHANNELS, responses
from napari_unet.learning.pretraining.finishing import calibrated, checkpoint_of, score
from napari_unet.learning.pretraining.goals import TOUCHING_WEIGHT, goals, inner_distance
from napari_unet.learning.pretraining.pretrainer import Pretrainer
from napari_unet.learning.pretraining.recipe import Generated, Head, Recipe, Schedule, read_recipe
from napari_unet.learning.pretraining.samples import Sample, generated_samples
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.config import UNetConfig

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
TOML = """
[model]
name = "small"
voxel_size = [0.5, 0.5]
[model.network]
ndim = 2
features = [4, 8]
[[head]]
name = "nuclei"
classes = ["background", "nucleus"]
[[generated]]
generator = "nuclei_2d"
count = 2
shape = [96, 96]
options = { radius = [5.0, 8.0] }
[schedule]
steps = 6
patch = [32, 32]
batch = 2
"""


def small(*heads: Head, ndim: int = 2, steps: int = 6) -> Recipe:
    heads = heads or (Head("nuclei"),)
    generator = "nuclei_2d" if ndim == 2 else "nuclei_3d"
    shape, patch = ((96, 96), (32, 32)) if ndim == 2 else ((12, 48, 48), (8, 16, 16))
    made = Generated(generator, 2, shape, {"radius": (5.0, 8.0)})  # type: ignore[arg-type]
    return Recipe(
        name="small",
        config=UNetConfig(ndim=ndim, features=(4, 8), out_channels=sum(head.channels for head in heads)),
        normalization=Normalization(),
        heads=heads,
        data=(),
        generated=(made, replace(made, count=1, part="validation")),
        schedule=Schedule(steps, patch, batch=2),
        augmentation=Augmentation(),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    shape=st.one_of(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 20)] * 3)),
    scale=st.floats(1, 2),
    turn_z=st.booleans(),
)
def test_image_and_labels_of_a_patch_fit_together(
    seed: int, shape: tuple[int, ...], scale: float, turn_z: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, shape).astype(np.int32)
    how = Augmentation(scale, 1.5, turn_z, *(0.0,) * 7)
    size = (16,) * len(shape)
    image, truth = draw_patch(labels[None].astype(np.float32), labels, size, 3, how, rng)
    assert image.shape == (3, *size) and truth.shape == size
    assert set(np.unique(truth)) <= set(np.unique(labels))
    same = Augmentation(1.0, 1.0, turn_z, *(0.0,) * 7)
    image, truth = draw_patch(labels[None].astype(np.float32), labels, size, 1, same, rng)
    np.testing.assert_array_equal(image[0], truth)


def test_a_colour_patch_may_become_gray_and_gray_ones_are_repeated() -> None:
    rng = np.random.default_rng(0)
    colour = rng.random((3, 20, 20), np.float32)
    labels = np.ones((20, 20), np.int32)
    gray = draw_patch(colour, labels, (16, 16), 3, Augmentation(gray=1.0), rng)[0]
    np.testing.assert_array_equal(gray[0], gray[2])
    still = draw_patch(colour, labels, (16, 16), 3, Augmentation(gray=0.0), rng)[0]
    assert np.abs(still[0] - still[2]).max() > 0.1


def test_each_head_answers_for_its_own_patches() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[2:10, 2:6], labels[2:10, 6:10] = 1, 2
    image = np.zeros((1, 12, 12), np.float32)
    heads = (Head("nuclei"), Head("axons", "classes", ("background", "myelin", "axon")), Head("filters", "filters"))
    found = goals(heads, [0, 1, 0], [image] * 3, [labels] * 3)
    assert [(goal.head, goal.patches.tolist()) for goal in found] == [(0, [0, 2]), (1, [1]), (2, [0, 1, 2])]
    weight = found[0].weight
    assert weight is not None and (weight[0, 4:8, 4:8] == TOUCHING_WEIGHT).all() and weight[0, 0, 0] == 1
    np.testing.assert_array_equal(found[1].target[0], labels)
    assert found[2].target.shape == (3, CHANNELS, 12, 12)


def test_distances_are_largest_in_the_middle_of_each_object() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:11, 2:11], labels[2:11, 11:14] = 1, 2
    found = inner_distance(labels)
    assert (found[labels == 0] == 0).all() and found[6, 6] == 1 and found[6, 12] == 1
    assert 0 < found[6, 10] < 0.3 and found[6, 2] < found[6, 4] < found[6, 6]


def test_filters_answer_to_their_size() -> None:
    rows, columns = np.indices((64, 64)) - 32
    found = responses(np.exp(-(rows**2 + columns**2) / (2 * 2.0**2))[None].astype(np.float32))
    assert found.shape == (CHANNELS, 64, 64)
    laplace = -found[1::3, 32, 32]
    assert laplace.argmax() == 1, "a blob of sigma 2 answers most to the filter of sigma 2"


@pytest.mark.parametrize("ndim", [2, 3])
def test_training_that_was_stopped_goes_on_to_the_same_end(tmp_path: Path, ndim: int) -> None:
    recipe = small(Head("nuclei"), Head("mask", "binary", weight=0.5), Head("filters", "filters"), ndim=ndim)
    samples = [*generated_samples(recipe)]
    samples.append(replace(samples[0], head=1))
    whole = Pretrainer(recipe, samples, device="cpu", threads=1)
    reports = list(whole.run())
    assert reports[-1].step == 6 and np.isfinite(reports[-1].loss)
    state = tmp_path / "state.safetensors"
    stopped = Pretrainer(recipe, samples, state, device="cpu", threads=1)
    list(stopped.run(lambda: stopped.step >= 3))
    assert stopped.step == 3
    again = Pretrainer(recipe, samples, state, device="cpu", threads=1)
    assert again.step == 3
    list(again.run())
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(again.average.state_dict()[name], value, msg=name)
    with pytest.raises(TrainingError, match="another recipe"):
        Pretrainer(small(ndim=ndim), samples, state, device="cpu")


def test_the_checkpoint_has_one_head_and_is_scored(tmp_path: Path) -> None:
    recipe = small(Head("filters", "filters"), Head("nuclei", classes=("background", "nucleus")))
    recipe = replace(recipe, generated=tuple(replace(one, head="nuclei") for one in recipe.generated))
    samples = list(generated_samples(recipe))
    trainer = Pretrainer(recipe, samples, device="cpu", threads=1)
    list(trainer.run())
    checkpoint, shift = calibrated(checkpoint_of(trainer, head=1), [s for s in samples if s.validation], 1)
    path = checkpoint.save(tmp_path / "small.safetensors")
    saved = load_checkpoint(path)
    half = load_checkpoint(checkpoint.save(tmp_path / "half.safetensors", half=True))
    assert (tmp_path / "half.safetensors").stat().st_size < 0.75 * path.stat().st_size
    assert all(value.dtype == torch.float32 for value in half.network.parameters())
    torch.testing.assert_close(
        half.network(torch.ones(1, 1, 16, 16)), saved.network(torch.ones(1, 1, 16, 16)), atol=0.01, rtol=0.01
    )
    assert saved.header.output.channels == ("background", "interior", "boundary") and shift >= 0
    x = torch.zeros(1, 1, 16, 16)
    torch.testing.assert_close(
        saved.network(x)[:, 1], trainer.average(x)[:, CHANNELS + 1], msg="the interior of the second head"
    )


def test_a_perfect_network_scores_one() -> None:
    class Perfect(torch.nn.Module):
        """Interior where the image is bright, boundary where it is gray."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 50 * torch.cat([0.25 - x, x - 0.75, 0.25 - (x - 0.5).abs()], 1)

    from napari_unet.model.checkpoint import Checkpoint

    labels = np.zeros((40, 40), np.int32)
    labels[4:16, 4:16], labels[20:36, 20:36] = 1, 2
    image = (labels > 0) * 0.5
    image[6:14, 6:14] = image[22:34, 22:34] = 1
    header = Head("nuclei").output
    made = Checkpoint.from_module(Perfect(), ndim=2, in_channels=1, out_channels=3)
    made.header = replace(made.header, output=header)
    good = Sample("a", "squares", image[None].astype(np.float32), labels, 0)
    assert score(made, [good], 1) == {"squares": 1.0}
    assert score(made, [good, replace(good, labels=labels.T[::-1].copy())], 1)["squares"] < 1


def test_a_recipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    recipe = read_recipe(path)
    assert recipe.config.out_channels == 3 and recipe.heads[0].output.classes[1].name == "nucleus"
    assert recipe.schedule.patch == (32, 32) and recipe.voxel_size == (0.5, 0.5)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("steps = 6", "steps = 0", "schedule"),
        ("steps = 6", "paces = 6", "paces"),
        ("patch = [32, 32]", "patch = [32]", "schedule"),
        ('name = "nuclei"', 'title = "nuclei"', "title"),
        ("[[generated]]", '[[generated]]\nhead = "cells"', "cells"),
        ("features = [4, 8]", "features = []", "feature"),
        ("[model]", "[model", "line"),
        ('name = "small"', 'name = "small"\nlook = 3', "look"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told(tmp_path: Path, before: str, after: str, reason: str) -> None:
    path = tmp_path / "small.toml"
    path.write_text(TOML.replace(before, after))
    with pytest.raises(TrainingError, match=f"(?s)small.toml.*{reason}"):
        read_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_recipes_of_the_built_in_models_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem and all(one.licence for one in recipe.data)
    assert all((path.parent / one.split).is_file() for one in recipe.data if one.split)
