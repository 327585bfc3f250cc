"""Two processes train and validate as one: whole networks under DDP with every loss, and sharded with one."""

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from contextrast.benchmarks.communication import silent_group
from contextrast.contrast.collective import global_images
from contextrast.data.sampler import EpochSampler
from contextrast.training.assembly import build_datamodule, build_module
from tests.cli.processes import forked
from tests.group import (
    DECODER,
    LOSSES,
    SHARDED,
    VALIDATION_IMAGES,
    channels_first,
    losses_and_gradients,
    settings,
    train_in_a_group,
    trained,
)

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Losses and DDP's gradients of the first process, and what each process saved."""
    folder, port = tmp_path_factory.mktemp("group"), find_free_network_port()
    other = forked().Process(target=train_in_a_group, args=(1, 2, folder, port), daemon=True)
    other.start()
    losses = train_in_a_group(0, 2, folder, port)
    other.join()
    assert other.exitcode == 0
    return losses, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", [*LOSSES, DECODER])
def test_two_processes_under_ddp_train_a_whole_network_as_one(group, name):
    compare(group, name, losses_and_gradients(name))


def test_two_processes_with_half_of_the_parameters_each_train_a_whole_network_as_one(group):
    compare(group, "sharded", losses_and_gradients(SHARDED, wrap=channels_first))


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_do_not_drift_from_one(group, name):
    _, saved = group
    expected = trained(name)
    for rank in saved:
        torch.testing.assert_close(rank["trained"][name], expected, rtol=1e-9, atol=1e-10)


def compare(group, name, alone):
    """Both processes' losses and gradients with those of one."""
    averaged, saved = group
    mean = (saved[0]["values"][name] + saved[1]["values"][name]) / 2
    torch.testing.assert_close(mean, torch.stack([loss for loss, _ in alone]), rtol=TOLERANCE, atol=0)
    for (_, gradients), (_, expected) in zip(averaged[name], alone, strict=True):
        assert gradients.keys() == expected.keys()
        for key, value in expected.items():
            scale = float(value.abs().max())
            torch.testing.assert_close(gradients[key], value, rtol=TOLERANCE, atol=TOLERANCE * scale, msg=key)


def test_draws_know_each_image_by_its_place_in_the_batch_of_a_single_process():
    """Random keys belong to places of the global batch, which has to be where the sampler puts the images."""
    whole = list(EpochSampler(range(50)))[:12]
    for rank in range(3):
        own = list(EpochSampler(range(50), num_replicas=3, rank=rank))[:4]
        with silent_group(3, rank):
            places = global_images(4, torch.device("cpu")).tolist()
        assert own == [whole[place] for place in places]


def test_a_validation_of_uneven_shares_counts_every_image_once_with_the_same_network(group):
    _, saved = group
    first, second = (rank["validated"] for rank in saved)
    torch.testing.assert_close(first["confusion"], second["confusion"], rtol=0, atol=0)
    torch.testing.assert_close(first["network"], second["network"], rtol=0, atol=0)
    config = settings("loss=ce", f"data.dataset.lengths.val={VALIDATION_IMAGES}")
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule).eval()
    module.network.load_state_dict(first["network"])
    datamodule.setup("validate")
    with torch.no_grad():
        for batch in datamodule.val_dataloader():
            module.validation_step(batch)
    torch.testing.assert_close(module.scores.compute().confusion, first["confusion"], rtol=0, atol=0)
