"""The identities of the losses that methods supply, reweight or add, beside their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn.functional import cross_entropy, one_hot

from segnoise.errors import UserError
from segnoise.methods import Channel, Context, Objective, Output
from segnoise.methods.names import METHODS


def example(classes, seed=0, shape=(2, 9, 7)):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape[0], classes, *shape[1:], generator=g).requires_grad_()
    mask = torch.randint(0, classes, shape, generator=g)
    return logits, mask


def gradient(methods, logits, mask, classes, progress=1.0, teacher=None):
    z = logits.detach().clone().requires_grad_()
    Objective(methods, classes)(Output(z, teacher=teacher), {"mask": mask}, progress=progress).loss.backward()
    return z.grad


def gradient_of(loss, logits):
    z = logits.detach().clone().requires_grad_()
    loss(z).backward()
    return z.grad


A = -math.log(1e-4)
REWEIGHTED = {
    "sce": ({"name": "sce", "alpha": 0.3, "beta": 2.0}, lambda p: -0.3 * p.log() + 2.0 * A * (1 - p)),
    "mae": ("mae", lambda p: 1 - p),
    "rce": ("rce", lambda p: A * (1 - p)),
}


@pytest.mark.parametrize("name", REWEIGHTED)
def test_a_weight_on_cross_entropy_has_the_gradient_of_the_loss(name):
    method, loss = REWEIGHTED[name]
    logits, mask = example(4)
    expected = gradient_of(lambda z: loss(z.softmax(1).gather(1, mask.unsqueeze(1))).mean(), logits)
    torch.testing.assert_close(gradient([method], logits, mask, 4), expected, atol=1e-8, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "total"),
    [({"name": "nce_rce", "beta": 0.0}, 1.0), ({"name": "nce_rce", "alpha": 0.0, "beta": 1.0}, A * 3),
     ({"name": "nce_mae", "alpha": 0.0}, 3.0)],
)  # fmt: skip
def test_symmetric_losses_sum_to_a_constant_over_the_labels(method, total):
    logits, mask = example(4)
    losses = [float(Objective([method], 4)(logits, {"mask": torch.full_like(mask, k)}).loss.detach()) for k in range(4)]
    assert sum(losses) == pytest.approx(total, rel=1e-5)


def test_normalised_cross_entropy_beside_its_definition():
    logits, mask = example(5)
    log_p = logits.detach().log_softmax(1)
    p_y = log_p.gather(1, mask.unsqueeze(1)).squeeze(1)
    expected = (2 * p_y / log_p.sum(1) + 0.5 * A * (1 - p_y.exp())).mean()
    loss = Objective([{"name": "nce_rce", "alpha": 2.0, "beta": 0.5}], 5)(logits, {"mask": mask}).loss
    torch.testing.assert_close(loss, expected)


def test_soft_bootstrapping_is_entropy_minimisation_and_not_cross_entropy_again():
    logits, mask = example(3)
    beta = 0.4

    def loss(z):
        log_p = z.log_softmax(1)
        return beta * cross_entropy(z, mask) + (1 - beta) * -(log_p.exp() * log_p).sum(1).mean()

    found = gradient([{"name": "bootstrap_soft", "beta": beta}], logits, mask, 3)
    torch.testing.assert_close(found, gradient_of(loss, logits), atol=1e-8, rtol=1e-4)
    plain = gradient(["cross_entropy"], logits, mask, 3)
    assert torch.nn.functional.cosine_similarity(found.flatten(), plain.flatten(), dim=0) < 0.99
    early = gradient([{"name": "bootstrap_soft", "beta": beta}], logits, mask, 3, progress=0.0)
    torch.testing.assert_close(early, plain)


def test_hard_bootstrapping_mixes_the_teachers_first_choice():
    logits, mask = example(3)
    teacher = example(3, seed=1)[0].detach().softmax(1)
    result = Objective(["bootstrap_hard"], 3)(Output(logits, teacher=teacher), {"mask": mask})
    expected = 0.8 * one_hot(mask, 3) + 0.2 * one_hot(teacher.argmax(1), 3)
    torch.testing.assert_close(result.target, expected.movedim(-1, 1).float())
    halfway = Objective(["bootstrap_hard"], 3)(Output(logits, teacher=teacher), {"mask": mask}, progress=0.15)
    assert float(halfway.target.amin()) == pytest.approx(0.0)
    assert float(halfway.target[halfway.target > 0].amin()) == pytest.approx(0.1, abs=1e-5)


def dice(p, target):
    return 1 - 2 * (p * target).sum() / (p.sum() + target.sum())


def test_dice_tversky_and_noise_robust_dice_beside_their_definitions():
    logits, mask = example(3)
    mask[0][mask[0] == 2] = 0  # absent there
    p = logits.detach().softmax(1)
    cells = [[(p[b, k], (mask[b] == k).float()) for k in mask[b].unique()] for b in range(2)]

    def mean(loss):
        return torch.stack([torch.stack([loss(p, t) for p, t in image]).mean() for image in cells]).mean()

    def found(method):
        return Objective([method], 3)(logits, {"mask": mask}).loss.detach()

    torch.testing.assert_close(found("dice"), mean(dice))
    torch.testing.assert_close(found({"name": "tversky", "alpha": 0.5, "beta": 0.5}), found("dice"))
    torch.testing.assert_close(
        found({"name": "tversky", "alpha": 0.2, "beta": 0.7}),
        mean(lambda p, t: 1 - (p * t).sum() / ((p * t).sum() + 0.2 * (p * (1 - t)).sum() + 0.7 * ((1 - p) * t).sum())),
    )
    squares = mean(lambda p, t: 1 - 2 * (p * t).sum() / (p.square().sum() + t.square().sum()))
    torch.testing.assert_close(found({"name": "nr_dice", "gamma": 2.0}), squares)
    torch.testing.assert_close(found({"name": "nr_dice", "gamma": 1.0, "squared": False}), found("dice"))
    torch.testing.assert_close(
        found("nr_dice"),
        mean(lambda p, t: (p - t).abs().pow(1.5).sum() / (p.square().sum() + t.square().sum())),
    )


def test_the_overlap_of_monai():
    from monai.losses import TverskyLoss

    logits, mask = example(3)
    theirs = TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7, smooth_nr=0.0, smooth_dr=1e-6)
    ours = Objective(["tversky"], 3)(logits, {"mask": mask}).loss
    torch.testing.assert_close(ours, theirs(logits, mask.unsqueeze(1)))


@pytest.mark.parametrize("classes", [2, 3])
def test_tloss_is_the_density_of_a_student_t(classes):
    logits, mask = example(classes, shape=(1, 2, 2))
    mask[0, 0, 0] = 255
    nu = 1.7
    delta = logits.detach().softmax(1) - one_hot(mask.clamp(max=classes - 1), classes).movedim(-1, 1)
    known = delta[..., mask[0] != 255] if classes > 2 else delta[:, :1, mask[0] != 255]
    x = known.flatten().double().numpy()
    expected = -scipy.stats.multivariate_t(np.zeros(len(x)), np.eye(len(x)), df=nu).logpdf(x) / len(x)
    loss = Objective([{"name": "tloss", "nu": nu}], classes)(logits, {"mask": mask}).loss
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_tloss_weighs_images_and_learns_its_tail():
    logits, mask = example(2, shape=(2, 8, 8))
    z = (8.0 * one_hot(mask, 2).movedim(-1, 1).float() + logits.detach()).requires_grad_()
    mask[1] = 1 - mask[1]  # a bad image
    objective = Objective([{"name": "tloss", "nu": 0.05}], 2)
    objective(z, {"mask": mask}).loss.backward()
    squares = (z.detach().softmax(1)[:, 0] - (mask == 0).float()).square()
    factor = z.grad.abs().flatten(1).sum(1) / gradient_of(
        lambda z: (z.softmax(1)[:, 0] - (mask == 0).float()).square().sum() / 2, z
    ).abs().flatten(1).sum(1)
    expected = (0.05 + 64) / (0.05 + squares.flatten(1).sum(1)) / 64 / 2
    torch.testing.assert_close(factor, expected, rtol=1e-3, atol=1e-6)
    assert factor[0] > 10 * factor[1]
    (log_nu,) = objective.parameters()
    assert log_nu.grad.abs() > 0
    assert objective.methods[0].lr == 1e-3


def test_tloss_hardly_depends_on_the_size_of_the_image():
    logits, mask = example(2, shape=(1, 64, 64))
    twice, labels = (torch.cat([x, x], dim=-1) for x in (logits.detach(), mask))
    once = Objective(["tloss"], 2)(logits, {"mask": mask}).loss
    assert float(Objective(["tloss"], 2)(twice, {"mask": labels}).loss) == pytest.approx(float(once), abs=2e-3)


class Remembered:
    """A memory of one batch."""

    def __init__(self, values):
        self.values = values

    def read(self, batch):
        return self.values

    def write(self, batch, values):
        self.values = values


class TestELR:
    def regulariser(self, logits, teacher, mask, classes, **options):
        method = {"name": "elr", "start": 0.0, "ramp": 0.0, **options}
        whole = gradient([method], logits, mask, classes, teacher=teacher)
        return whole - gradient(["cross_entropy"], logits, mask, classes)

    def test_gradient_is_the_published_one_and_zero_for_a_teacher_that_knows_nothing(self):
        logits, mask = example(4)
        teacher = example(4, seed=1)[0].detach().softmax(1)
        p = logits.detach().softmax(1)
        inner = (p * teacher).sum(1, keepdim=True)
        expected = 3 * p * (inner - teacher) / (1 - inner) / mask.numel()
        torch.testing.assert_close(self.regulariser(logits, teacher, mask, 4), expected, atol=1e-8, rtol=1e-3)
        uniform = torch.full_like(teacher, 0.25)
        assert self.regulariser(logits, uniform, mask, 4).abs().max() < 1e-8

    @pytest.mark.parametrize(("strength", "threshold"), [(3.0, 0.75), (7.0, 7 / 12), (1.0, None), (2.0, None)])
    def test_two_classes_need_more_than_two(self, strength, threshold):
        """With itself as a teacher a network keeps a belief against the label only above a threshold."""
        mask = torch.ones(1, 1, 1, dtype=torch.long)  # the label says 1, and the network 0
        for p in (0.55, 0.7, 0.8, 0.95):
            z = torch.tensor([p, 1 - p]).log().view(1, 2, 1, 1)
            method = {"name": "elr", "strength": strength, "start": 0.0, "ramp": 0.0}
            kept = gradient([method], z, mask, 2, teacher=z.softmax(1))[0, 0, 0, 0] < 0
            assert bool(kept) == (threshold is not None and p > threshold)

    def test_a_memory_is_what_was_said_before_and_is_written(self):
        logits, mask = example(3)
        before = example(3, seed=1)[0].detach().softmax(1)
        memory = Remembered(before)
        objective = Objective([{"name": "elr", "memory": True, "decay": 0.7}], 3)
        context = Context(progress=1.0, memory={"belief": memory})
        output = Output(logits)
        result = objective(output, {"mask": mask}, context=context)
        mixed = 0.7 * before + 0.3 * logits.detach().softmax(1)
        expected = 3 * torch.log(1 - (logits.detach().softmax(1) * mixed).sum(1)).mean()
        torch.testing.assert_close(result.terms.regularisers["elr"], expected)
        objective.observe([output], {"mask": mask}, result.supervision, context)
        torch.testing.assert_close(memory.values, mixed)

    def test_its_strength_rises(self):
        logits, mask = example(2)
        objective = Objective(["elr"], 2)
        output = Output(logits, teacher=logits.detach().softmax(1))
        terms = [objective(output, {"mask": mask}, progress=t).terms.regularisers for t in (0.05, 0.2, 0.3, 1.0)]
        assert terms[0] == {}
        assert float(terms[1]["elr"]) == pytest.approx(float(terms[3]["elr"]) / 2, rel=1e-5)
        assert float(terms[2]["elr"]) == pytest.approx(float(terms[3]["elr"]), rel=1e-5)

    def test_every_second_step_is_twice_as_strong_and_asks_the_teacher_half_as_often(self):
        logits, mask = example(2)
        asked = []

        def teacher():
            asked.append(1)
            return logits.detach().softmax(1)

        def term(every, step):
            objective = Objective([{"name": "elr", "every": every}], 2)
            context = Context(progress=1.0, step=step)
            return objective(Output(logits, teacher=teacher), {"mask": mask}, context=context).terms.regularisers

        whole = term(1, 7)["elr"]
        asked.clear()
        assert [term(2, step) == {} for step in (6, 7, 8, 9)] == [False, True, False, True]
        torch.testing.assert_close(term(2, 8)["elr"], 2 * whole)
        assert len(asked) == 3

    @pytest.mark.parametrize("options", [{"every": 0}, {"every": 1.5}, {"every": 2, "memory": True}])
    def test_every_is_a_number_of_steps_of_the_teacher(self, options):
        with pytest.raises(UserError, match=r"method\.every"):
            Objective([{"name": "elr", **options}], 2)


class TestForward:
    def test_a_confusion_of_none_is_cross_entropy(self):
        logits, mask = example(3)
        identity = {"name": "forward", "confusion": torch.eye(3).tolist()}
        assert torch.equal(gradient([identity], logits, mask, 3), gradient(["cross_entropy"], logits, mask, 3))
        assert torch.equal(
            gradient([{"name": "forward", "confusion": "held_out"}], logits, mask, 3),
            gradient(["cross_entropy"], logits, mask, 3),
        )

    def test_gradient_is_that_of_the_likelihood(self):
        logits, mask = example(3)
        t = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]])
        expected = gradient_of(lambda z: -(z.softmax(1).movedim(1, -1) @ t).log().movedim(-1, 1)
                               .gather(1, mask.unsqueeze(1)).mean(), logits)  # fmt: skip
        found = gradient([{"name": "forward", "confusion": t.tolist()}], logits, mask, 3)
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-4)

    def test_a_learned_confusion_has_the_gradient_of_the_likelihood_and_is_recovered(self):
        g = torch.Generator().manual_seed(0)
        t = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.0, 0.7]])
        p = (3 * torch.randn(1, 3, 300, 300, generator=g)).softmax(1)
        truth = torch.multinomial(p.movedim(1, -1).reshape(-1, 3), 1, generator=g).squeeze(1)
        mask = torch.multinomial(t[truth], 1, generator=g).view(1, 300, 300)
        objective = Objective([{"name": "forward", "rate": 0.3}], 3)
        (raw,) = objective.parameters()
        objective(p.log(), {"mask": mask}).loss.backward()
        found, raw.grad = raw.grad, None
        likelihood = (p.movedim(1, -1) @ objective.methods[0].confusion()).movedim(-1, 1)
        (-likelihood.gather(1, mask.unsqueeze(1)).log().mean()).backward()
        torch.testing.assert_close(found, raw.grad, atol=1e-7, rtol=1e-3)
        optimiser = torch.optim.Adam(objective.parameters(), 0.1)
        for _ in range(60):
            optimiser.zero_grad()
            objective(p.log(), {"mask": mask}).loss.backward()
            optimiser.step()
        assert (objective.methods[0].confusion() - t).abs().max() < 0.03

    @pytest.mark.parametrize("kind", ["volume", "trace"])
    def test_volume_and_trace_ask_for_a_noisier_confusion(self, kind):
        logits, mask = example(3)
        moved = {}
        for weight in (0.0, 5.0):
            objective = Objective([{"name": "forward", kind: weight}], 3)
            optimiser = torch.optim.SGD(objective.parameters(), 0.1)
            objective(logits.detach(), {"mask": mask}).loss.backward()
            optimiser.step()
            moved[weight] = float(objective.methods[0].confusion().trace())
        assert moved[5.0] < moved[0.0] - 0.01

    def test_held_out_labels_tell_the_rate(self):
        logits, mask = example(2)
        objective = Objective([{"name": "forward", "confusion": "held_out"}], 2)
        objective.calibrate(Channel(0.2, ((0.6, 0.4), (0.4, 0.6)), (0.5, 0.5)))
        given = Objective([{"name": "forward", "confusion": [[0.6, 0.4], [0.4, 0.6]]}], 2)
        torch.testing.assert_close(objective(logits, {"mask": mask}).target, given(logits, {"mask": mask}).target)
        fresh = Objective([{"name": "forward", "confusion": "held_out"}], 2)
        fresh.load_state_dict(objective.state_dict())
        assert torch.equal(fresh(logits, {"mask": mask}).target, objective(logits, {"mask": mask}).target)

    def test_kms_without_correlation_or_spread_is_a_symmetric_confusion(self):
        logits, mask = example(3)
        p = logits.detach().softmax(1)
        rate = 0.2
        t = [[1 - rate if i == j else rate / 2 for j in range(3)] for i in range(3)]
        forward = Objective([{"name": "forward", "confusion": t}], 3)(logits, {"mask": mask})
        mu = math.log(rate / (1 - rate))
        kms = {"name": "kms", "rho": 0.0, "sigma": 1e-3, "mu": mu, "calibrate": False, "cap": 50.0, "steps": 20}
        ours = Objective([kms], 3)(Output(logits, teacher=p), {"mask": mask})
        torch.testing.assert_close(ours.target, forward.target, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.label_error, forward.label_error, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ({"name": "sce", "alpha": -1.0}, "method.alpha"),
        ({"name": "sce", "alpha": 0.0, "beta": 0.0}, "nor both 0"),
        ({"name": "nce_mae", "beta": -0.1}, "method.beta"),
        ({"name": "bootstrap_soft", "beta": 0.0}, "method.beta"),
        ({"name": "bootstrap_hard", "decay": 1.0}, "method.decay"),
        ({"name": "bootstrap_hard", "ramp": 2.0}, "method.ramp"),
        ({"name": "tversky", "alpha": -0.1}, "method.alpha"),
        ({"name": "nr_dice", "gamma": 2.5}, "method.gamma"),
        ({"name": "nr_dice", "squared": 1}, "method.squared"),
        ({"name": "tloss", "nu": 0.0}, "method.nu"),
        ({"name": "elr", "strength": -1.0}, "method.strength"),
        ({"name": "elr", "decay": 1.0}, "method.decay"),
        ({"name": "elr", "memory": 1}, "method.memory"),
        ({"name": "forward", "confusion": "lerned"}, "method.confusion"),
        ({"name": "forward", "confusion": [[0.5, 0.6], [0.0, 1.0]]}, "method.confusion"),
        ({"name": "forward", "confusion": [[1.0]]}, "method.confusion"),
        ({"name": "forward", "rate": 1.0}, "method.rate"),
        ({"name": "forward", "confusion": "held_out", "trace": 0.1}, "confusion: learned"),
        ({"name": "forward", "trase": 0.1}, "trace"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told(method, told):
    with pytest.raises(UserError, match=told):
        Objective([method], 2)


@pytest.mark.parametrize("name", ["forward", "nce_rce", "nce_mae"])
def test_one_class_alone_is_refused(name):
    with pytest.raises(UserError, match="one class alone"):
        Objective([name], 1)


@pytest.mark.parametrize("pair", itertools.combinations(METHODS, 2), ids="+".join)
def test_every_pair_trains_or_is_refused_with_both_names(pair):
    clips = CLIPS & set(pair)
    logits, mask = example(3, shape=(2, 2, 9, 7) if clips else (2, 9, 7))
    network = (torch.nn.Conv3d if clips else torch.nn.Conv2d)(3, 3, 1)
    methods = [{"name": n, "decay": 0.9} if n in NEED_TEACHER else n for n in pair]
    if clash(*pair):
        with pytest.raises(UserError, match=f"{pair[0]} and {pair[1]}"):
            Objective(methods, 3)
        return
    objective = Objective(methods, 3)
    optimiser = torch.optim.Adam([*network.parameters(), *objective.parameters()], 0.1)
    image = logits.detach()
    for step in range(20):
        z = network(image)
        teacher = z.detach().softmax(1)
        outputs = [Output(z * 0.9**n, teacher, features=image) for n in range(objective.needs.networks)]
        result = objective(outputs, {"mask": mask}, progress=step / 20)
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
        assert torch.isfinite(result.loss)


CLIPS = {"ms_tfal"}
NEED_TEACHER = ("bootstrap_hard", "elr", "kms", "ms_tfal")
SET_TARGETS = {"bootstrap_hard", "kms", "forward", "ms_tfal", "disbelief"}
OWN_LOSS = {"dice", "tversky", "nr_dice", "tloss", "nce_rce", "nce_mae"}
POSTERIOR = {"kms", "forward"}
BELIEVE_THEMSELVES = {"gce", "sce", "mae", "rce", "nce_rce", "nce_mae", "co_teaching", "jocor"}


def clash(one, other):
    """The rules of composition."""
    pair = {one, other}
    return pair <= SET_TARGETS or pair <= OWN_LOSS or bool(pair & POSTERIOR and pair & BELIEVE_THEMSELVES)
