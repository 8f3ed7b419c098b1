"""Identity-preserving fine-tuning on models that are not ours: what is refused, what is proven, what is named."""

import copy
import math

import pytest
import torch
from torch import nn

from sceneminer.model.identity import (
    IdentityBroken,
    Upgraded,
    check_optimiser,
    isolate,
    isolated,
    named,
    prove,
    zero_last,
)
from sceneminer.model.snapshot import compare, same_bits, snapshot


class Net(nn.Module):
    """A trunk with statistics and dropout, an old head, and a new one that may read or write anywhere."""

    def __init__(self, wire: str = "private"):
        super().__init__()
        torch.manual_seed(0)
        self.wire = wire
        self.trunk, self.norm, self.drop = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)
        self.old, self.adapter, self.new = nn.Linear(6, 3), nn.Linear(6, 6), nn.Linear(6, 2)
        with torch.no_grad():
            self.norm(torch.randn(8, 6))

    def forward(self, x: torch.Tensor) -> dict[str, object]:
        stream = self.drop(self.norm(self.trunk(x)))
        added = self.adapter(stream)
        if self.wire == "sum":
            stream = stream + added
        elif self.wire == "detach":
            stream = stream + added.detach()
        elif self.wire == "indices":
            stream = stream[:, added.sum(0).argsort()]
        new = self.new(stream + added)
        return {"old": (self.old(stream), {"sure": self.old(stream).softmax(-1)}), "new": new}


X = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


def siblings(net: Net):
    return lambda: {"old": net(X)["old"]}


def test_training_a_private_head_moves_nothing_else():
    net = Net()
    before = snapshot(net.eval()(X)["old"])
    with isolated(net, [net.adapter, net.new]) as private:
        optimiser = torch.optim.AdamW(private, lr=0.1)
        check_optimiser(optimiser, private)
        proof = prove(siblings(net), named(private, net), within=net)
        for _ in range(5):
            optimiser.zero_grad()
            net(X)["new"].square().sum().backward()
            optimiser.step()
    assert compare(before, snapshot(net(X)["old"])) == ()
    assert proof.parameters == ("adapter.weight", "adapter.bias", "new.weight", "new.bias")
    assert net.new.weight.grad is not None and bool(net.adapter.weight.grad.any())


@pytest.mark.parametrize("wire", ["sum", "detach", "indices"])
def test_a_new_module_upstream_of_a_sibling_is_caught_and_named(wire):
    net = Net(wire)
    private = isolate(net, [net.adapter, net.new])
    with pytest.raises(IdentityBroken, match=r"found that old\.0 moved by up to .* with adapter") as caught:
        prove(siblings(net), named(private, net), within=net)
    leaks = caught.value.leaks
    assert {leak.parameter for leak in leaks} == {"adapter.weight", "adapter.bias"}
    if wire == "sum":
        assert leaks[0].path[:3] == ("Addmm", "Add", "Addmm") and "old.0 <- Addmm <- Add <- Addmm" in str(leaks[0])
    else:
        assert leaks[0].path is None and "look for detach, no_grad, indices" in str(caught.value)


def test_what_hides_behind_a_zero_projection_is_caught_too():
    net = Net("sum")
    net.adapter = nn.Sequential(nn.Linear(6, 6), zero_last(nn.Linear(6, 6, bias=False)))
    private = isolate(net, [net.adapter[0]])
    proof = prove(siblings(net), named(private, net), within=net)  # alone it moves nothing behind zeros
    assert proof.trials == 3 + 2 + 2
    private = isolate(net, [net.adapter])
    with pytest.raises(IdentityBroken, match=r"adapter\.1\.weight"):
        prove(siblings(net), named(private, net), within=net)


def test_two_tensors_that_only_leak_together_are_caught():
    gain, shift = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    with pytest.raises(IdentityBroken, match="gain") as caught:
        prove(lambda: torch.ones(3) + gain * shift, {"gain": gain, "shift": shift})
    assert {leak.parameter for leak in caught.value.leaks} == {"gain", "shift"}
    assert not bool(gain.any()) and not bool(shift.any())


def test_perturbed_tensors_are_put_back_bit_for_bit_and_randomness_is_left_alone():
    net = Net("sum")
    private = isolate(net, [net.adapter])
    with torch.no_grad():
        net.adapter.bias[:2] = torch.tensor([-0.0, 1e-45])
    before, state = snapshot(dict(net.state_dict())), torch.get_rng_state()
    with pytest.raises(IdentityBroken):
        prove(siblings(net), named(private, net), within=net)
    assert compare(before, snapshot(dict(net.state_dict()))) == ()
    assert torch.equal(state, torch.get_rng_state())


def test_statistics_and_dropout_in_train_mode_are_named():
    net = Net()
    private = isolate(net, [net.new])
    net.norm.train()
    with pytest.raises(IdentityBroken, match=r"norm\.running_mean.*statistics in train mode"):
        prove(siblings(net), named(private, net), within=net)
    private = isolate(net, [net.new])
    net.drop.train()
    with pytest.raises(IdentityBroken, match="dropout or other randomness"):
        prove(siblings(net), named(private, net), within=net)


