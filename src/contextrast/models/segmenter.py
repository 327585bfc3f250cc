"""The network: any of smp's architectures over any of its encoders, with the encoder's stages within reach."""

import difflib
import inspect
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from contextrast.errors import ConfigError, WeightsError
from contextrast.models.weights import load_encoder_weights

IMAGENET = "imagenet"
_OWN = ("encoder_name", "in_channels", "classes", "aux_params", "activation")  # decided here, so no options


class Segmenter(nn.Module):
    """A segmentation network that takes images of any size and shows its encoder's stages to a loss.

    ``network`` is the plain smp model: its state dict loads into stock smp, and nothing of the training method is in it.
    Stages are numbered as smp numbers an encoder's feature maps: 0 is the image, 1 has stride 2, 2 stride 4, 3 stride 8,
    4 stride 16 and 5 stride 32 (fewer in a dilated encoder). ViT encoders (DPT), whose maps all have the patch's stride,
    count from 1 as well.

    Args:
        num_classes: Number of classes N.
        mean: Mean of each channel (red, green, blue) in units of 0..1.
        std: Standard deviation of each channel in units of 0..1.
        architecture: Name of one of smp's architectures, in any case.
        encoder: Name of one of smp's encoders; ``tu-NAME`` is timm's model NAME.
        encoder_weights: ``lite0`` (bundled, for EfficientNet-Lite0), ``imagenet`` (downloaded from smp's or timm's hub),
            None (random), or the path of a local weight file. Only ``imagenet`` reaches for the network.
        stages: Numbers of the stages that :meth:`forward_features` returns.
        **architecture_options: Further arguments of the architecture's constructor (``decoder_pyramid_channels=256``).

    Attributes:
        network: The smp model, which is what gets deployed.
        stride: Image sides that :meth:`forward_features` takes are multiples of it.
        stage_channels: Channels of each returned stage.
        stage_strides: Stride of each returned stage in pixels.
        single_pixel_norms: Names of batch norms that see one value a channel and image, because a global pooling
            precedes them; they cannot train on a batch of one.

    Raises:
        ConfigError: If a name, option or stage does not exist, or they do not fit together.
        WeightsError: If the encoder's weights are missing or do not fit.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        architecture: str = "FPN",
        encoder: str = "timm-tf_efficientnet_lite0",
        encoder_weights: str | Path | None = "lite0",
        stages: Sequence[int] = (2, 3, 4, 5),
        **architecture_options: Any,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stages = tuple(stages)
        self.register_buffer("mean", _per_channel("mean", mean), persistent=False)
        self.register_buffer("std", _per_channel("std", std), persistent=False)
        self.network = _build(architecture, encoder, encoder_weights, num_classes, architecture_options)
        if encoder_weights not in (None, IMAGENET):
            load_encoder_weights(self.encoder, encoder_weights)
        self.stride = int(self.network.encoder.output_stride)
        sizes, self.single_pixel_norms = self._probe(f"{architecture} over {encoder}")
        self.stage_channels, self.stage_strides = _pick(self.stages, sizes, encoder)

    mean: Tensor
    std: Tensor

    @property
    def encoder(self) -> nn.Module:
        """The encoder inside :attr:`network` (optimisers give it a learning rate of its own)."""
        return cast(nn.Module, self.network.encoder)

    def normalize(self, image: Tensor) -> Tensor:
        """Bring images to the distribution the encoder was trained on.

        Args:
            image: uint8 [B, 3, H, W], 0..255.

        Returns:
            float32 [B, 3, H, W], in the memory format of the input.
        """
        return (image.to(self.mean.dtype) / 255 - self.mean) / self.std

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What a size lacks to multiples of :attr:`stride`, as `F.pad` takes it: (left, right, top, bottom) in pixels."""
        return (0, -width % self.stride, 0, -height % self.stride)

    def forward(self, image: Tensor) -> Tensor:
        """Segment normalised images of any size.

        Sizes that the stride does not divide are padded on the right and at the bottom, and the logits are cropped. The
        border is repeated: a band of a constant would be an edge that no training image has.

        Args:
            image: float [B, 3, H, W], normalised.

        Returns:
            Logits [B, N, H, W].
        """
        height, width = image.shape[-2:]
        padding = self.padding(height, width)
        if not any(padding):
            return cast(Tensor, self.network(image))
        logits = cast(Tensor, self.network(F.pad(image, padding, mode="replicate")))
        return logits[..., :height, :width]

    def forward_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the encoder's stages in one pass, for training.

        Args:
            image: float [B, 3, H, W], normalised; H and W multiples of :attr:`stride`, so that stage grids align with it.

        Returns:
            Logits [B, N, H, W], and one feature map [B, C_i, H/s_i, W/s_i] for each of :attr:`stages`.

        Raises:
            ConfigError: If the stride does not divide the size.
        """
        height, width = image.shape[-2:]
        if any(self.padding(height, width)):
            raise ConfigError(
                f"Images of {height}x{width} (height x width) cannot be trained on: stage grids need multiples of "
                f"{self.stride}. Pad image and mask to {height + -height % self.stride}x{width + -width % self.stride}."
            )
        logits, maps = _run(self.network, image)
        return logits, [maps[stage] for stage in self.stages]

    def check_batch_size(self, batch_size: int, crop_size: Sequence[int] | None = None) -> None:
        """Refuse to train on batches that batch normalisation cannot work with.

        Args:
            batch_size: Images a device and step.
            crop_size: Height and width of a training crop in pixels, if known.

        Raises:
            ConfigError: If a batch norm would see a single value a channel.
        """
        if batch_size > 1:
            return
        reason = f"{self.single_pixel_norms[0]} follows a global pooling" if self.single_pixel_norms else ""
        if crop_size is not None and max(crop_size) <= self.stride and not reason:
            reason = f"the crop of {crop_size[0]}x{crop_size[1]} is one pixel at stride {self.stride}"
        if reason:
            raise ConfigError(
                f"This network cannot train on batches of {batch_size}: {reason}, so batch normalisation would see one value "
                "a channel. Set data.batch_size to 2 or more on each device."
            )

    @torch.no_grad()
    def _probe(self, what: str) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
        """Run a small blank image: (channels, stride) of every feature map, and norms over single pixels."""
        side = 2 * self.stride
        single: list[str] = []
        hooks = [
            module.register_forward_pre_hook(lambda _, x, name=name: single.append(name) if _is_single(x[0]) else None)
            for name, module in self.network.named_modules()
            if isinstance(module, _BatchNorm)
        ]
        training = self.network.training
        self.network.eval()
        try:
            logits, maps = _run(self.network, torch.zeros(1, 3, side, side))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"{what} cannot take an image of {side}x{side}: {error}. Encoders made for one image size may need "
                "model.dynamic_img_size=true."
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
            self.network.train(training)
        if logits.shape[-1] != side:
            raise ConfigError(
                f"{what} answers {side}x{side} images with {logits.shape[-2]}x{logits.shape[-1]} logits. model.upsampling "
                f"or model.encoder_depth is wrong by a factor of {side / logits.shape[-1]:g}."
            )
        return [(m.shape[1], side // m.shape[3]) for m in maps], tuple(single)


def _run(network: nn.Module, image: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
    """smp's forward pass, with the feature maps [image, stage 1, stage 2, ...] kept."""
    encoded = network.encoder(image)
    if isinstance(encoded, tuple):  # ViT encoders: maps without the image, and prefix tokens
        features, tokens = encoded
        return network.segmentation_head(network.decoder(features, tokens)), [image, *features]
    return network.segmentation_head(network.decoder(encoded)), encoded


