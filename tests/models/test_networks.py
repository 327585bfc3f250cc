"""Every network of conf/model: it trains and is measured, and what is deployed of it is the plain network."""

import inspect

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from contextrast.config import instantiate, plain
from contextrast.models import Segmenter, build
from contextrast.models.forward_pass import segment
from contextrast.training.assembly import build_datamodule, build_module
from tests.conftest import TINY, choices

AUXILIARY = "++module.auxiliary_stage=4"
VIT = ("+model.embed_dim=32", "+model.num_heads=2")
MASK2FORMER = tuple(
    f"model.network.{setting}"
    for setting in (
        *("embed_dim=12", "depths=[1,1,1,1]", "num_heads=[1,1,2,2]", "window_size=4", "num_queries=6"),
        *("hidden_dim=32", "pixel_decoder_layers=1", "decoder_layers=3", "train_num_points=64"),
    )
)
EOMT = tuple(
    f"model.network.{key}={value}"
    for key, value in {"hidden_size": 16, "layers": 4, "heads": 2, "query_layers": 2, "num_queries": 8}.items()
)
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
    "upernet_convnext_tiny": (
        *("+model.dims=[8,16,24,32]", "+model.depths=[1,1,1,1]", "model.decoder_channels=16", AUXILIARY),
    ),
    "deeplabv3plus_resnet101": ("model.encoder=resnet18", "model.decoder_channels=16", AUXILIARY),
    "lraspp_mobilenet_v3": (),
    "segformer_mit_b0": ("model.decoder_segmentation_channels=16",),
    **{
        f"segformer_mit_b{size}": ("model.encoder=mit_b0", "model.decoder_segmentation_channels=16")
        for size in (1, 2, 3, 4, 5)
    },
    **{f"vit_{size}_dinov2_linear": (*VIT, "+model.img_size=56") for size in ("small", "base")},
    **{
        f"vit_{size}_dinov3_dpt": (
            *(*VIT, "+model.decoder_intermediate_channels=[8,8,8,8]", "+model.decoder_fusion_channels=8"),
        )
        for size in ("small", "base")
    },
    **{f"mask2former_swin_{size}": MASK2FORMER for size in ("tiny", "large")},
    **{f"eomt_vit_{size}": EOMT for size in ("base", "large")},
}
# Compositions that are those of others once they are made small.
ALIKE = [
    *(f"segformer_mit_b{size}" for size in (1, 2, 3, 4, 5)), "vit_base_dinov2_linear", "vit_base_dinov3_dpt",
    "mask2former_swin_large", "eomt_vit_large",
]  # fmt: skip
DIFFERENT = [name for name in SMALL if name not in ALIKE]
RUN = (*(override for override in TINY if not override.startswith("model.")), "channels_last=false")


def test_every_network_is_tested():
    assert {*choices("model")} - {"smp"} == set(SMALL)


def plain_network(model):
    """The network alone, built by its architecture's class from what a configuration says of it."""
    if "network" in model:
        return instantiate(model["network"])(num_classes=11).eval()
    own = set(inspect.signature(Segmenter.__init__).parameters) | {"_target_"}
    options = {key: value for key, value in model.items() if key not in own}
    architecture = build.ARCHITECTURES[model["architecture"]]
    return architecture(encoder_name=model["encoder"], encoder_weights=None, classes=11, **options).eval()


def operations(network, image):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


@pytest.mark.filterwarnings("ignore:`timm-` encoders:DeprecationWarning")
@pytest.mark.parametrize("name", [*DIFFERENT, *(pytest.param(name, marks=pytest.mark.slow) for name in ALIKE)])
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
    assert ("train/network" in trainer.callback_metrics) == name.startswith(("mask2former", "eomt"))
    assert 0 <= module.last_scores.miou <= 1

    stock = plain_network(plain(config.model))
    state = module.state_dict()
    deployed = {k.removeprefix("network.network."): v for k, v in state.items() if k.startswith("network.")}
    stock.load_state_dict(deployed, strict=True)
    assert any(key.startswith("loss.heads.") for key in state)
    assert sum(p.numel() for p in stock.parameters()) == sum(p.numel() for p in module.network.parameters())
    module.eval()
    side = max(2 * module.network.stride, module.network.smallest_side)
    image = torch.randn(1, 3, side, side + module.network.stride)
    assert operations(module.network, image) == operations(stock, image) > 0
    with torch.no_grad():
        assert torch.equal(module.network(image), segment(stock, image, module.network.resize))
        smaller = image[..., :-3, :-5]
    assert module.network(smaller).shape == (1, 11, *smaller.shape[-2:])