def test_leaving_says_what_moved_meanwhile():
    net = Net()

    def train(change):
        with isolated(net, [net.new]):
            change()

    with pytest.raises(IdentityBroken, match=r"found norm\.running_mean, norm\.running_var.* changed"):
        train(lambda: (net.train(), net(X)))
    with pytest.raises(IdentityBroken, match=r"found old\.bias changed"):
        train(lambda: net.old.bias.data.add_(1e-6))
    with pytest.raises(IdentityBroken, match=r"want a gradient, found trunk\.weight, trunk\.bias"):
        train(lambda: net.trunk.requires_grad_(True))
    with pytest.raises(IdentityBroken, match=r"eval mode .* found drop in train mode"):
        train(lambda: net.drop.train())


def test_an_optimiser_with_anything_else_is_refused():
    net = Net()
    private = isolate(net, [net.new])
    check_optimiser(torch.optim.AdamW(private), private)
    with pytest.raises(IdentityBroken, match=r"only the 2 private parameters .* found 8 more"):
        check_optimiser(torch.optim.AdamW(net.parameters()), private)


def tie(net: Net, how: str) -> list:
    if how == "weight":
        net.new.weight = net.old.weight
    elif how == "module":
        net.again = net.new
    elif how == "part":
        net.adapter, net.again = nn.Sequential(net.adapter), net.adapter
        return [net.adapter]
    elif how == "outside":
        return [nn.Sequential(net.old, nn.Linear(3, 2))]
    elif how == "view":
        net.new.weight = nn.Parameter(net.old.weight.data[:2])
    elif how == "buffer":
        net.register_buffer("copy", net.new.weight.data.T)
    elif how == "attribute":
        net.cached = net.new.bias.data
    elif how == "parameter":
        net.new.weight = net.old.weight
        return [net.new.weight]
    return [net.new]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("weight", r"to share old\.weight"),
        ("module", "one place .* found new, again to be the same"),
        ("part", "one place .* found again to be part of it"),
        ("outside", "one place .* found old to be part of it"),
        ("view", r"found new\.weight to share old\.weight"),
        ("buffer", r"found new\.weight to share copy"),
        ("attribute", r"found new\.bias to share cached"),
        ("parameter", r"one place .* found old\.weight, new\.weight"),
    ],
)
def test_a_private_parameter_that_is_also_somebody_elses_is_refused(how, says):
    net = Net()
    private = tie(net, how)
    with pytest.raises(ValueError, match=says):
        isolate(net, private)
    assert all(p.requires_grad for p in net.parameters())  # nothing was done


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="expected private parameters to train, found none"):
        isolate(Net(), [])
    with pytest.raises(ValueError, match="expected a linear layer or convolution in GELU, found none"):
        zero_last(nn.GELU())


def test_isolation_leaves_one_thing_to_train_in_eval_mode():
    net = Net().train()
    private = isolate(net, [net.new, net.adapter.bias])
    assert [p for p in net.parameters() if p.requires_grad] == [net.adapter.bias, *net.new.parameters()]
    assert {id(p) for p in private} == {id(p) for p in net.parameters() if p.requires_grad}
    assert not any(part.training for part in net.modules())
    isolate(net, [net.new], train_private=True)
    assert [part for part in net.modules() if part.training] == [net.new]


class Odd(nn.Module):
    """Gives every kind of number whose bits a sum could change."""

    def forward(self, x):
        return torch.tensor([[-0.0, 0.0, math.inf, -math.inf, math.nan, 1e-45, -1.5]]).expand(len(x), -1)


def test_an_upgraded_head_starts_as_the_old_one_bit_for_bit_and_learns():
    addition = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 7))
    for sign in (0.0, -0.0):
        upgraded = Upgraded(Odd(), copy.deepcopy(addition))
        with torch.no_grad():
            upgraded.addition[2].bias.fill_(sign)
        assert same_bits(upgraded(X), Odd()(X))
    old = nn.Linear(4, 7)
    upgraded = Upgraded(old, addition).train()
    assert same_bits(upgraded(X), old(X)) and not upgraded.old.training and upgraded.addition.training
    upgraded(X).square().sum().backward()
    assert bool(upgraded.addition[2].weight.grad.any()) and old.weight.grad is None
    with torch.no_grad():
        upgraded.addition[2].weight.fill_(0.25)
    assert torch.equal(upgraded(X), old(X) + upgraded.addition(X))


def test_a_comparison_says_where_and_how_far():
    a = {"x": torch.zeros(2, 3), "y": [torch.tensor(1.0), None], "z": torch.tensor([-0.0])}
    assert compare(snapshot(a), snapshot(copy.deepcopy(a))) == ()
    b = {"x": torch.zeros(2, 3), "y": [torch.tensor(1.0).half()], "z": torch.tensor([0.0]), "w": torch.ones(1)}
    b["x"][1, 2] = 0.5
    found = {moved.name: moved for moved in compare(snapshot(a), snapshot(b))}
    assert found["x"].max_abs == 0.5 and found["x"].found == "moved by up to 0.5, first at [1, 2]"
    assert found["y.0"].found == "was float32 [], is float16 []"
    assert found["z"].max_abs == 0.0 and "-0.0 and 0.0" in found["z"].found
    assert found["w"].found == "is new" and list(found) == ["x", "y.0", "z", "w"]
    with pytest.raises(ValueError, match=r"expected tensors in y\.1, found str"):
        snapshot({"y": [torch.ones(1), "no"]})
