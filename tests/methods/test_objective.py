"""The contract of methods: composition, ignore, normalisation, and what each loss is."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from segnoise.errors import UserError
from segnoise.kms import error_map, kms_posterior, label_log_odds, mean_logit, published_log_odds, published_posterior
from segnoise.methods import Channel, Context, Memory, Needs, Objective, Output, build_method

METHODS = [
    ["cross_entropy"],
    [{"name": "cross_entropy", "label_smoothing": 0.1, "dice": 0.5}],
    ["gce"],
    ["kms"],
    [{"name": "cross_entropy", "dice": 1.0}, "kms"],
    ["sce"],
    ["mae"],
    ["rce"],
    ["nce_rce"],
    ["nce_mae"],
    ["bootstrap_soft"],
    ["bootstrap_hard"],
    ["dice"],
    ["tversky"],
    ["nr_dice"],
    ["tloss"],
    ["elr"],
    [{"name": "forward", "volume": 0.1, "trace": 0.1}],
    [{"name": "forward", "confusion": "held_out"}],
    ["forward", "dice"],
    ["co_teaching"],
    [{"name": "co_teaching", "forget": 0.3, "level": "region", "region": 3}],
    [{"name": "co_teaching", "forget": 0.3, "level": "image"}],
    ["jocor"],
    [{"name": "jocor", "forget": 0.3}, "dice"],
    ["image_labels"],
    ["kms", "nr_dice", {"name": "elr", "decay": 0.995}],
]
GRIDS = [(2, 9, 7), (1, 5, 6, 4)]


def example(grid, num_classes, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(grid[0], num_classes, *grid[1:], generator=g, dtype=dtype).requires_grad_()
    teacher = torch.randn(grid[0], num_classes, *grid[1:], generator=g, dtype=dtype).softmax(1)
    mask = torch.randint(0, num_classes, grid, generator=g)
    return logits, teacher, mask


def seen_by(objective, logits, teacher):
    """One network, or two that are not equally sure."""
    return [Output(logits * 0.8**n, teacher=teacher) for n in range(objective.needs.networks)]


@pytest.mark.parametrize("methods", METHODS, ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=["2-D", "3-D"])
@pytest.mark.parametrize("num_classes", [2, 5])
class TestEveryMethod:
    def test_labels_and_outputs_under_ignore_change_no_bit(self, methods, grid, num_classes):
        logits, teacher, mask = example(grid, num_classes)
        mask[..., :3] = 255
        objective = Objective(methods, num_classes)
        other_logits, other_teacher, _ = example(grid, num_classes, seed=1)
        ignored = (mask == 255).unsqueeze(1)
        results = []
        for z, t in [
            (logits, teacher),
            (torch.where(ignored, other_logits, logits), torch.where(ignored, other_teacher, teacher)),
        ]:
            result = objective(seen_by(objective, z, t), {"mask": mask})
            results.append((result.loss.detach(), result.target, result.weight, result.label_error))
        for first, second in zip(*results, strict=True):
            assert torch.equal(first, second)

    @pytest.mark.parametrize("case", ["all ignored", "one valid", "one class", "huge logits", "bfloat16"])
    def test_loss_and_gradient_stay_finite(self, methods, grid, num_classes, case):
        logits, teacher, mask = example(grid, num_classes)
        if case == "all ignored":
            mask[:] = 255
        if case == "one valid":
            mask[:] = 255
            mask.view(-1)[3] = 1
        if case == "one class":
            mask[:] = 1
        if case == "huge logits":
            logits = (logits.detach().sign() * 1e4).requires_grad_()
            teacher = logits.detach().softmax(1)
        z = logits.to(torch.bfloat16) if case == "bfloat16" else logits
        objective = Objective(methods, num_classes)
        loss = objective(seen_by(objective, z, teacher), {"mask": mask}).loss
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()

    def test_relabelling_the_classes_relabels_the_result(self, methods, grid, num_classes):
        logits, teacher, mask = example(grid, num_classes)
        order = torch.randperm(num_classes, generator=torch.Generator().manual_seed(2))
        objective = Objective(methods, num_classes)
        first = objective(seen_by(objective, logits, teacher), {"mask": mask})
        inverse = order.argsort()
        second = objective(seen_by(objective, logits[:, order], teacher[:, order]), {"mask": inverse[mask]})
        torch.testing.assert_close(first.loss, second.loss)
        torch.testing.assert_close(first.target[:, order], second.target)
        torch.testing.assert_close(first.label_error, second.label_error)

    def test_two_micro_batches_add_up_to_the_batch(self, methods, grid, num_classes):
        logits, teacher, mask = example((4, *grid[1:]), num_classes)
        mask[0, ..., :4] = 255
        objective = Objective(methods, num_classes)
        whole = objective(seen_by(objective, logits, teacher), {"mask": mask}).loss
        context = Context(n_valid=float((mask != 255).sum()), n_images=4)
        parts = [
            objective(seen_by(objective, logits[s], teacher[s]), {"mask": mask[s]}, context=context).loss
            for s in (slice(0, 1), slice(1, 4))
        ]
        torch.testing.assert_close(whole, sum(parts))

    def test_a_confident_network_that_agrees_is_left_alone(self, methods, grid, num_classes):
        _, _, mask = example(grid, num_classes)
        logits = (20.0 * torch.nn.functional.one_hot(mask, num_classes).movedim(-1, 1).float()).requires_grad_()
        teacher = logits.detach().softmax(1)
        objective = Objective(methods, num_classes)
        result = objective(seen_by(objective, logits, teacher), {"mask": mask})
        assert result.label_error.max() < 0.05
        if "label_smoothing" not in str(methods):
            assert result.terms.supervised < 0.05
            result.loss.backward()
            assert logits.grad.abs().sum() < 0.05


def test_cross_entropy_equals_torch_with_class_weights_and_ignore():
    logits, _, mask = example((2, 9, 7), 3)
    mask[0, :4] = 255
    weights = [0.2, 1.0, 3.0]
    loss = Objective([{"name": "cross_entropy", "class_weights": weights}], 3)(logits, {"mask": mask}).loss
    total = cross_entropy(logits, mask, weight=torch.tensor(weights), ignore_index=255, reduction="sum")
    torch.testing.assert_close(loss, total / (mask != 255).sum())


def test_label_smoothing_equals_torch():
    logits, _, mask = example((2, 9, 7), 4)
    loss = Objective([{"name": "cross_entropy", "label_smoothing": 0.1}], 4)(logits, {"mask": mask}).loss
    torch.testing.assert_close(loss, cross_entropy(logits, mask, label_smoothing=0.1))


def test_dice_term_equals_its_definition_and_skips_absent_classes():
    logits, _, mask = example((2, 9, 7), 3)
    mask[0][mask[0] == 2] = 0
    plain = Objective(["cross_entropy"], 3)(logits, {"mask": mask}).loss
    both = Objective([{"name": "cross_entropy", "dice": 1.0}], 3)(logits, {"mask": mask}).loss
    p, expected = logits.softmax(1), []
    for b in range(2):
        per_class = []
        for k in mask[b].unique():
            g = (mask[b] == k).float()
            per_class.append(1 - 2 * (p[b, k] * g).sum() / (p[b, k].sum() + g.sum()))
        expected.append(torch.stack(per_class).mean())
    torch.testing.assert_close(both - plain, torch.stack(expected).mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_gce_gradient_is_that_of_its_loss(q):
    logits, _, mask = example((2, 9, 7), 3, dtype=torch.float32)
    Objective([{"name": "gce", "q": q, "warmup": 0.0}], 3)(logits, {"mask": mask}).loss.backward()
    direct = logits.detach().clone().requires_grad_()
    p_y = direct.softmax(1).gather(1, mask.unsqueeze(1))
    ((1 - p_y**q) / q).mean().backward()
    torch.testing.assert_close(logits.grad, direct.grad, atol=1e-7, rtol=1e-4)


def test_gce_tends_to_cross_entropy():
    logits, _, mask = example((2, 9, 7), 3)
    gce = Objective([{"name": "gce", "q": 1e-6, "warmup": 0.0}], 3)(logits, {"mask": mask}).loss
    assert abs(gce - cross_entropy(logits, mask)) < 1e-4


def test_gce_on_soft_targets_has_the_gradient_of_the_soft_loss():
    logits, _, mask = example((2, 9, 7), 3)
    stack = [{"name": "cross_entropy", "label_smoothing": 0.3}, {"name": "gce", "q": 0.5, "warmup": 0.0}]
    Objective(stack, 3)(logits, {"mask": mask}).loss.backward()
    direct = logits.detach().clone().requires_grad_()
    tau = torch.nn.functional.one_hot(mask, 3).movedim(-1, 1) * 0.7 + 0.1
    (tau * (1 - direct.softmax(1) ** 0.5) / 0.5).sum(1).mean().backward()
    torch.testing.assert_close(logits.grad, direct.grad, atol=1e-7, rtol=1e-4)


def channel(classes, temperature, rate):
    """One error rate, any other class alike."""
    row = [rate / (classes - 1)] * classes
    rows = tuple((*row[:k], 1 - rate, *row[k + 1 :]) for k in range(classes))
    return Channel(temperature, rows, (1 / classes,) * classes)


class TestKMS:
    def test_changes_nothing_before_its_start(self):
        logits, teacher, mask = example((2, 9, 7), 2)
        plain = Objective(["cross_entropy"], 2)(logits, {"mask": mask}, progress=0.4)
        kms = Objective(["kms"], 2)(Output(logits, teacher=teacher), {"mask": mask}, progress=0.4)
        assert torch.equal(plain.loss, kms.loss)

    def test_does_not_run_the_teacher_before_its_start(self):
        logits, _, mask = example((2, 9, 7), 2)

        def forbidden():
            raise AssertionError("the teacher was asked")

        Objective(["kms"], 2)(Output(logits, teacher=forbidden), {"mask": mask}, progress=0.1)

    def test_logit_gradient_is_p_minus_tau(self):
        logits, teacher, mask = example((2, 9, 7), 3)
        result = Objective(["kms"], 3)(Output(logits, teacher=teacher), {"mask": mask})
        result.loss.backward()
        expected = (logits.detach().softmax(1) - result.target) / mask.numel()
        torch.testing.assert_close(logits.grad, expected, atol=1e-7, rtol=1e-4)

    @pytest.mark.parametrize(("progress", "strength"), [(1.0, 1.0), (0.65, 0.3)])
    def test_target_is_a_distribution_that_takes_from_the_label_what_is_thought_wrong(self, progress, strength):
        logits, teacher, mask = example((2, 9, 7), 4)
        result = Objective(["kms"], 4)(Output(logits, teacher=teacher), {"mask": mask}, progress=progress)
        torch.testing.assert_close(result.target.sum(1), torch.ones(2, 9, 7))
        kept = result.target.gather(1, mask.unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(kept, 1 - strength * result.label_error, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("classes", [2, 3])
    def test_held_out_labels_decide_how_sure_the_evidence_is_and_how_many_errors_are_expected(self, classes):
        logits, teacher, mask = example((2, 9, 7), classes)
        objective = Objective(["kms"], classes)
        batch, output = {"mask": mask}, Output(logits, teacher=teacher)
        usual = objective(output, batch).label_error
        torch.testing.assert_close(usual, error_map(teacher, mask))
        objective.calibrate(channel(classes, 0.25, 0.4))
        sharp = (teacher**4) / (teacher**4).sum(1, keepdim=True)
        known = error_map(sharp, mask, mu=mean_logit(0.4, 1.3133))
        torch.testing.assert_close(objective(output, batch).label_error, known, atol=1e-5, rtol=1e-4)
        again = Objective(["kms"], classes)
        again.load_state_dict(objective.state_dict())
        torch.testing.assert_close(again(output, batch).label_error, known, atol=1e-5, rtol=1e-4)
        given_mu = Objective([{"name": "kms", "mu": -3.0}], classes)
        given_mu.calibrate(channel(classes, 0.25, 0.4))
        expected = error_map(sharp, mask, mu=-3.0)
        torch.testing.assert_close(given_mu(output, batch).label_error, expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("confusion", [((1.0, 0.0), (0.3, 0.7)), ((0.8, 0.2), (0.1, 0.9))])
    def test_a_confusion_that_is_given_decides_which_labels_can_be_wrong(self, confusion):
        logits, teacher, mask = example((2, 9, 7), 2)
        objective = Objective([{"name": "kms", "confusion": confusion, "calibrate": False}], 2)
        result = objective(Output(logits, teacher=teacher), {"mask": mask})
        matrix, rate = torch.tensor(confusion), (confusion[0][1] + confusion[1][0]) / 2
        evidence = label_log_odds(teacher.log(), mask, matrix, rate)
        expected = kms_posterior(evidence, mu=mean_logit(rate, 1.3133)).p_wrong
        torch.testing.assert_close(result.label_error, expected, atol=1e-5, rtol=1e-4)
        if confusion[0][1] == 0:
            assert float(result.label_error[mask == 1].max()) < 0.01
        told = Objective([{"name": "kms", "confusion": confusion}], 2)
        assert told.needs.channel == tuple(tuple(pytest.approx(p) for p in row) for row in confusion)

    def test_where_held_out_labels_are_right_hardly_anything_is_corrected(self):
        logits, teacher, mask = example((2, 9, 7), 2)
        objective = Objective(["kms"], 2)
        objective.calibrate(channel(2, 1.0, 0.005))
        assert objective(Output(logits, teacher=teacher), {"mask": mask}).label_error.mean() < 0.03

    def test_without_calibration_it_is_not_told(self):
        logits, teacher, mask = example((2, 9, 7), 2)
        objective = Objective([{"name": "kms", "calibrate": False}], 2)
        assert objective.needs.channel is None
        assert Objective(["kms"], 2).needs.channel == "uniform"
        before = objective(Output(logits, teacher=teacher), {"mask": mask}).label_error
        objective.calibrate(channel(2, 0.1, 0.4))
        assert torch.equal(objective(Output(logits, teacher=teacher), {"mask": mask}).label_error, before)

    def test_correlations_follow_the_axes_of_a_turned_crop(self):
        logits, teacher, mask = example((2, 8, 8), 2)
        objective = Objective([{"name": "kms", "rho": [0.95, 0.3]}], 2)
        upright = objective(Output(logits, teacher=teacher), {"mask": mask, "orientation": torch.tensor([[1, 2]] * 2)})
        turned = objective(
            Output(logits.transpose(2, 3), teacher=teacher.transpose(2, 3)),
            {"mask": mask.transpose(1, 2), "orientation": torch.tensor([[2, 1]] * 2)},
        )
        torch.testing.assert_close(upright.label_error.transpose(1, 2), turned.label_error)
        wrong = objective(
            Output(logits.transpose(2, 3), teacher=teacher.transpose(2, 3)),
            {"mask": mask.transpose(1, 2), "orientation": torch.tensor([[1, 2]] * 2)},
        )
        assert (wrong.label_error - turned.label_error).abs().max() > 1e-3

    def test_a_length_gives_each_crop_the_correlations_of_its_pixels(self):
        logits, teacher, mask = example((3, 8, 6), 2)
        spacing = torch.tensor([[10.0, 5.0], [5.0, 10.0], [10.0, 5.0]])
        objective = Objective([{"name": "kms", "length": "30m"}], 2)
        told = objective(Output(logits, teacher=teacher), {"mask": mask, "spacing": spacing}).label_error
        for k, (y, x) in enumerate(spacing.tolist()):
            rho = (math.exp(-y / 30), math.exp(-x / 30))
            torch.testing.assert_close(told[k : k + 1], error_map(teacher[k : k + 1], mask[k : k + 1], rho=rho))
        pixels = Objective([{"name": "kms", "length": f"{-1 / math.log(0.9)}px"}], 2)
        usual = Objective(["kms"], 2)(Output(logits, teacher=teacher), {"mask": mask}).label_error
        torch.testing.assert_close(pixels(Output(logits, teacher=teacher), {"mask": mask}).label_error, usual)
        for batch in ({"mask": mask}, {"mask": mask, "spacing": torch.full((3, 2), math.nan)}):
            with pytest.raises(UserError, match="length: 30m, but the size of the pixels is unknown"):
                objective(Output(logits, teacher=teacher), batch)

    @pytest.mark.parametrize("classes", [2, 4])
    def test_the_published_variant_moves_the_error_rate_to_all_other_classes_alike(self, classes):
        logits, teacher, mask = example((2, 9, 7), classes)
        objective = Objective([{"name": "kms", "variant": "elbo", "steps": 30}], classes)
        result = objective(Output(logits, teacher=teacher), {"mask": mask})
        rate = published_posterior(published_log_odds(teacher.log(), mask)).rate
        torch.testing.assert_close(result.label_error, rate)
        index = mask.unsqueeze(1)
        expected = (rate / (classes - 1)).unsqueeze(1).expand_as(teacher).scatter(1, index, 1 - rate.unsqueeze(1))
        torch.testing.assert_close(result.target, expected)

    def test_says_that_it_needs_a_teacher(self):
        logits, _, mask = example((2, 9, 7), 2)
        with pytest.raises(UserError, match="kms needs a teacher"):
            Objective(["kms"], 2)(logits, {"mask": mask})


class TestComposition:
    @pytest.mark.parametrize(
        ("stack", "names"),
        [
            (["kms", {"name": "cross_entropy", "label_smoothing": 0.1}], ("kms", "cross_entropy")),
            (["kms", "gce"], ("kms", "gce")),
            (["kms", {"name": "kms", "rho": 0.5}], ("kms", "kms")),
        ],
    )
    def test_methods_that_do_not_compose_are_both_named(self, stack, names):
        with pytest.raises(UserError) as caught:
            Objective(stack, 2)
        assert all(name in str(caught.value) for name in names)

    def test_disjoint_suppliers_commute(self):
        logits, teacher, mask = example((2, 9, 7), 3)
        stack = [{"name": "cross_entropy", "class_weights": [1, 2, 3]}, "kms"]
        losses = [
            Objective(order, 3)(Output(logits, teacher=teacher), {"mask": mask}).loss for order in (stack, stack[::-1])
        ]
        torch.testing.assert_close(*losses)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"name": "kms", "length": 3}, "length 3 needs a unit"),
            ({"name": "kms", "length": "0m"}, r"method\.length: 0m must be longer"),
            ({"name": "kms", "confusion": [[1, 0], [0.5, 0.6]]}, r"method\.confusion: .* 2 rows of 2 probabilities"),
            ({"name": "kms", "confusion": "often"}, r"method\.confusion: 'often' is neither"),
            ({"name": "kms", "variant": "elb"}, r"method\.variant: did you mean 'elbo'"),
            ({"name": "kms", "calibrate": "often"}, r"method\.calibrate: 'often' is neither true nor false"),
            (["cross_entropi"], "did you mean 'cross_entropy'"),
            ([{"name": "gce", "Q": 0.5}], "did you mean 'q'"),
            ([{"name": "gce", "q": 3}], r"method\.q"),
            ([{"name": "gce", "q": "a lot"}], "wrong type"),
            ([{"q": 3}], "has no name"),
            ([], "empty"),
        ],
    )
    def test_mistakes_name_what_would_be_right(self, given, message):
        with pytest.raises(UserError, match=message):
            Objective(given, 2)

    def test_a_label_outside_the_classes_is_named(self):
        logits, _, mask = example((2, 9, 7), 2)
        mask[0, 0, 0] = 7
        with pytest.raises(UserError, match="label 7"):
            Objective(["cross_entropy"], 2)(logits, {"mask": mask})


class Notebook:
    """A memory of one batch, held in a dictionary."""

    def __init__(self, values):
        self.values = values

    def read(self, batch):
        return self.values

    def write(self, batch, values):
        self.values = values


class TestEvidenceThatLasts:
    def target(self, p, memory):
        """What kms makes of labels that are all 0; the teacher, where there is a memory, says something else."""
        mask = torch.zeros(p.shape[0], *p.shape[2:], dtype=torch.long)
        context = Context(progress=1.0, memory={} if memory is None else {"evidence": memory})
        objective = Objective(["kms"], p.shape[1])
        outputs = [Output(p.log(), teacher=p if memory is None else p.flip(1))]
        supervision = objective.supervise(outputs, {"mask": mask}, context)
        objective.observe(outputs, {"mask": mask}, supervision, context)
        return supervision[0].target

    def test_it_is_the_teacher_without_a_memory_and_the_network_on_a_first_visit(self):
        _, p, _ = example((2, 9, 7), 3)
        memory = Notebook(torch.zeros_like(p))
        torch.testing.assert_close(self.target(p, None), self.target(p, memory))
        torch.testing.assert_close(memory.values, p)

    def test_later_visits_mix_what_is_remembered(self):
        _, p, _ = example((2, 9, 7), 3)
        _, before, _ = example((2, 9, 7), 3, seed=5)
        memory = Notebook(before)
        target = self.target(p, memory)
        mixed = 0.7 * before + 0.3 * p
        torch.testing.assert_close(target, self.target(mixed, None))
        torch.testing.assert_close(memory.values, mixed)
        assert not torch.allclose(target, self.target(p, None))

    def test_rounded_probabilities_are_probabilities_again(self):
        _, p, _ = example((2, 9, 7), 3)
        torch.testing.assert_close(self.target(p, Notebook(1.001 * p)), self.target(p, None))

    def test_it_is_gathered_from_the_first_step_and_asks_no_teacher(self):
        def forbidden():
            raise AssertionError("the teacher was asked")

        _, p, mask = example((2, 9, 7), 2)
        memory = Notebook(torch.zeros_like(p))
        context = Context(progress=0.0, memory={"evidence": memory})
        Objective(["kms"], 2).observe([Output(p.log(), teacher=forbidden)], {"mask": mask}, [], context)
        torch.testing.assert_close(memory.values, p)

    def test_no_ensemble_asks_for_no_memory(self):
        assert Objective([{"name": "kms", "ensemble": 0}], 2).needs.memory == {}
        assert Objective(["kms"], 5).needs.memory["evidence"].channels == 5

    def test_two_methods_with_a_memory_of_one_name_are_refused(self):
        class Other(type(build_method("gce", 2))):
            evidence = None
            needs = Needs(memory={"evidence": Memory(1)})

        with pytest.raises(UserError, match="kms and other both keep a memory evidence"):
            Objective(["kms", Other(2)], 2)
