"""Co-teaching and JoCoR: what is kept, of which class, by which unit, and what couples the two networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from segnoise.errors import UserError
from segnoise.methods import Channel, Context, Objective, Output
from segnoise.methods.small_loss import SmallLoss

METHODS = ["co_teaching", "jocor"]


def logits_and_labels(classes=3, seed=0, shape=(2, 16, 12), shares=None):
    g = torch.Generator().manual_seed(seed)
    shares = torch.ones(classes) if shares is None else torch.tensor(shares)
    mask = torch.multinomial(shares, math.prod(shape), replacement=True, generator=g).view(shape)
    return torch.randn(shape[0], classes, *shape[1:], generator=g), mask


def taught(method, batches, classes=3, **options):
    """An objective that has seen batches of ``(logits of one network, of the other, labels)``."""
    objective = Objective([{"name": method, **options}], classes)
    for first, second, mask in batches:
        objective.observe([Output(first), Output(second)], {"mask": mask}, [], Context())
    return objective


@pytest.mark.parametrize("method", METHODS)
def test_equal_networks_keep_the_same_pixels(method):
    z, mask = logits_and_labels()
    objective = taught(method, [(z, z, mask)], forget=0.4)
    first, second = objective([Output(z), Output(z)], {"mask": mask}).supervision
    assert torch.equal(first.weight, second.weight)
    assert 0.5 < float((first.weight > 0).float().mean()) < 0.7


def test_co_teaching_that_forgets_nothing_is_two_networks():
    z, mask = logits_and_labels()
    other, _ = logits_and_labels(seed=1)
    mask[0, :3] = 255
    objective = taught("co_teaching", [(z, other, mask)], forget=0.0)
    loss = objective([Output(z), Output(other)], {"mask": mask}).loss
    plain = Objective(["cross_entropy"], 3)([Output(z), Output(other)], {"mask": mask}).loss
    assert torch.equal(loss, plain)


def test_each_network_learns_what_is_easy_for_the_other():
    z, mask = logits_and_labels(2)
    easy = torch.nn.functional.one_hot(mask, 2).movedim(-1, 1).float()
    second = torch.where((torch.arange(12) < 6), 5 * easy, -5 * easy)  # right on the left
    objective = taught("co_teaching", [(z, second, mask)], classes=2, forget=0.5)
    result = objective([Output(z), Output(second)], {"mask": mask})
    kept_by_first, kept_by_second = (s.weight for s in result.supervision)
    assert kept_by_first[..., :6].mean() > 0.98
    assert kept_by_first[..., 6:].mean() < 0.05
    assert 0.4 < kept_by_second[..., :6].mean() < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_every_class_keeps_its_share_over_steps_a_rare_one_too(method):
    def batch(seed):
        first, mask = logits_and_labels(3, seed, (4, 64, 64), [0.7, 0.299, 0.001])
        return first, logits_and_labels(3, seed + 1000, (4, 64, 64))[0], mask

    objective = taught(method, [batch(k) for k in range(50)], forget=0.3)
    kept, seen = torch.zeros(3), torch.zeros(3)
    for k in range(50, 90):
        first, second, mask = batch(k)
        weight = objective([Output(first), Output(second)], {"mask": mask}).supervision[0].weight
        for c in range(3):
            kept[c] += ((weight > 0) & (mask == c)).sum()
            seen[c] += (mask == c).sum()
    share = kept / seen
    assert (share[:2] - 0.7).abs().max() < 0.01
    assert abs(share[2] - 0.7) < 0.06  # some 650 pixels


def test_what_is_left_out_grows_and_comes_from_held_out_labels():
    small = SmallLoss(2, 1, ramp=0.5)
    loss, mask = torch.rand(1, 100, 100, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 100, 100).long()
    mask[:, :20] = 1
    small.see([loss], {"mask": mask}, Context())
    assert small.kept(0, loss, {"mask": mask}, Context()).min() == 1  # nothing is known yet
    small.calibrate(Channel(0.3, ((0.8, 0.2), (0.2, 0.8)), (0.9, 0.1)))
    wrong = [0.1 * 0.2 / (0.9 * 0.8 + 0.1 * 0.2), 0.9 * 0.2 / (0.9 * 0.2 + 0.1 * 0.8)]  # of each given class
    for progress, part in ((0.0, 0.0), (0.25, 0.5), (1.0, 1.0)):
        kept = small.kept(0, loss, {"mask": mask}, Context(progress=progress))
        for c in (0, 1):
            assert float(kept[mask == c].mean()) == pytest.approx(1 - part * wrong[c], abs=0.02)


@pytest.mark.parametrize("level", ["region", "image"])
@pytest.mark.parametrize("shape", [(3, 12, 10), (2, 6, 5, 7)], ids=["2-D", "3-D"])
def test_units_are_chosen_by_their_mean_loss(level, shape):
    g = torch.Generator().manual_seed(0)
    loss, mask = torch.rand(shape, generator=g), torch.randint(0, 2, shape, generator=g)
    mask[0, :2] = 255
    small = SmallLoss(2, 1, 0.3, level=level, region=3)
    valid = mask != 255
    pooled = small._pooled(loss, torch.where(valid, mask, 0), valid)
    for index in (valid.nonzero()[0], valid.nonzero()[-1], valid.nonzero()[len(valid.nonzero()) // 2]):
        place = tuple(index.tolist())
        if level == "image":
            around = (place[0],)
        else:
            around = (place[0], *(slice(max(i - 1, 0), i + 2) for i in place[1:]))
        same = (mask[around] == mask[place]) & valid[around]
        assert float(pooled[place]) == pytest.approx(float(loss[around][same].mean()), rel=1e-5)
    assert (pooled[~valid] == 0).all()


def test_jocor_of_equal_networks_without_agreement_is_twice_the_selected_loss():
    z, mask = logits_and_labels()
    objective = taught("jocor", [(z, z, mask)], forget=0.4, lam=0.0)
    result = objective([Output(z), Output(z)], {"mask": mask})
    kept = result.supervision[0].weight
    expected = 2 * (cross_entropy(z, mask, reduction="none") * kept).mean()
    torch.testing.assert_close(result.loss, expected)


def test_jocors_agreement_pulls_both_networks_together():
    z, mask = logits_and_labels()
    first, second = z.clone().requires_grad_(), logits_and_labels(seed=1)[0].requires_grad_()
    objective = Objective([{"name": "jocor", "lam": 0.6, "forget": 0.0}], 3)
    objective([Output(first), Output(second)], {"mask": mask}).loss.backward()
    a, b = (x.detach().clone().requires_grad_() for x in (first, second))
    p, q = a.log_softmax(1), b.log_softmax(1)
    divergences = (p.exp() * (p - q) + q.exp() * (q - p)).sum(1)
    (0.4 * (cross_entropy(a, mask) + cross_entropy(b, mask)) + 0.6 * divergences.mean()).backward()
    torch.testing.assert_close(first.grad, a.grad, atol=1e-8, rtol=1e-4)
    torch.testing.assert_close(second.grad, b.grad, atol=1e-8, rtol=1e-4)


class Kept:
    """A memory of one batch."""

    def __init__(self, values):
        self.values = values

    def read(self, batch):
        return self.values

    def write(self, batch, values):
        self.values = values


def test_each_network_is_corrected_by_what_the_other_says():
    z, mask = logits_and_labels(2)
    other, _ = logits_and_labels(2, seed=1)
    crossed = Objective([{"name": "kms", "peers": True, "ensemble": 0.0}], 2)
    alone = Objective(["kms"], 2)
    teachers = [(3 * x).softmax(1) for x in (z, other)]
    outputs = [Output(x, teacher=t) for x, t in zip((z, other), teachers, strict=True)]
    result = crossed(outputs, {"mask": mask})
    for s, output in zip(result.supervision, reversed(outputs), strict=True):
        expected = alone(output, {"mask": mask}).supervision[0]
        assert torch.equal(s.target, expected.target)
        assert torch.equal(s.label_error, expected.label_error)


def test_peers_remember_apart():
    z, mask = logits_and_labels(2)
    other, _ = logits_and_labels(2, seed=1)
    objective = Objective([{"name": "kms", "peers": True}], 2)
    assert objective.needs.memory["evidence"].channels == 4
    memory = Kept(torch.zeros(2, 4, 16, 12))
    context = Context(progress=1.0, memory={"evidence": memory})
    outputs = [Output(z), Output(other)]
    objective.observe(outputs, {"mask": mask}, [], context)
    torch.testing.assert_close(memory.values, torch.cat([z.softmax(1), other.softmax(1)], 1))
    objective.observe(outputs[::-1], {"mask": mask}, [], context)
    mixed = 0.7 * z.softmax(1) + 0.3 * other.softmax(1)
    torch.testing.assert_close(memory.values[:, :2], mixed)


def test_counts_are_those_of_all_ranks():
    z, mask = logits_and_labels()
    whole, ranks = (Objective([{"name": "co_teaching", "forget": 0.4}], 3) for _ in range(2))
    whole.observe([Output(z), Output(z)], {"mask": mask}, [], Context())
    parts = [Objective([{"name": "co_teaching", "forget": 0.4}], 3) for _ in range(2)]
    for k, part in enumerate(parts):
        part.observe([Output(z[k : k + 1])] * 2, {"mask": mask[k : k + 1]}, [], Context())
    other = parts[1].methods[0].small._counts
    ranks.observe([Output(z[:1])] * 2, {"mask": mask[:1]}, [], Context(over_ranks=lambda seen: seen + other))
    assert torch.equal(whole.state_dict()["methods.0.small._counts"], ranks.state_dict()["methods.0.small._counts"])


@pytest.mark.parametrize("method", METHODS)
def test_one_network_is_not_enough(method):
    z, mask = logits_and_labels()
    with pytest.raises(UserError, match=f"{method}: learns from 2 networks, but there is the output of 1"):
        Objective([method], 3)(z, {"mask": mask})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"forget": 1.0}, "method.forget"),
        ({"forget": "held-out"}, "method.forget"),
        ({"ramp": -0.1}, "method.ramp"),
        ({"level": "object"}, "method.level"),
        ({"region": 4}, "method.region"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_is_told(method, options, told):
    with pytest.raises(UserError, match=told):
        Objective([{"name": method, **options}], 2)


def test_agreement_has_a_share():
    with pytest.raises(UserError, match=r"method\.lam"):
        Objective([{"name": "jocor", "lam": 1.0}], 2)
