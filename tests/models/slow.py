"""Layers written as loops over pixels, in float64."""

import numpy as np


def bilinear(x, height, width):
    """Bilinear resizing of [C, h, w] with half-pixel centres."""
    result = np.empty((x.shape[0], height, width))
    for i in range(height):
        for j in range(width):
            y = max((i + 0.5) * x.shape[1] / height - 0.5, 0)
            z = max((j + 0.5) * x.shape[2] / width - 0.5, 0)
            y0, z0 = int(y), int(z)
            y1, z1 = min(y0 + 1, x.shape[1] - 1), min(z0 + 1, x.shape[2] - 1)
            top = x[:, y0, z0] * (1 - (z - z0)) + x[:, y0, z1] * (z - z0)
            bottom = x[:, y1, z0] * (1 - (z - z0)) + x[:, y1, z1] * (z - z0)
            result[:, i, j] = top * (1 - (y - y0)) + bottom * (y - y0)
    return result


def softmax(x):
    """Over the first axis."""
    e = np.exp(x - x.max(0, keepdims=True))
    return e / e.sum(0, keepdims=True)


def convolve(x, conv):
    """A convolution of stride 1 that keeps the size of [C, h, w]."""
    weight = conv.weight.detach().double().numpy()
    pad = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    result = np.zeros((weight.shape[0], *x.shape[1:]))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            window = padded[:, i : i + weight.shape[2], j : j + weight.shape[3]]
            result[:, i, j] = [(kernel * window).sum() for kernel in weight]
    return result if conv.bias is None else result + conv.bias.detach().double().numpy()[:, None, None]


def conv_norm_relu(x, layers):
    """Convolution, batch norm by its running statistics, ReLU."""
    conv, norm, _ = layers
    mean, var, weight, bias = (
        value.detach().double().numpy()[:, None, None]
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return np.maximum((convolve(x, conv) - mean) / np.sqrt(var + norm.eps) * weight + bias, 0)
