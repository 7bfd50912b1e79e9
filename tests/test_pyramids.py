"""BiFPN and its relatives, node by node against the paper's equations, and that their weights train and are saved."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tdt4265.models import BiFPN
from tdt4265.models.pyramids import BiFPNLayer, BothWays, Fusion, TopDown, dense_conv, separable_conv, twice_one_by_one

SIZES = [(16, 32), (8, 16), (4, 8), (2, 4)]


def features(channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, channels, *size, generator=generator) for size in SIZES]


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def down(x):
    return F.max_pool2d(x, 2)


def fast(weights, *inputs):
    positive = [max(w, 0.0) for w in weights]
    return sum(w * x for w, x in zip(positive, inputs, strict=True)) / (sum(positive) + 1e-4)


@pytest.mark.parametrize(
    ("kind", "shares"),
    [("fast", [2 / 3.0001, 0.0, 1 / 3.0001]), ("softmax", torch.tensor([2.0, -3, 1]).softmax(0).tolist())],
)
def test_shares_of_a_fusion(kind, shares):
    fusion = Fusion(3, kind)
    with torch.no_grad():
        fusion.weight.copy_(torch.tensor([2.0, -3, 1]))
    torch.testing.assert_close(fusion.shares(), torch.tensor(shares))
    inputs = [torch.full((1, 2, 2), value) for value in (1.0, 10.0, 100.0)]
    wanted = shares[0] + 10 * shares[1] + 100 * shares[2]
    torch.testing.assert_close(fusion(*inputs), torch.full((1, 2, 2), wanted))


def test_a_plain_sum_has_no_weights():
    assert not list(Fusion(2, "sum").parameters()) and Fusion(2, "sum").shares() is None
    assert Fusion(2, "sum")(torch.tensor(1.0), torch.tensor(2.0)) == 3
    with pytest.raises(ValueError, match=r"fusion is 'mean': it is .* or .untrained."):
        Fusion(2, "mean")


def test_bifpn_is_that_of_the_paper():
    """Section 3.3's equations for P6, written out for each of four levels; a node's convolution doubles its input."""
    layer = BiFPNLayer(4, lambda: Double(), "fast")
    w = {}
    with torch.no_grad():
        for name, fusion in layer.named_modules():
            if isinstance(fusion, Fusion):
                fusion.weight.copy_(torch.rand(len(fusion.weight)))
                w[name] = fusion.weight.tolist()
    p = features()
    td2 = 2 * fast(w["fuse_down.1"], p[2], up(p[3]))
    td1 = 2 * fast(w["fuse_down.0"], p[1], up(td2))
    out0 = 2 * fast(w["fuse_up.0"], p[0], up(td1))
    out1 = 2 * fast(w["fuse_up.1"], p[1], td1, down(out0))
    out2 = 2 * fast(w["fuse_up.2"], p[2], td2, down(out1))
    out3 = 2 * fast(w["fuse_up.3"], p[3], down(out2))
    torch.testing.assert_close(layer(p), [out0, out1, out2, out3])


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


def test_a_repeated_top_down_path_and_both_ways():
    p = features()
    top_down = TopDown(4, nn.Identity, "sum")(p)
    wanted = [p[3]]
    for x in (p[2], p[1], p[0]):
        wanted.insert(0, x + up(wanted[0]))
    torch.testing.assert_close(top_down, wanted)
    both = BothWays(4, nn.Identity, "sum")(p)
    wanted_up = [wanted[0]]
    for x in wanted[1:]:
        wanted_up.append(x + down(wanted_up[-1]))
    torch.testing.assert_close(both, wanted_up)


@pytest.mark.parametrize("layer", [BiFPNLayer, BothWays, TopDown])
def test_every_level_hears_of_those_that_its_paths_reach(layer):
    """After one layer the finest level knows the coarsest; the coarsest knows the finest where there is a way up."""
    pyramid = BiFPN([3, 4, 5, 6], 8, layer=layer, layers=1).eval()
    p = [torch.rand(1, c, *size, requires_grad=True) for c, size in zip([3, 4, 5, 6], SIZES, strict=True)]
    out = pyramid(p)
    assert [x.shape for x in out] == [(1, 8, *size) for size in SIZES] and pyramid.out_channels == [8] * 4
    assert torch.autograd.grad(out[0].sum(), p[3], retain_graph=True)[0].any()
    (back,) = torch.autograd.grad(out[3].sum(), p[0], allow_unused=True)
    assert (back is not None and bool(back.any())) == (layer is not TopDown)


def test_sides_that_are_no_power_of_two():
    p = [torch.rand(1, 2, *size) for size in [(9, 13), (5, 7), (3, 4), (2, 2)]]
    assert [x.shape[-2:] for x in BiFPN([2] * 4, 8)(p)] == [(9, 13), (5, 7), (3, 4), (2, 2)]


def test_the_weights_train_and_are_saved():
    torch.manual_seed(0)
    pyramid = BiFPN([1] * 4, 8)
    before = {name: value.clone() for name, value in pyramid.state_dict().items()}
    optimizer = torch.optim.SGD(pyramid.parameters(), lr=0.1)
    sum((x**2).mean() for x in pyramid(features())).backward()
    optimizer.step()
    weights = [name for name in before if "fuse" in name]
    assert len(weights) == 3 * (2 + 4)
    assert all((pyramid.state_dict()[name] != before[name]).any() for name in weights)
    other = BiFPN([1] * 4, 8)
    other.load_state_dict(pyramid.state_dict())
    torch.testing.assert_close(other.eval()(features()), pyramid.eval()(features()))


def test_the_reports_weights_neither_train_nor_survive():
    torch.manual_seed(0)
    pyramid = BiFPN([8] * 4, 8, fusion="untrained", block=twice_one_by_one)
    assert not [name for name in pyramid.state_dict() if "fuse" in name]
    reloaded = BiFPN([8] * 4, 8, fusion="untrained", block=twice_one_by_one)
    reloaded.load_state_dict(pyramid.state_dict())
    inputs = features(8)
    one, other = pyramid.eval()(inputs), reloaded.eval()(inputs)
    assert any((a - b).abs().max() > 0.01 for a, b in zip(one, other, strict=True))


def test_the_reports_layer_has_its_parameters():
    with torch.device("meta"):
        pyramid = BiFPN([128] * 6, 128, layers=3, fusion="untrained", block=twice_one_by_one)
    assert sum(p.numel() for p in pyramid.parameters()) == 998_400


def test_a_separable_convolution_costs_a_ninth():
    def count(block):
        return sum(p.numel() for p in block(64, nn.Identity).parameters())

    assert count(dense_conv) == 9 * 64 * 64 and count(separable_conv) == 9 * 64 + 64 * 64
