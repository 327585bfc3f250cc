"""The network: any module of images to logits, with the feature maps that a loss contrasts within reach."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.feature_maps import blank
from contextrast.contrast.taps import Taps, nameable
from contextrast.errors import ConfigError
from contextrast.models.build import IMAGENET, build_network, refuse_names
from contextrast.models.channels import network_for, per_channel, refuse_other
from contextrast.models.coarse import CoarseLogits
from contextrast.models.contrasted import ContrastOn, contrasted_modules
from contextrast.models.forward_pass import coarse_logits, encoder_of, forward_pass, segment
from contextrast.models.network_weights import load_network_weights
from contextrast.models.probing import probe
from contextrast.models.weights import LITE0, LITE0_ENCODERS, load_encoder_weights

_STAGES = (2, 3, 4, 5)


class TrainingPass(NamedTuple):
    """One pass of a :class:`Segmenter` in training.

    Attributes:
        logits: ``[B, N, H, W]``.
        features: The feature maps that are contrasted, ``[B, C_i, H/s_i, W/s_i]``, see the segmenter's `contrast_on`.
        maps: All of the encoder's maps by number, the image first; empty where a network has no numbered ones.
        auxiliary: Auxiliary logits ``[B, N, h, w]`` where the network computes some itself, as OCRNet does.
        answer: What the network answered, where it has a loss of its own, see :meth:`Segmenter.own_loss`.
    """

    logits: Tensor
    features: list[Tensor]
    maps: Sequence[Tensor]
    auxiliary: Tensor | None
    answer: Any = None


class Segmenter(nn.Module):
    """A segmentation network that takes images of any size and shows feature maps to a loss.

    ``network`` is the plain network, and nothing of the training method is in it. It arrives as an object, or by the
    names of one of smp's architectures and encoders (then its state dict loads into stock smp). An object is any module
    that makes logits ``[B, N, h, w]`` of normalised images ``[B, C, H, W]``, at any stride, or a mapping that has them
    as ``logits`` or ``out``; what else it may have is said in `contextrast.models.forward_pass`.

    Stages are numbered as smp numbers an encoder's feature maps: 0 is the image, 1 has stride 2, 2 stride 4, 3 stride
    8, 4 stride 16 and 5 stride 32 (less in a dilated encoder). Hierarchical transformers (Swin, MiT) have no stage 1.
    ViT encoders (DPT), whose maps all have the patch's stride, count from 1 as well. Parameters that a segmentation
    network does not use, such as the encoder's last layers before its classifier, stay in the state dict and do not
    require gradients.

    Args:
        network: The network, or what makes it of ``num_classes``, and of ``in_channels`` other than three; None builds
            it of the following names.
        num_classes: Number of classes N.
        mean: Mean of each channel (red, green, blue where there are three) in units of 0..1.
        std: Standard deviation of each channel in units of 0..1.
        in_channels: Channels of the images, C.
        architecture: One of smp's architectures, ``HRNetV2`` or ``OCRNet``, in any case; None is ``FPN``.
        encoder: Name of one of smp's encoders; ``tu-NAME`` is timm's model NAME. None is EfficientNet-Lite0.
        encoder_weights: ``lite0`` (bundled, for EfficientNet-Lite0), ``imagenet`` (downloaded from smp's or timm's
            hub), None (random), or the path of a local weight file. Only ``imagenet`` needs a connection. A network
            that is given takes a file alone, for its ``encoder`` or ``backbone``.
        weights: A checkpoint or weight file of this whole network to start from, in place of ``encoder_weights``.
        allow_class_mismatch: Whether ``weights`` may be of other classes; the last layer then starts anew.
        stages: Numbers of the encoder's stages that are contrasted, where ``contrast_on`` is ``encoder``; None: 2 to 5.
        contrast_on: Which feature maps are contrasted: ``encoder``, those of ``stages``; ``decoder``, the maps of
            several strides that a decoder makes; or names of modules inside the network, shallowest first, whose
            outputs are taken (``["encoder.layer1", "decoder.p3"]``); ``encoder.2`` is stage 2 of the encoder.
        **architecture_options: Further arguments of the architecture's constructor (``decoder_pyramid_channels=256``).

    Attributes:
        network: The plain network, which is what gets deployed.
        channels: Of the images that it takes, C.
        name: What messages call it.
        resize: Whether the plain network's logits have to be brought to the image's size.
        stride: Image sides that :meth:`forward_features` takes are multiples of it.
        smallest_side: Shortest image side in pixels that the network takes; shorter ones are padded to it.
        stage_names: What logs and figures call the contrasted maps: ``stage2``, or the name of a module.
        stage_channels: Channels of each of them.
        stage_strides: Stride of each of them in pixels.
        single_pixel_norms: Names of batch norms that see one value per channel and image, because a global pooling
            precedes them; they cannot train on a batch of one.
        has_auxiliary_logits: Whether the network computes auxiliary logits of its own.

    Raises:
        ConfigError: If a name, option, stage or module does not exist, or they do not fit together.
        WeightsError: If weights are missing or do not fit.
    """

    def __init__(
        self,
        network: nn.Module | Callable[..., nn.Module] | None = None,
        *,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        in_channels: int = 3,
        architecture: str | None = None,
        encoder: str | None = None,
        encoder_weights: str | Path | None = LITE0,
        weights: str | Path | None = None,
        allow_class_mismatch: bool = False,
        stages: Sequence[int] | None = None,
        contrast_on: ContrastOn = "encoder",
        **architecture_options: Any,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.channels = in_channels
        self.register_buffer("mean", per_channel("mean", mean, in_channels), persistent=False)
        self.register_buffer("std", per_channel("std", std, in_channels), persistent=False)
        encoder_weights = encoder_weights if weights is None else None
        if network is None:
            architecture, encoder = architecture or "FPN", encoder or LITE0_ENCODERS[0]
            self.name = f"{architecture} over {encoder}"
            of = num_classes, in_channels, architecture_options
            self.network = build_network(architecture, encoder, encoder_weights, *of)
        else:
            refuse_names(architecture=architecture, encoder=encoder, **architecture_options)
            self.network = network if isinstance(network, nn.Module) else network_for(network, num_classes, in_channels)
            self.name = type(self.network).__name__
            encoder_weights = None if encoder_weights == LITE0 else encoder_weights  # the default, for that encoder
        if weights is not None:
            load_network_weights(self.network, weights, num_classes, allow_class_mismatch=allow_class_mismatch)
        elif encoder_weights is not None and (network is not None or encoder_weights != IMAGENET):
            load_encoder_weights(self.encoder, encoder_weights)
        self._taps = Taps(self.network, contrasted_modules(self.network, contrast_on, stages))
        facts = probe(self.network, self.name, self._taps, in_channels)
        if facts.classes != num_classes:
            raise ConfigError(
                f"{self.name} answers with {facts.classes} channels for {num_classes} classes. Its last layer needs as "
                "many channels as num_classes, which its constructor is called with."
            )
        self.resize = facts.resize
        self.stride = facts.stride
        self.smallest_side = facts.smallest_side
        self.single_pixel_norms = facts.single_pixel_norms
        for parameter in facts.unused:  # without a gradient they would stop distributed training
            self.network.get_parameter(parameter).requires_grad_(False)
        self.has_auxiliary_logits = facts.auxiliary
        self._available = {number: size for number, size in enumerate(facts.maps) if number > 0 and size[0] > 0}
        self.stages = () if self._taps.names else tuple(_STAGES if stages is None else stages)
        sizes = [self.stage_size(stage, f"model.stages={list(self.stages)}") for stage in self.stages] or facts.named
        self.stage_names = self._taps.names or tuple(f"stage{stage}" for stage in self.stages)
        self.stage_channels = tuple(channels for channels, _ in sizes)
        self.stage_strides = tuple(stride for _, stride in sizes)

    mean: Tensor
    std: Tensor

    @property
    def encoder(self) -> nn.Module:
        """The encoder or backbone inside :attr:`network` (optimisers give it a learning rate of its own), if any."""
        return encoder_of(self.network)

    def stage_size(self, stage: int, setting: str) -> tuple[int, int]:
        """Channels and stride of any of the encoder's stages, whether a loss sees it or not.

        Args:
            stage: Its number.
            setting: What an error names as the cause, such as ``model.stages=[2, 3]``.

        Raises:
            ConfigError: If the encoder has no such stage.
        """
        if not self._available:
            image = blank(self.network, 2 * self.smallest_side, self.channels)
            raise ConfigError(
                f"{setting}: {self.name} has no numbered stages, as it is not built of encoder, decoder and "
                "segmentation_head. Name the modules whose outputs are contrasted, model.contrast_on=[NAME,...], "
                f"shallowest first. There are {nameable(self.network, image)}."
            )
        if stage not in self._available:
            listed = ", ".join(f"{n} ({channels} channels, stride {s})" for n, (channels, s) in self._available.items())
            raise ConfigError(f"{setting}: the encoder has no stage {stage}. It has: {listed}.")
        return self._available[stage]

    def normalize(self, image: Tensor) -> Tensor:
        """Bring images to the distribution the encoder was trained on.

        Args:
            image: uint8 [B, C, H, W], 0..255.

        Returns:
            float32 [B, C, H, W], in the memory format of the input.

        Raises:
            ConfigError: If images have another number of channels than the network takes.
        """
        refuse_other(image, self.channels, self.name)
        return (image.to(self.mean.dtype) / 255 - self.mean) / self.std

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What a size lacks to a multiple of :attr:`stride` (and to :attr:`smallest_side`).

        Args:
            height: Image height in pixels.
            width: Image width in pixels.

        Returns:
            Pixels to add as `F.pad` takes them: (left, right, top, bottom); left and top are 0.
        """
        right, bottom = (max(side + -side % self.stride, self.smallest_side) - side for side in (width, height))
        return (0, right, 0, bottom)

    def pad(self, image: Tensor) -> Tensor:
        """Pad images by :meth:`padding`, in training as in :meth:`forward`.

        The border is repeated: a band of a constant would be an edge that no photograph has.

        Args:
            image: float [B, C, H, W].

        Returns:
            float [B, C, H', W'] with sides that the network takes; the image itself where nothing is lacking.
        """
        padding = self.padding(*image.shape[-2:])
        return F.pad(image, padding, mode="replicate") if any(padding) else image

    def forward(self, image: Tensor) -> Tensor:
        """Segment normalised images of any size: padded on the right and at the bottom, and the logits cropped.

        Args:
            image: float [B, C, H, W], normalised.

        Returns:
            Logits [B, N, H, W].
        """
        height, width = image.shape[-2:]
        logits = segment(self.network, self.pad(image), self.resize)
        return logits[..., :height, :width]

    def coarse(self, image: Tensor) -> CoarseLogits:
        """As :meth:`forward`, with logits that are brought to the image's size where they are asked for.

        Args:
            image: float [B, 3, H, W], normalised.
        """
        return coarse_logits(self.network, self.pad(image))._replace(columns=image.shape[3])

    def forward_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and contrasted maps: the part of :meth:`forward_training` that a loss on feature maps takes.

        Returns:
            Logits [B, N, H, W], and a feature map [B, C_i, H/s_i, W/s_i] for each of :attr:`stage_names`.
        """
        seen = self.forward_training(image)
        return seen.logits, seen.features

    def forward_training(self, image: Tensor) -> TrainingPass:
        """One pass with everything that training looks at.

        Args:
            image: float [B, C, H, W], normalised; :attr:`stride` divides H and W, so that stage grids align with it.

        Raises:
            ConfigError: If the stride does not divide the size.
        """
        height, width = image.shape[-2:]
        _, right, _, bottom = self.padding(height, width)
        if right or bottom:
            raise ConfigError(
                f"Images of {height}x{width} (height x width) cannot be trained on: stage grids need multiples of "
                f"{self.stride}. Pad image and mask to {height + bottom}x{width + right}."
            )
        logits, maps, auxiliary, named, answer = forward_pass(self.network, image, self._taps, self.resize)
        return TrainingPass(logits, named or [maps[stage] for stage in self.stages], maps, auxiliary, answer)

    def own_loss(self, seen: TrainingPass, target: Tensor) -> Tensor | None:
        """The loss by which the network itself learns in place of one of its logits; None where it has none.

        Args:
            seen: One pass.
            target: ``[B, H, W]`` class ids.
        """
        own = cast("Any", self.network)
        return None if seen.answer is None else cast("Tensor", own.own_loss(seen.answer, target))

    def compile_training(self) -> None:
        """Compile :meth:`forward_training` in place, as ``compile()`` of torch's modules does their ``forward``."""
        self.forward_training = torch.compile(self.forward_training)  # type: ignore[method-assign]

    def check_batch_size(self, batch_size: int, crop_size: Sequence[int] | None = None) -> None:
        """Refuse to train on batches that batch normalisation cannot work with.

        Args:
            batch_size: Images a device and step.
            crop_size: Height and width of a training crop in pixels, if known.

        Raises:
            ConfigError: If a batch norm would see a single value per channel.
        """
        if batch_size > 1:
            return
        reason = f"{self.single_pixel_norms[0]} follows a global pooling" if self.single_pixel_norms else ""
        if crop_size is not None and max(crop_size) <= self.stride and not reason:
            reason = f"the crop of {crop_size[0]}x{crop_size[1]} is one pixel at stride {self.stride}"
        if reason:
            raise ConfigError(
                f"This network cannot train on batches of {batch_size}: {reason}, so batch normalisation would see one "
                "value per channel. Set data.batch_size to 2 or more on each device."
            )
