"""A row of the papers' tables is a composition of dataset, network and loss: what they print is what comes out."""

from itertools import combinations, product

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from contextrast.config import instantiate
from contextrast.folders import config_directory
from contextrast.runs.settings import flat, rule_of
from tests.conftest import choices

SGD, ADAMW = ("torch.optim.SGD", 5e-4), ("torch.optim.AdamW", 0.01)
POLY, LINEAR = "torch.optim.lr_scheduler.PolynomialLR", "torch.optim.lr_scheduler.LinearLR"
# The training settings that the papers print, typed in from them.
PUBLISHED = {
    ("cityscapes", "hrnet_w48"): ([512, 1024], 8, 40000, *SGD, 0.01, POLY),
    ("cityscapes", "ocrnet_hrnet_w48"): ([512, 1024], 8, 40000, *SGD, 0.01, POLY),
    ("cityscapes", "deeplabv3_resnet101"): ([512, 1024], 8, 40000, *SGD, 0.01, POLY),
    ("cityscapes", "upernet_swin_tiny"): ([512, 1024], 6, 40000, *ADAMW, 6e-5, LINEAR),
    ("cityscapes", "segformer_mit_b0"): ([1024, 1024], 8, 160000, *ADAMW, 6e-5, LINEAR),
    ("cityscapes", "mobilenet_v2"): ([512, 1024], 8, 80000, "torch.optim.SGD", 0.01, 0.01, POLY),
    ("ade20k", "hrnet_w48"): ([512, 512], 12, 80000, *SGD, 0.01, POLY),
    ("pascal_context", "deeplabv3_resnet101"): ([512, 512], 16, 60000, *SGD, 0.01, POLY),
    ("coco_stuff10k", "ocrnet_hrnet_w48"): ([512, 512], 16, 60000, *SGD, 0.01, POLY),
    ("camvid", "hrnet_w48"): ([360, 480], 16, 6000, *SGD, 0.02, POLY),
}


@pytest.mark.parametrize("pair", PUBLISHED, ids="-".join)
def test_published_settings(composed, pair):
    config = composed("train", f"data={pair[0]}", f"model={pair[1]}")
    optimizer = config.optimizer
    assert (
        config.data.crop, config.data.batch_size, config.trainer.max_steps, optimizer._target_,
        optimizer.weight_decay, optimizer.lr, config.scheduler._target_,
    ) == PUBLISHED[pair]  # fmt: skip
    assert config.data.scale == [0.5, 2.0]
    assert config.data.flip == 0.5
    assert config.data.color_jitter.p > 0


def test_the_method_s_numbers_are_the_published_ones(composed):
    loss = composed("train", "data=cityscapes", "model=hrnet_w48", "loss=contextrast").loss
    assert (loss.alpha, loss.embedding_dim) == (0.1, 256)
    assert instantiate(loss, num_classes=3, in_channels=[2] * 4).contrast.stage_weights == (0.1, 0.4, 0.7, 1.0)
    assert loss.negatives.percentage == 50


def test_poly_is_published_power_and_whole_run(composed):
    config = composed("train", "data=cityscapes", "model=hrnet_w48", "trainer.max_steps=70")
    assert (config.scheduler.power, config.scheduler.total_iters, config.optimizer.momentum) == (0.9, 70, 0.9)


@pytest.mark.parametrize("model", ["deeplabv3_resnet101", "mobilenet_v2", "upernet_swin_tiny"])
def test_the_framework_s_auxiliary_heads(composed, model):
    module = composed("train", "data=cityscapes", f"model={model}").module
    assert (module.auxiliary_stage, module.auxiliary_weight) == (4, 0.4)


@pytest.mark.parametrize("loss", ["pixel_contrast", "pixel_contrast_memory"])
@pytest.mark.parametrize(
    ("overrides", "numbers"),
    [
        ((), (27, 0.07, None)),
        (("data=cityscapes", "model=hrnet_w48"), (5000, 0.1, None)),
        (("data=cityscapes", "model=deeplabv3_resnet101"), (5000, 0.1, [-1])),
        (("data=ade20k", "model=mobilenet_v2"), (5000, 0.07, [-1])),
        (("data=camvid", "model=hrnet_w48"), (750, 0.07, None)),
        (("experiment=camvid_paper",), (750, 0.07, None)),
        (("experiment=camvid_short", "model=mobilenet_v2"), (67, 0.07, [-1])),
        (("experiment=camvid_short", "loss.start_step=5"), (5, 0.07, None)),
    ],
    ids=str,
)
def test_what_pixel_contrast_does_differently_for_data_networks_and_experiments(composed, loss, overrides, numbers):
    found = composed("train", f"loss={loss}", *overrides).loss
    assert (found.start_step, found.temperature, found.stages) == numbers


