"""What plans and bundles say about networks, read without running what they contain."""

import json

import pytest
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.families.bundles import bundle_of
from napari_unet.model.families.plans import plans_of
from napari_unet.model.folders import read_model, weights_file


def plans(dataset=None, **configuration):
    given = {"spacing": [3.0, 1.0, 0.5], "normalization_schemes": ["ZScoreNormalization"], **configuration}
    documents = {
        "plans.json": {"transpose_forward": [2, 0, 1], "configurations": {"full": given}},
        "dataset.json": dataset or {},
    }
    documents["plans.json"]["foreground_intensity_properties_per_channel"] = {
        "0": {"mean": 10.0, "std": 2.0, "percentile_00_5": 4.0, "percentile_99_5": 20.0},
        "1": {"mean": 5.0, "std": 1.0, "percentile_00_5": 0.0, "percentile_99_5": 9.0},
    }
    return plans_of({}, documents, "model")


@pytest.mark.parametrize(
    ("ending", "spacing", "expected"),
    [
        (".nii.gz", [3.0, 1.0, 0.5], (1000.0, 500.0, 3000.0)),
        (".tif", [3.0, 1.0, 0.5], (1.0, 0.5, 3.0)),
        (".tif", [1.0, 1.0, 1.0], None),
        (".nii.gz", [1.0, 0.0, 1.0], None),
        (".tif", [1.0, 0.5], None),
    ],
)
def test_the_voxel_size_is_that_of_the_images_axes(ending, spacing, expected):
    found = plans({"file_ending": ending}, spacing=spacing)
    assert found.order(3) == (1, 2, 0)
    assert found.voxel_size(3, found.order(3)) == expected


@pytest.mark.parametrize(
    ("schemes", "expected"),
    [
        (["ZScoreNormalization"], ("zscore", (0.0,), (1.0,), None)),
        (["RescaleTo01Normalization"], ("percentile", (0.0,), (1.0,), None)),
        (["NoNormalization"], ("fixed", (0.0,), (1.0,), None)),
        (["CTNormalization"], ("fixed", (10.0,), (2.0,), (-3.0, 5.0))),
        (["CTNormalization", "CTNormalization"], ("fixed", (10.0, 5.0), (2.0, 1.0), None)),
        (["CTNormalization", "RGBTo01Normalization"], ("fixed", (10.0, 0.0), (2.0, 255.0), None)),
    ],
)
def test_normalization_schemes(schemes, expected):
    how, finding = plans(normalization_schemes=schemes).normalization()
    assert (how.method, how.offset, how.scale, how.clip) == expected
    assert finding.how == "file"
    assert ("not clipped" in finding.value) == (len(schemes) == 2)


def test_schemes_that_cannot_be_combined_are_said():
    how, finding = plans(normalization_schemes=["ZScoreNormalization", "CTNormalization"]).normalization()
    assert (how.method, finding.how) == ("zscore", "assumed")


def test_labels_and_regions():
    classes = plans({"labels": {"background": 0, "b": 2, "a": 1, "ignore": 3}}).output(3)
    assert classes[0].channels == ("background", "a", "b")
    regions = {"labels": {"background": 0, "all": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    output, painted = plans(regions).output(2)
    assert (output.channels, output.activation, painted) == (("background", "all", "core"), "none", (1, 2))
    with pytest.raises(CheckpointError, match="regions"):
        plans({**regions, "regions_class_order": [1, 7]}).output(2)


def test_a_second_stage_is_refused():
    with pytest.raises(CheckpointError, match="cascade"):
        plans(previous_stage="low")


def test_old_plans_name_the_architecture_too():
    old = {"UNet_class_name": "PlainConvUNet", "n_conv_per_stage_encoder": [2, 2, 2], "UNet_base_num_features": 32}
    old |= {"unet_max_num_features": 64, "patch_size": [8, 8, 8], "conv_kernel_sizes": [[3] * 3] * 3}
    found = plans(**old, pool_op_kernel_sizes=[[1] * 3, [2] * 3, [2] * 3], n_conv_per_stage_decoder=[2, 2])
    arguments = found.architecture["arch_kwargs"]
    assert (arguments["features_per_stage"], arguments["conv_op"]) == ([32, 64, 64], "Conv3d")


def test_expressions_of_a_bundle_are_left_alone():
    network = {"_target_": "monai.networks.nets.UNet", "channels": [4, 8], "norm": "$print(1)", "act": "@act"}
    bundle = bundle_of({"configs/inference.json": {"network": "$@network_def.to('cpu')", "network_def": network}})
    assert (bundle.network, bundle.arguments) == ("UNet", {"channels": [4, 8]})


def test_folders(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        weights_file(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save({"w": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(CheckpointError, match="2 checkpoint files"):
        weights_file(tmp_path)
    (tmp_path / "fold_1").mkdir()
    torch.save({"w": torch.zeros(1)}, tmp_path / "fold_1" / "checkpoint_final.pth")
    assert weights_file(tmp_path).parent.name == "fold_1"
    (tmp_path / "plans.json").write_text(json.dumps({"a": [1, 2]}))
    inside = read_model(tmp_path)
    assert (inside.file, inside.documents) == ("fold_1/checkpoint_final.pth", {"plans.json": {"a": [1, 2]}})
    assert read_model(tmp_path / "fold_1" / "checkpoint_final.pth").documents == inside.documents


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "\x00"])
def test_documents_that_are_damaged_are_named(content, tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "model.pt")
    (tmp_path / "plans.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"plans\.json"):
        read_model(tmp_path / "model.pt")