def _is_single(x: Tensor) -> bool:
    return x.numel() == x.shape[0] * x.shape[1]


def _per_channel(name: str, values: Sequence[float]) -> Tensor:
    if len(values) != 3 or (name == "std" and min(values) <= 0):
        raise ConfigError(f"model.{name} needs three numbers (red, green, blue; std above 0) in units of 0..1, got {values}.")
    return torch.tensor([float(value) for value in values]).view(1, 3, 1, 1)


def _build(
    architecture: str, encoder: str, weights: str | Path | None, num_classes: int, options: dict[str, Any]
) -> nn.Module:
    """The plain smp model; only `imagenet` lets smp fetch weights."""
    classes = {cls.__name__.lower(): cls for cls in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    names = [cls.__name__ for cls in classes.values()]
    if architecture.lower() not in classes:
        raise ConfigError(f"Unknown model.architecture={architecture}. {_near(architecture, names)}")
    build = classes[architecture.lower()]
    _check_options(options, inspect.signature(build.__init__).parameters, architecture, encoder)
    try:
        with warnings.catch_warnings():
            # smp deprecates the names `timm-*`, which carry weights and settings of their own; the user chose one.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message="For 'tu-'", category=UserWarning)
            model = build(
                encoder_name=encoder,
                encoder_weights=IMAGENET if weights == IMAGENET else None,
                in_channels=3,
                classes=num_classes,
                **options,
            )
    except Exception as error:  # whatever smp, timm or the hub raise becomes one error that names the setting
        raise _explain(error, architecture, encoder, weights) from error
    return cast(nn.Module, model)


def _check_options(options: Iterable[str], known: Iterable[str], architecture: str, encoder: str) -> None:
    """Refuse misspelt options: smp hands what it does not know to the encoder, and most encoders drop it silently."""
    if own := sorted(set(options) & set(_OWN)):
        raise ConfigError(f"model.{own[0]} is no option: Segmenter sets it itself. Remove it.")
    unknown = sorted(set(options) - set(known))
    if unknown and not encoder.startswith("tu-"):  # timm's models take options of their own and refuse what they do not know
        raise ConfigError(f"{architecture} has no option model.{unknown[0]}. {_near(unknown[0], set(known) - set(_OWN))}")


def _explain(error: Exception, architecture: str, encoder: str, weights: str | Path | None) -> ConfigError | WeightsError:
    known = [*smp.encoders.get_encoder_names(), *(f"tu-{name}" for name in timm.list_models())]
    if encoder.partition(".")[0] not in known:
        return ConfigError(f"Unknown model.encoder={encoder}. {_near(encoder, known)}")
    if weights == IMAGENET:
        return WeightsError(
            f"The hub's weights for {encoder} could not be had: {error}. Without a connection set model.encoder_weights to "
            "lite0, null or a local file."
        )
    return ConfigError(f"{architecture} over {encoder} cannot be built: {error}. Change the model.* setting it names.")


def _near(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest names, letter case aside."""
    by_lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5) or sorted(by_lower)[:20]
    return f"Near matches: {', '.join(by_lower[entry] for entry in near)}."


def _pick(
    stages: Sequence[int], sizes: list[tuple[int, int]], encoder: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides of the stages asked for."""
    available = {number: size for number, size in enumerate(sizes) if number > 0 and size[0] > 0}
    if wrong := [stage for stage in stages if stage not in available]:
        listed = ", ".join(f"{n} ({channels} channels, stride {s})" for n, (channels, s) in available.items())
        raise ConfigError(
            f"model.stages={list(stages)}: {encoder} has no stage {', '.join(map(str, wrong))}. Its stages are: {listed}."
        )
    return tuple(available[stage][0] for stage in stages), tuple(available[stage][1] for stage in stages)
