"""A config of mmsegmentation: any network of its zoo, with Contextrast added to its losses."""

from typing import Any

import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.utils import add_prefix

from contextrast import ContextrastLoss


@MODELS.register_module()
class ContrastedEncoderDecoder(EncoderDecoder):
    """An EncoderDecoder whose backbone's maps are contrasted; ``stages``: their channels."""

    def __init__(self, *arguments: Any, stages: list[int], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.criterion = ContextrastLoss(self.num_classes, stages)

    def _decode_head_forward_train(self, inputs: Any, data_samples: Any) -> dict[str, Any]:
        logits = self.decode_head(inputs)
        losses = add_prefix(self.decode_head.loss_by_feat(logits, data_samples), "decode")
        target = self.decode_head._stack_batch_gt(data_samples).squeeze(1)
        logits = F.interpolate(logits, size=target.shape[-2:], mode="bilinear")
        losses["loss_contrast"] = self.criterion(logits, target, list(inputs)).weighted["contrast"]
        return losses


@HOOKS.register_module()
class ContrastUpdate(Hook):
    """Tells the loss of every step."""

    def after_train_iter(self, runner: Any, *_: Any) -> None:
        """After each step."""
        runner.model.criterion.update()


# What a config has besides: custom_imports = dict(imports=["mmseg_config"]), and these.
model: dict[str, Any] = {"type": "ContrastedEncoderDecoder", "stages": [256, 512, 1024, 2048]}
custom_hooks = [{"type": "ContrastUpdate"}]
