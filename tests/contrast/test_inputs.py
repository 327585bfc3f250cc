"""Whatever does not fit a loss is refused in one sentence that names the argument, for every loss of ``conf/loss``."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from contextrast.contrast import ContextrastLoss, CrossEntropyLoss
from contextrast.contrast.peers import MultiscaleLoss
from contextrast.errors import ConfigError
from tests.contrast.cases import LOSSES, loss_of_file

N, CHANNELS, SIZES, BATCH, SIDE = 3, (5, 4, 3, 2), (8, 4, 2, 1), 2, 16
BASES_ALONE = ("ce",)


def inputs():
    generator = torch.Generator().manual_seed(0)
    return {
        "logits": torch.randn(BATCH, N, SIDE, SIDE, generator=generator),
        "target": torch.randint(N, (BATCH, SIDE, SIDE), generator=generator),
        "features": [
            torch.randn(BATCH, channels, side, side, generator=generator)
            for channels, side in zip(CHANNELS, SIZES, strict=True)
        ],
    }


def relabelled(label):
    def change(target):
        target = target.clone()
        target[0, 0, 0] = label
        return target

    return change


def of_one(change):
    """A change of the second of the features."""
    return lambda features: [features[0], change(features[1]), *features[2:]]


# What is wrong: the argument, what is done to it, and what the sentence says of it.
WRONG = {
    "logits of more classes": ("logits", lambda x: torch.cat([x, x], 1), r"num_classes=3, got \[2, 6, 16, 16\]"),
    "logits of one class": ("logits", lambda x: x[:, :1], "num_classes=3"),
    "one image's logits": ("logits", lambda x: x[0], r"logits must be \[B, N, H, W\]"),
    "flat logits": ("logits", lambda x: x.flatten(2), r"logits must be \[B, N, H, W\]"),
    "no logits": ("logits", lambda x: x[:0], "logits must be"),
    "a mapping of logits": ("logits", lambda x: {"out": x}, "logits must be .* got a dict"),
    "labels as logits": ("logits", lambda x: x.long(), "logits must have a floating dtype"),
    "coarse logits": ("logits", lambda x: x[:, :, ::4, ::4], r"target must be \[B, H, W\] = \[2, 4, 4\]"),
    "logits of other images": ("logits", lambda x: x[:1], r"target must be \[B, H, W\] = \[1, 16, 16\]"),
    "logits elsewhere": ("logits", lambda x: x.to("meta"), "target must be on the logits' device meta"),
    "a coarse target": ("target", lambda x: x[:, ::2, ::2], "target must be"),
    "a target with channels": ("target", lambda x: x[:, None], "target must be"),
    "a target of one image": ("target", lambda x: x[:1], "target must be"),
    "a transposed target": ("target", lambda x: x[:, :, :8], "target must be"),
    "no target": ("target", lambda _: None, "target must be"),
    "an array": ("target", lambda x: x.numpy(), "target must be .* a ndarray"),
    "a float target": ("target", lambda x: x.float(), "integer dtype"),
    "a boolean target": ("target", lambda x: x > 0, "integer dtype"),
    "a target elsewhere": ("target", lambda x: x.to("meta"), "target must be on the logits' device cpu"),
    "a label N": ("target", relabelled(N), "labels 0 to 2, or the ignore_index 255, got 3"),
    "a negative label": ("target", relabelled(-1), "got -1"),
    "torch's ignored label": ("target", relabelled(-100), "got -100"),
    "another ignored label": ("target", lambda x: relabelled(254)(x.to(torch.uint8)), "got 254"),
}
WRONG_FEATURES = {
    "too few maps": (lambda f: f[:3], "4 maps with the channels"),
    "too many maps": (lambda f: [*f, f[-1]], "4 maps with the channels"),
    "no maps": (lambda _: [], "4 maps with the channels"),
    "the other way round": (lambda f: f[::-1], r"\[5, 4, 3, 2\] .* got 4 with \[2, 3, 4, 5\]"),
    "another width": (of_one(lambda x: x[:, :2]), r"got 4 with \[5, 2, 3, 2\]"),
    "a tensor": (lambda f: f[0], "features must be a list"),
    "a mapping": (lambda f: dict(enumerate(f)), "features must be a list"),
    "None among them": (of_one(lambda _: None), r"features\[1\] must be \[B, C, H, W\]"),
    "another batch": (of_one(lambda x: x[:1]), r"features\[1\] must be of the logits' batch of 2"),
    "tokens": (of_one(lambda x: x.flatten(2)), r"features\[1\] must be \[B, C, H, W\]"),
    "an empty map": (of_one(lambda x: x[:, :, :0]), r"features\[1\] must be"),
    "integers": (of_one(lambda x: x.long()), r"features\[1\] must have a floating dtype"),
    "a map elsewhere": (of_one(lambda x: x.to("meta")), r"features\[1\] must be on the loss's device cpu"),
}  # fmt: skip


def refused(loss, arguments, words):
    with pytest.raises(ConfigError, match=words) as caught:
        loss(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert not message.endswith(".")  # one sentence, which what reports it goes on with or ends
    assert ". " not in message


@pytest.mark.parametrize("name", LOSSES)
def test_wrong_logits_and_targets_are_refused(name):
    loss = loss_of_file(name, N, CHANNELS)
    assert loss(**inputs()).total.isfinite()
    for argument, change, words in WRONG.values():
        arguments = inputs()
        arguments[argument] = change(arguments[argument])
        refused(loss, arguments, words)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(BASES_ALONE)))
def test_wrong_features_are_refused(name):
    loss = loss_of_file(name, N, CHANNELS)
    for change, words in WRONG_FEATURES.values():
        arguments = inputs()
        arguments["features"] = change(arguments["features"])
        refused(loss, arguments, words)


shape = st.lists(st.integers(0, 5), min_size=0, max_size=5)
dtypes = st.sampled_from([torch.float32, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool])


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_error_comes_from_inside(name, data):
    """Anything at all in place of one argument is taken, or refused by name."""
    loss = loss_of_file(name, N, CHANNELS).eval()  # batch norm cannot train on one value per channel
    arguments = inputs()
    argument = data.draw(st.sampled_from([*arguments, 0, 1, 2, 3]))
    right = arguments["features"][argument] if isinstance(argument, int) else arguments[argument]
    sides = (2, 5, 4, 4) if argument == "features" else right.shape
    near = st.tuples(*(st.sampled_from([side, side, side, 1, side + 1, 0]) for side in sides))
    value = (torch.rand(data.draw(st.one_of(near, shape))) * 5 - 1).to(data.draw(dtypes))
    if isinstance(argument, int):
        arguments["features"][argument] = value
    else:
        arguments[argument] = [value] * data.draw(st.integers(0, 5)) if argument == "features" else value
    message = ""
    try:
        loss(**arguments)
    except ConfigError as error:
        message = str(error)
    assert not message or any(word in message for word in arguments)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_every_integer_dtype_of_labels_gives_the_same(name, dtype):
    arguments = inputs()
    expected = loss_of_file(name, N, CHANNELS)(**arguments)
    arguments["target"] = arguments["target"].to(dtype)
    torch.testing.assert_close(dict(loss_of_file(name, N, CHANNELS)(**arguments)), dict(expected), rtol=0, atol=0)


@pytest.mark.parametrize("make", [ContextrastLoss, MultiscaleLoss, CrossEntropyLoss])
def test_without_an_ignored_label_none_is_taken(make):
    loss = make(N, CHANNELS, ignore_index=None)
    arguments = inputs()
    assert loss(**arguments).total.isfinite()
    for label in (255, -100):
        refused(loss, {**arguments, "target": relabelled(label)(arguments["target"])}, f"labels 0 to 2, got {label}")


def test_a_base_that_ignores_another_label_is_refused():
    with pytest.raises(ConfigError, match=r"base\.cross_entropy_loss must have the ignore_index 255 .* got -100"):
        ContextrastLoss(N, CHANNELS, base=nn.CrossEntropyLoss())
    ContextrastLoss(N, CHANNELS, base=nn.CrossEntropyLoss(), ignore_index=-100)


def test_a_loss_on_another_device_is_refused():
    loss = ContextrastLoss(N, CHANNELS).to("meta")
    refused(loss, inputs(), "logits must be on the loss's device meta, got cpu")


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_loss_looks_at_the_labels_without_a_break(backend):
    torch.compiler.reset()
    loss, arguments = loss_of_file("contextrast", N, CHANNELS), inputs()
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    torch.testing.assert_close(dict(compiled(**arguments)), dict(loss(**arguments)))
    with pytest.raises(RuntimeError, match="labels 0 to 2, or the ignore_index 255"):
        compiled(**{**arguments, "target": relabelled(7)(arguments["target"])})


def test_labels_are_looked_at_without_a_value_on_the_host():
    """A tensor of the device meta has no values, so that reading one would fail."""
    loss = CrossEntropyLoss(N).to("meta")
    arguments = inputs()
    assert loss(arguments["logits"].to("meta"), arguments["target"].to("meta")).total.device.type == "meta"
