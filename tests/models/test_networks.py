"""Every network of conf/model: it trains and is measured, and what is deployed of it is the plain network."""

import inspect

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from contextrast.config import plain
from contextrast.models import Segmenter, build
from contextrast.training.assembly import build_datamodule, build_module
from tests.conftest import TINY, choices

AUXILIARY = "++module.auxiliary_stage=4"
# What makes each network small; its architecture, its stages and everything else stay as configured.
SMALL = {
    "fpn_lite0": ("model.encoder_weights=null", "model.decoder_pyramid_channels=16", AUXILIARY),
    "hrnet_w18": ("model.encoder=tu-hrnet_w18_small", "++module.auxiliary_stage=2"),
    "hrnet_w48": ("model.encoder=tu-hrnet_w18_small",),
    "ocrnet_hrnet_w48": (
        *("model.encoder=tu-hrnet_w18_small", "model.decoder_channels=32", "model.decoder_key_channels=16"),
    ),
    "deeplabv3_resnet101": ("model.encoder=resnet18", "model.decoder_channels=16", AUXILIARY),
    "mobilenet_v2": ("model.decoder_channels=16", AUXILIARY),
    "upernet_swin_tiny": (
        *("+model.embed_dim=24", "+model.depths=[1,1,2,1]", "+model.num_heads=[1,2,4,8]"),
        *("model.decoder_channels=16", AUXILIARY),
    ),
    "segformer_mit_b0": ("model.decoder_segmentation_channels=16",),
    "segformer_mit_b1": ("model.encoder=mit_b0", "model.decoder_segmentation_channels=16"),
}
RUN = (*(override for override in TINY if not override.startswith("model.")), "channels_last=false")


def test_every_network_is_tested():
    assert {*choices("model")} - {"smp"} == set(SMALL)


def plain_network(model):
    """The network alone, built by its architecture's class from what a configuration says of it."""
    own = set(inspect.signature(Segmenter.__init__).parameters) | {"_target_"}
    options = {key: value for key, value in model.items() if key not in own}
    architecture = build.ARCHITECTURES[model["architecture"]]
    return architecture(encoder_name=model["encoder"], encoder_weights=None, classes=11, **options).eval()


def operations(network, image):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


@pytest.mark.filterwarnings("ignore:`timm-` encoders:DeprecationWarning")
@pytest.mark.parametrize("name", SMALL)
def test_it_trains_and_what_is_deployed_is_the_plain_network(composed, name):
    config = composed("train", f"model={name}", *RUN, *SMALL[name])
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule)
    trainer = pl.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(module, datamodule)
    assert trainer.global_step == 2
    assert torch.isfinite(trainer.callback_metrics["train/loss"])
    helped = module.auxiliary is not None or name == "ocrnet_hrnet_w48"
    assert ("train/auxiliary" in trainer.callback_metrics) == helped
    assert 0 <= module.last_scores.miou <= 1

    stock = plain_network(plain(config.model))
    state = module.state_dict()
    deployed = {k.removeprefix("network.network."): v for k, v in state.items() if k.startswith("network.")}
    stock.load_state_dict(deployed, strict=True)
    assert any(key.startswith("loss.heads.") for key in state)
    assert sum(p.numel() for p in stock.parameters()) == sum(p.numel() for p in module.network.parameters())
    module.eval()
    image = torch.randn(1, 3, 64, 96)
    assert operations(module.network, image) == operations(stock, image) > 0
    with torch.no_grad():
        assert torch.equal(module.network(image), stock(image))
        assert module.network(image[..., :61, :77]).shape == (1, 11, 61, 77)
