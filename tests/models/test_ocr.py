"""Object-contextual representations: pixel by pixel, and their auxiliary logits."""

import math

import numpy as np
import torch

from contextrast.models import Segmenter
from contextrast.models.ocr import ObjectContextDecoder, gather_regions
from tests.models.slow import bilinear, conv_norm_relu, convolve, softmax


def slow_decoder(maps, decoder, key_channels):
    """The paper's Eqs. 1 to 4 for one image, maps [C, h, w] by number; returns the result and the auxiliary logits."""
    height, width = maps[2].shape[1:]
    branches = np.concatenate([bilinear(branch, height, width) for branch in maps[2:]])
    auxiliary = convolve(conv_norm_relu(branches, decoder.regions[0]), decoder.regions[1])
    pixels = conv_norm_relu(branches, decoder.pixels)
    regions = []
    for logits in auxiliary:
        weights = softmax(logits.reshape(-1)).reshape(height, width)
        regions.append(sum(weights[i, j] * pixels[:, i, j] for i in range(height) for j in range(width)))
    regions = np.stack(regions, axis=1)[:, :, None]  # [C, K, 1]: an image of K rows
    attention = decoder.attention
    query = conv_norm_relu(conv_norm_relu(pixels, attention.query[0]), attention.query[1])
    key = conv_norm_relu(conv_norm_relu(regions, attention.key[0]), attention.key[1])
    value = conv_norm_relu(regions, attention.value)
    context = np.zeros((key_channels, height, width))
    for i in range(height):
        for j in range(width):
            similarity = [query[:, i, j] @ key[:, k, 0] / math.sqrt(key_channels) for k in range(len(auxiliary))]
            for k, weight in enumerate(softmax(np.array(similarity))):
                context[:, i, j] += weight * value[:, k, 0]
    both = np.concatenate([conv_norm_relu(context, attention.project), pixels])
    return conv_norm_relu(both, decoder.output[0]), auxiliary


def test_decoder_against_loops():
    torch.manual_seed(0)
    sizes = [(3, 16, 20), (2, 8, 10), (3, 4, 5), (2, 2, 3), (4, 1, 2)]  # the image, the stem and three branches
    maps = [torch.randn(2, *size) for size in sizes]
    decoder = ObjectContextDecoder(9, classes=4, channels=6, key_channels=5, dropout=0.5).eval()
    with torch.no_grad():
        for name, value in decoder.named_buffers():
            if "running" in name:
                value.copy_(torch.rand(value.shape) + 0.5)
        result, auxiliary = decoder(maps)
    for image in range(2):
        expected = slow_decoder([m[image].double().numpy() for m in maps], decoder, 5)
        np.testing.assert_allclose(result[image].numpy(), expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(auxiliary[image].numpy(), expected[1], rtol=1e-4, atol=1e-5)


def test_parameters_are_those_of_the_papers_layers():
    c, n = 48 + 96 + 192 + 384, 19
    regions = c * c + 2 * c + c * n + n  # 1×1 convolution, batch norm, classes
    pixels = 9 * c * 512 + 2 * 512
    two_layers = 512 * 256 + 256 * 256 + 4 * 256  # of queries, and of keys
    attention = 2 * two_layers + (512 * 256 + 2 * 256) + (256 * 512 + 2 * 512)
    output = 2 * 512 * 512 + 2 * 512
    decoder = ObjectContextDecoder(c, n, 512, 256, 0.05)
    assert sum(p.numel() for p in decoder.parameters()) == regions + pixels + attention + output


def test_a_region_that_is_sure_of_its_pixels_is_their_mean():
    pixels = torch.randn(1, 3, 2, 3)
    logits = torch.full((1, 2, 2, 3), -1e4)
    logits[0, 0, 0] = 0  # the first region is the first row
    logits[0, 1, 1, 2] = 0  # the second a single pixel
    regions = gather_regions(pixels, logits)
    assert regions.shape == (1, 3, 2, 1)
    torch.testing.assert_close(regions[0, :, 0, 0], pixels[0, :, 0].mean(1))
    torch.testing.assert_close(regions[0, :, 1, 0], pixels[0, :, 1, 2])


def test_auxiliary_logits_come_with_the_training_pass(settings):
    network = Segmenter(
        architecture="OCRNet", encoder="tu-hrnet_w18_small", encoder_weights=None, decoder_channels=16,
        decoder_key_channels=8, **settings,
    ).eval()  # fmt: skip
    assert network.has_auxiliary_logits
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        seen = network.forward_training(image)
        _, expected = network.network.decoder(network.encoder(image))
    assert torch.equal(seen.auxiliary, expected)
    assert seen.auxiliary.shape == (1, 5, 16, 24)
    assert not Segmenter(encoder="resnet18", encoder_weights=None, **settings).has_auxiliary_logits
