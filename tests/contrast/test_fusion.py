"""Every fusion against a slow reference, class by class, and what all of them have in common."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.benchmarks.operations import Operations
from contextrast.config import instantiate
from contextrast.contrast.fusion import (
    AdaptiveFusion,
    ConcatMlpFusion,
    CrossAttentionFusion,
    GatedChannelFusion,
    GatedScalarFusion,
    MultiHeadFusion,
    StaticFusion,
    SumMlpFusion,
    WeightedSumFusion,
)
from contextrast.errors import ConfigError
from tests.conftest import choices

LEARNED = {
    "concat_mlp": ConcatMlpFusion,
    "multi_head": MultiHeadFusion,
    "cross_attention": CrossAttentionFusion,
    "weighted_sum": WeightedSumFusion,
    "sum_mlp": SumMlpFusion,
    "gated_scalar": GatedScalarFusion,
    "gated_channel": GatedChannelFusion,
    "adaptive": AdaptiveFusion,
}
ATTENTION = ("multi_head", "cross_attention", "adaptive")

every_learned = pytest.mark.parametrize("name", LEARNED)
every_fusion = pytest.mark.parametrize("name", ["static", *LEARNED])


def build(name, num_stages=3, dim=8, **options):
    if name == "static":
        return StaticFusion(0.3, 0.7)
    if name == "multi_head":
        options.setdefault("num_heads", 2)
    return LEARNED[name](num_stages, dim, **options)


def scrambled(fusion, seed, spread=1.0):
    """The fusion in float64 with random parameters: none of what the initialisation happens to make equal."""
    generator = torch.Generator().manual_seed(seed)
    fusion = fusion.double()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.normal_(0, spread, generator=generator)
    return fusion


def make(seed, num_stages=3, num_classes=5, dim=8, absent=0.4, dtype=torch.float64):
    """Anchors and counts as the loss makes them: zero where a class does not occur."""
    generator = torch.Generator().manual_seed(seed)
    size = (num_stages, num_classes)
    present = torch.rand(size, generator=generator) >= absent
    counts = torch.randint(1, 50, size, generator=generator) * present
    anchors = torch.nn.functional.normalize(torch.randn(*size, dim, generator=generator, dtype=dtype), dim=2)
    anchors = anchors * (0.3 + 0.7 * torch.rand(*size, 1, generator=generator, dtype=dtype)) * present.unsqueeze(2)
    return list(anchors), list(counts.to(dtype))


# The reference: one stage and one class at a time, with explicit matrices.


def softmax(values):
    shifted = np.exp(values - values.max())
    return shifted / shifted.sum()


def linear(state, name, x):
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def attend(state, name, anchor, context, heads=1):
    q, k, v = (
        linear(state, f"{name}.{part}", x) for part, x in (("query", anchor), ("key", context), ("value", context))
    )
    size, mixed = len(q) // heads, []
    for h in range(heads):
        own = slice(h * size, (h + 1) * size)
        matrix = np.array([softmax(q_i * k[own] / np.sqrt(size)) for q_i in q[own]])  # D/h × D/h
        mixed.append(matrix @ v[own])
    return np.concatenate(mixed)


def fuse_one(name, state, i, own, deepest):
    both = np.concatenate([deepest, own])
    if name == "static":
        return 0.3 * own + 0.7 * deepest
    if name == "weighted_sum":
        low, high = softmax(state[f"logits.{i}"])
        return low * own + high * deepest
    if name.startswith("gated"):
        gate = 1 / (1 + np.exp(-linear(state, f"gates.{i}", both)))
        return gate * own + (1 - gate) * deepest
    if name == "sum_mlp":
        return np.tanh(linear(state, f"mlps.{i}.0", own + deepest))
    if name in ATTENTION:
        pairs = ((deepest, own), (own, deepest)) if name == "cross_attention" else ((deepest, deepest), (own, own))
        parts = zip((f"deepest_attentions.{i}", f"own_attentions.{i}"), pairs)
        both = np.concatenate(
            [attend(state, part, *pair, heads=2 if name == "multi_head" else 1) for part, pair in parts]
        )
    return np.tanh(linear(state, f"mlps.{i}.0", both))


def reference(name, fusion, anchors, counts):
    state = {key: value.numpy() for key, value in fusion.state_dict().items()}
    fused = [anchor.numpy().copy() for anchor in anchors]
    for i in range(len(anchors) - 1):
        for n in range(len(counts[i])):
            if counts[i][n] > 0 and counts[-1][n] > 0:
                fused[i][n] = fuse_one(name, state, i, anchors[i][n].numpy(), anchors[-1][n].numpy())
    return [torch.from_numpy(anchor) for anchor in fused]


@every_fusion
@given(
    seed=st.integers(0, 10**6),
    num_stages=st.integers(1, 4),
    num_classes=st.integers(1, 6),
    dim=st.sampled_from([2, 4, 10]),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
)
@settings(max_examples=15, deadline=None)
def test_fusion_is_the_reference(name, seed, num_stages, num_classes, dim, spread):
    anchors, counts = make(seed, num_stages, num_classes, dim)
    fusion = scrambled(build(name, num_stages, dim), seed, spread)
    with torch.no_grad():
        fused = fusion(anchors, counts)
    torch.testing.assert_close(fused, reference(name, fusion, anchors, counts), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("adaptive", 526_080),
        ("multi_head", 526_080),
        ("cross_attention", 526_080),
        ("concat_mlp", 131_328),
        ("gated_channel", 131_328),
        ("sum_mlp", 65_792),
        ("gated_scalar", 513),
        ("weighted_sum", 2),
    ],
)
def test_parameters_of_the_three_modules(name, parameters):
    """HRNet-W48 grows from 66.24 M with static fusion to 67.82 M with adaptive fusion, 1.578 M."""
    assert sum(p.numel() for p in LEARNED[name](num_stages=4).parameters()) == 3 * parameters


@every_fusion
def test_classes_missing_from_a_stage_or_the_deepest_keep_their_anchors_to_the_bit(name):
    anchors, counts = make(1, num_classes=12, dtype=torch.float32)
    fused = build(name)(anchors, counts)
    torch.testing.assert_close(fused[-1], anchors[-1], rtol=0, atol=0)
    for own, out, count in zip(anchors[:-1], fused[:-1], counts[:-1]):
        kept = (count == 0) | (counts[-1] == 0)
        assert kept.any()
        assert (out[kept] == own[kept]).all()
        assert (out[~kept] != own[~kept]).any(1).all()


@every_fusion
def test_gradient_flows_where_anchors_are_fused_and_only_there(name):
    anchors, counts = make(2, num_classes=12)
    fusion = scrambled(build(name), 2)
    inputs = [anchor.requires_grad_() for anchor in anchors]
    weights = [torch.randn_like(anchor) for anchor in anchors[:-1]]
    sum((weight * out).sum() for weight, out in zip(weights, fusion(inputs, counts))).backward()
    both = torch.stack(counts[:-1]).bool() & counts[-1].bool()
    assert (inputs[-1].grad[both.any(0)] != 0).any(1).all()
    assert (inputs[-1].grad[~both.any(0)] == 0).all()
    for own, weight, fused in zip(inputs, weights, both):
        assert (own.grad[fused] != 0).any(1).all()
        assert (own.grad[~fused] == weight[~fused]).all()
    for key, parameter in fusion.named_parameters():
        assert parameter.grad.abs().sum() > 0, key


@every_fusion
@pytest.mark.parametrize("missing", ["everywhere", "from the deepest stage", "from the shallow stages"])
def test_where_nothing_is_fused_all_is_finite_and_parameters_get_zero(name, missing):
    anchors, counts = make(3, absent=0.0, dtype=torch.float32)
    gone = {"everywhere": range(3), "from the deepest stage": [2], "from the shallow stages": [0, 1]}[missing]
    for stage in gone:
        anchors[stage], counts[stage] = torch.zeros_like(anchors[stage]), torch.zeros_like(counts[stage])
    inputs = [anchor.requires_grad_() for anchor in anchors]
    fusion = build(name)
    fused = fusion(inputs, counts)
    torch.testing.assert_close(fused, anchors, rtol=0, atol=0)
    torch.stack(fused).sum().backward()
    assert all((anchor.grad == 1).all() for anchor in inputs)
    assert all((parameter.grad == 0).all() for parameter in fusion.parameters())


@every_learned
def test_gradient_is_the_finite_difference(name):
    anchors, counts = make(4, num_stages=2, num_classes=3, dim=4, absent=0.2)
    fusion = scrambled(build(name, 2, 4), 4)
    names, parameters = zip(*fusion.named_parameters())

    def call(own, deepest, *values):
        return torch.func.functional_call(fusion, dict(zip(names, values)), ([own, deepest], counts))[0]

    inputs = [tensor.detach().requires_grad_() for tensor in (*anchors, *parameters)]
    assert torch.autograd.gradcheck(call, inputs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["adaptive", "multi_head", "weighted_sum"])  # one of each kind of module
def test_compiled_in_one_graph_it_is_the_same(name):
    anchors, counts = make(5, num_stages=2)
    fusion = scrambled(build(name, 2), 5)
    results = []
    for function in (fusion, torch.compile(fusion, fullgraph=True, backend="eager")):
        inputs = [anchor.clone().requires_grad_() for anchor in anchors]
        fused = function(inputs, counts)
        results.append((*fused, *torch.autograd.grad(fused[0].square().sum(), inputs)))
    torch.testing.assert_close(results[0], results[1])


@every_fusion
def test_no_host_reads(name):
    anchors, counts = make(6, dtype=torch.float32)
    fusion = build(name)
    inputs = [anchor.requires_grad_() for anchor in anchors]
    with Operations() as operations:
        torch.stack(fusion(inputs, counts)).sum().backward()
    assert len(operations.names) > 10
    assert not operations.host_reads()


@every_learned
def test_half_precision_is_computed_in_float32(name):
    anchors, counts = make(7, dtype=torch.float32)
    fusion = build(name)
    expected = fusion(anchors, counts)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fusion(anchors, counts), expected, rtol=0, atol=0)
    fusion = fusion.bfloat16()
    for inputs, tolerance in ((anchors, 0.01), ([anchor.bfloat16() for anchor in anchors], 0.05)):
        fused = fusion(inputs, counts)
        torch.testing.assert_close(fused, expected, rtol=tolerance, atol=tolerance)
        torch.stack(fused).sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())


@every_learned
def test_training_starts_close_to_the_mean_with_classes_apart(name):
    torch.manual_seed(0)
    anchors, counts = make(8, num_stages=2, num_classes=19, dim=256, absent=0.0, dtype=torch.float32)
    with torch.no_grad():
        start = LEARNED[name](num_stages=2)(anchors, counts)[0]
    mean = StaticFusion(0.5, 0.5)(anchors, counts)[0]
    similarity = torch.cosine_similarity(start, mean)
    assert similarity.mean() > 0.9
    assert similarity.min() > 0.5  # two short anchors of very different length
    unit = torch.nn.functional.normalize(start, dim=1)
    assert (unit @ unit.T).fill_diagonal_(0).abs().max() < 0.5


@pytest.mark.parametrize("name", ATTENTION)
def test_no_matrix_between_channels_is_kept_for_backward(name):
    anchors, counts = make(9, num_stages=2, num_classes=19, dim=64, dtype=torch.float32)
    inputs = [anchor.requires_grad_() for anchor in anchors]
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        build(name, 2, 64)(inputs, counts)
    assert 19 * 64 in sizes
    assert max(sizes) <= 6 * 64 * 64 < 19 * 64 * 64  # the attentions' weights


@every_learned
@pytest.mark.parametrize(
    ("shape", "words"), [({"dim": 6}, ["D = 6", "embedding_dim=8"]), ({"num_stages": 4}, ["4 stages", "num_stages=3"])]
)
def test_anchors_that_do_not_fit_are_refused(name, shape, words):
    with pytest.raises(ConfigError) as error:
        build(name)(*make(0, **shape))
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("build_it", "word"),
    [
        (lambda: StaticFusion(0.5, 0.6), "sum to one"),
        (lambda: StaticFusion(-0.5, 1.5), "non-negative"),
        (lambda: WeightedSumFusion(0), "num_stages=0"),
        (lambda: AdaptiveFusion(3, 0), "embedding_dim=0"),
        (lambda: MultiHeadFusion(3, 8, num_heads=3), "num_heads.*embedding_dim=8.*3"),
        (lambda: MultiHeadFusion(3, 8, num_heads=0), "num_heads"),
    ],
)
def test_options_out_of_range_are_refused(build_it, word):
    with pytest.raises(ConfigError, match=word):
        build_it()


def test_every_fusion_has_a_configuration_that_builds_it(composed):
    assert {*choices("loss/fusion")} == {"static", *LEARNED}
    for name, kind in {"static": StaticFusion, **LEARNED}.items():
        fusion = instantiate(composed("train", f"loss/fusion={name}").loss.fusion)
        assert type(fusion if name == "static" else fusion(num_stages=2, embedding_dim=16)) is kind