@pytest.mark.parametrize(("overrides", "most"), [((), 10000), (("experiment=camvid_short",), 1024)], ids=str)
def test_what_multiscale_does_differently_in_an_experiment(composed, overrides, most):
    assert composed("train", "loss=multiscale", *overrides).loss.max_samples == most


def test_no_number_of_a_loss_is_outside_its_files_and_recipes():
    folder = config_directory()
    for group in ("data", "model", "experiment", "recipe"):
        for path in (folder / group).glob("*.yaml"):
            content = OmegaConf.load(path)
            assert "loss" not in content, path
            assert not [key for key in content.get("recipe", content) if key.startswith(("pixel_", "multi"))], path


def test_recipes_of_losses_are_of_losses_data_networks_and_experiments_that_exist():
    for group in ("data", "model", "experiment"):
        files = choices(f"recipe/loss_{group}")
        assert files
        assert {*files} <= {f"{loss}_{other}" for loss, other in product(choices("loss"), choices(group))}


def test_the_command_line_wins_over_dataset_and_model(composed):
    overrides = ["optimizer=sgd", "optimizer.lr=0.5", "trainer.max_steps=3", "module.auxiliary_stage=null"]
    config = composed("train", "data=cityscapes", "model=upernet_swin_tiny", *overrides)
    assert (config.optimizer._target_, config.optimizer.lr, config.trainer.max_steps) == (SGD[0], 0.5, 3)
    assert config.module.auxiliary_stage is None


def check_composition(overrides):
    """Compositions are complete, and the table of settings knows each of their keys."""
    config = compose("train", overrides)
    assert config.data._target_.endswith("SegmentationDataModule")
    assert config.model._target_.endswith("Segmenter")
    assert config.trainer.max_steps > 0
    assert config.optimizer.lr > 0
    settings = flat(OmegaConf.to_container(config))
    assert [key for key in settings if rule_of(key, settings) is None] == [], overrides


def test_every_pair_of_data_model_and_loss_composes():
    """What a file of one group sets, at most one other group reads: every pair of files is every kind of composition.

    Each composition holds three pairs: data that move on by one with each model and with each loss meet all of both.
    """
    folder = config_directory()
    data, models, losses = (choices(group) for group in ("data", "model", "loss"))
    met = set()
    with initialize_config_dir(str(folder), version_base="1.3"):
        for row, column in product(range(max(len(models), len(data))), range(max(len(losses), len(data)))):
            chosen = data[(row + column) % len(data)], models[row % len(models)], losses[column % len(losses)]
            check_composition(
                [f"{group}={name}" for group, name in zip(("data", "model", "loss"), chosen, strict=True)]
            )
            met |= set(combinations(chosen, 2))
    assert met == {*product(data, models), *product(data, losses), *product(models, losses)}


@pytest.mark.slow
def test_every_combination_of_data_model_and_loss_composes():
    folder = config_directory()
    with initialize_config_dir(str(folder), version_base="1.3"):
        for data, model, loss in product(*(choices(group) for group in ("data", "model", "loss"))):
            config = compose("train", [f"data={data}", f"model={model}", f"loss={loss}"])
            settings = flat(OmegaConf.to_container(config, resolve=True, throw_on_missing=False))
            assert [key for key in settings if rule_of(key, settings) is None] == []


def test_a_sweep_over_datasets_finds_each_in_one_folder(composed, monkeypatch):
    monkeypatch.setenv("CONTEXTRAST_DATA", "/somewhere")
    for data in ("cityscapes", "camvid", "pascal_context", "coco_stuff10k", "ade20k"):
        assert composed("train", f"data={data}").data.root == f"/somewhere/{data}"
    assert composed("train", "data=cityscapes", "data.root=/else").data.root == "/else"
