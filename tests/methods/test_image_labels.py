"""Labels of whole images, slices and volumes: each term beside its definition, and what they teach pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from segnoise.errors import UserError
from segnoise.methods import Context, Objective, Output

NAN = math.nan
POOLINGS = ["lse", "top_q", "noisy_or", "mean"]
GRIDS = [(4, 9, 7), (4, 5, 6, 3)]


def example(grid, classes, seed=0, slices=True):
    """Logits and a batch without a label of a pixel, with some of what may be said of images and slices."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(grid[0], classes, *grid[1:], generator=g)
    batch = {"mask": torch.full(grid, 255), "labels": said((grid[0], classes), g)}
    batch["observed"] = torch.rand(grid, generator=g) < 0.8
    if len(grid) == 4 and slices:
        batch["slice_labels"] = said((grid[0], classes, grid[-1]), g)
    return logits, batch


def said(shape, g):
    labels = torch.randint(0, 2, shape, generator=g).float()
    labels[torch.rand(shape, generator=g) < 0.4] = NAN
    labels[:, 0] = NAN
    return labels


def taught(logits, batch, classes=None, context=None, **options):
    """The loss, its terms, and its gradient in the logits."""
    z = logits.detach().clone().requires_grad_()
    objective = Objective([{"name": "image_labels", **options}], classes or logits.shape[1])
    result = objective(z, batch, context=context)
    result.loss.backward()
    return result.loss.detach(), result.terms.regularisers, z.grad


def bags_of(logits, batch):
    """Every known label with the pixels it speaks of: image, class, label, and logits ``N C``."""
    for b, z in enumerate(logits):
        for k in range(z.shape[0]):
            if not math.isnan(y := float(batch["labels"][b, k])):
                yield b, k, y, z[:, batch["observed"][b]].T
            if "slice_labels" in batch:
                for s in range(z.shape[-1]):
                    if not math.isnan(y := float(batch["slice_labels"][b, k, s])):
                        yield b, k, y, z[..., s][:, batch["observed"][b, ..., s]].T


@pytest.mark.parametrize("grid", GRIDS, ids=["2-D", "3-D"])
@pytest.mark.parametrize("classes", [2, 5])
class TestTerms:
    @pytest.mark.parametrize("name", POOLINGS)
    def test_known_labels_meet_the_pooled_score_in_cross_entropy(self, grid, classes, name):
        logits, batch = example(grid, classes)
        losses = []
        for _, k, y, z in bags_of(logits.double(), batch):
            u = z[:, k] - z[:, [j for j in range(classes) if j != k]].logsumexp(1)
            n = len(u)
            score = {
                "lse": lambda u=u, n=n: (5 * u).exp().sum().div(n).log() / 5,
                "top_q": lambda u=u, n=n: u.sort().values[-math.ceil(0.3 * n) :].mean(),
                "noisy_or": lambda u=u, n=n: ((1 / (1 - u.sigmoid())).prod() ** (1 / (0.3 * n)) - 1).log(),
                "mean": lambda u=u: u.mean(),
            }[name]().sigmoid()
            losses.append(-(y * score.log() + (1 - y) * (1 - score).log()))
        loss, terms, _ = taught(logits, batch, pooling=name, q=0.3, weight=2.0, absent=0.0)
        torch.testing.assert_close(loss.double(), 2 * torch.stack(losses).mean(), atol=1e-6, rtol=1e-5)
        assert terms.keys() == {"image_labels"}

    def test_pixels_lack_what_their_image_or_slice_lacks(self, grid, classes):
        logits, batch = example(grid, classes, seed=3)
        batch["mask"][1, ..., 0] = 0  # labels of their own
        losses = []
        for b, z in enumerate(logits.double()):
            for place in (batch["observed"][b] & (batch["mask"][b] == 255)).nonzero().tolist():
                absent = batch["labels"][b] == 0
                if "slice_labels" in batch:
                    absent = absent | (batch["slice_labels"][b, :, place[-1]] == 0)
                if absent.any():
                    p = z[(slice(None), *place)].softmax(0)
                    losses.append(-torch.log(1 - p[absent].sum()))
        _, terms, _ = taught(logits, batch, absent=0.7, weight=0.0)
        torch.testing.assert_close(terms["absent"].double(), 0.7 * torch.stack(losses).mean(), atol=1e-6, rtol=1e-5)
        assert terms.keys() == {"absent"}

    def test_an_image_that_lacks_all_is_background_throughout(self, grid, classes):
        logits, batch = example(grid, classes, slices=False)
        batch = {"mask": batch["mask"], "labels": torch.tensor([[NAN] + [0.0] * (classes - 1)] * grid[0])}
        background = torch.zeros_like(batch["mask"])
        z = logits.clone().requires_grad_()
        cross_entropy(z, background).backward()
        loss, _, gradient = taught(logits, batch, absent=1.0, weight=0.0)
        torch.testing.assert_close(loss, cross_entropy(logits, background))
        torch.testing.assert_close(gradient, z.grad, atol=1e-8, rtol=1e-5)

    def test_a_present_class_outside_its_share_of_the_image_is_drawn_back(self, grid, classes):
        logits, batch = example((30, *grid[1:]), classes)
        shares = torch.stack([z.softmax(1)[:, k].mean() for _, k, y, z in bags_of(logits.double(), batch) if y == 1])
        least, largest = (float(shares.quantile(q)) for q in (0.3, 0.6))
        hinge = (least - shares).relu() ** 2 + (shares - largest).relu() ** 2
        assert 0 < (hinge > 0).sum() < len(hinge)
        _, terms, _ = taught(logits, batch, area=[least, largest], area_weight=3.0, weight=0.0, absent=0.0)
        torch.testing.assert_close(terms["area"].double(), 3 * hinge.mean(), atol=1e-7, rtol=1e-5)

    def test_relabelling_the_classes_relabels_the_result(self, grid, classes):
        logits, batch = example(grid, classes)
        order = torch.randperm(classes, generator=torch.Generator().manual_seed(2))
        renamed = {key: value[:, order] if key.endswith("labels") else value for key, value in batch.items()}
        first, second = taught(logits, batch, area=[0.1, 0.2]), taught(logits[:, order], renamed, area=[0.1, 0.2])
        torch.testing.assert_close(second[0], first[0])
        torch.testing.assert_close(second[2], first[2][:, order], atol=1e-8, rtol=1e-5)

    def test_what_is_unknown_changes_no_bit(self, grid, classes):
        logits, batch = example(grid, classes)
        options = {"area": [0.1, 0.2], "smooth": 0.5 if len(grid) == 4 else 0.0}
        loss, _, gradient = taught(logits, batch, **options)
        more, unknown = example(grid, classes, seed=1)
        for key in ("labels", "slice_labels"):
            if key in unknown:
                unknown[key][:] = NAN
        for seed in (0, 1):  # whatever those images show
            shown = more[:, :, torch.randperm(grid[1], generator=torch.Generator().manual_seed(seed))]
            joint = {key: torch.cat([batch[key], unknown[key]]) for key in batch}
            found, _, whole = taught(torch.cat([logits, 100 * shown]), joint, **options)
            assert torch.equal(found, loss)
            assert torch.equal(whole[: grid[0]], gradient)
            assert (whole[grid[0] :] == 0).all()

    def test_unobserved_pixels_change_no_bit(self, grid, classes):
        logits, batch = example(grid, classes)
        options = {"area": [0.1, 0.2], "smooth": 0.5 if len(grid) == 4 else 0.0}
        other = torch.where(batch["observed"].unsqueeze(1), logits, 100 * example(grid, classes, seed=1)[0])
        first, second = taught(logits, batch, **options), taught(other, batch, **options)
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[2], second[2])

    @pytest.mark.parametrize("name", POOLINGS)
    @pytest.mark.parametrize("parts", ["micro-batches", "ranks"])
    def test_parts_of_a_step_add_up_to_it(self, grid, classes, name, parts):
        logits, batch = example(grid, classes)
        batch["mask"][0, ..., 0] = 1
        batch["labels"][2] = NAN
        options = {"pooling": name, "area": [0.1, 0.2], "smooth": 0.5 if len(grid) == 4 else 0.0}
        loss, _, gradient = taught(logits, batch, **options)
        method = Objective([{"name": "image_labels", **options}], classes).methods[0]
        pieces = [slice(0, 1), slice(1, 4)]
        halves = [{key: value[s] for key, value in batch.items()} for s in pieces]
        counts = [method.counts(half) for half in halves]
        world = 2 if parts == "ranks" else 1
        valid = float((batch["mask"] != 255).sum())
        losses, gradients = [], []
        for s, half, own, rest in zip(pieces, halves, counts, counts[::-1], strict=True):
            context = Context(n_valid=valid, n_images=4, world=world, over_ranks=make_sum(own, rest))
            part = taught(logits[s], half, context=context, **options)
            losses.append(part[0] / world)
            gradients.append(part[2] / world)
        torch.testing.assert_close(sum(losses), loss)
        torch.testing.assert_close(torch.cat(gradients), gradient, atol=1e-8, rtol=1e-5)

    @pytest.mark.parametrize("case", ["half", "huge", "bfloat16"])
    @pytest.mark.parametrize("name", POOLINGS)
    def test_loss_and_gradient_are_finite(self, grid, classes, name, case):
        logits, batch = example(grid, classes)
        z = {"half": logits.half(), "bfloat16": logits.bfloat16(), "huge": 1e4 * logits.sign()}[case]
        loss, _, gradient = taught(z, batch, pooling=name, area=[0.1, 0.2])
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0

    @pytest.mark.parametrize("case", ["no key", "nan", "unobserved"])
    def test_without_a_known_label_nothing_is_taught(self, grid, classes, case):
        logits, batch = example(grid, classes)
        if case == "unobserved":
            batch["observed"][:] = False
        for key in [key for key in batch if key.endswith("labels")]:
            if case == "nan":
                batch[key][:] = NAN
            if case == "no key":
                del batch[key]
        smooth = 0.5 if len(grid) == 4 else 0.0
        loss, terms, gradient = taught(logits, batch, area=[0.1, 0.2], smooth=smooth)
        assert float(loss) == 0
        assert (gradient == 0).all()
        assert terms.keys() >= {"image_labels", "area", "absent"}  # the same in every step, for the log


def make_sum(own, rest):
    def over_ranks(counts):
        assert torch.equal(counts, own)
        return counts + rest

    return over_ranks


def test_neighbouring_slices_are_drawn_together_where_anything_is_known():
    logits, batch = example((4, 5, 6, 3), 3)
    batch["labels"][1], batch["slice_labels"][1] = NAN, NAN
    p, seen = logits.double().softmax(1), batch["observed"]
    steps = [
        (p[b, :, i, j, z] - p[b, :, i, j, z + 1]).abs().sum() / 2
        for b in (0, 2, 3) for i in range(5) for j in range(6) for z in range(2)
        if seen[b, i, j, z] and seen[b, i, j, z + 1]
    ]  # fmt: skip
    _, terms, _ = taught(logits, batch, smooth=0.3)
    torch.testing.assert_close(terms["smoothness"].double(), 0.3 * torch.stack(steps).mean(), atol=1e-7, rtol=1e-5)


def test_targets_weights_and_label_errors_are_those_without_it():
    logits, batch = example((4, 9, 7), 3)
    batch["mask"][:, :5] = torch.randint(0, 3, (4, 5, 7), generator=torch.Generator().manual_seed(0))
    teacher = logits.flip(0).softmax(1)
    for name in ("kms", "gce"):
        alone, both = (
            Objective(stack, 3)(Output(logits, teacher=teacher), batch) for stack in ([name], [name, "image_labels"])
        )
        assert torch.equal(alone.target, both.target)
        assert torch.equal(alone.weight, both.weight)
        assert torch.equal(alone.label_error, both.label_error)
        torch.testing.assert_close(both.loss, alone.loss + sum(both.terms.regularisers.values()))


def test_each_of_two_networks_is_taught():
    logits, batch = example((4, 9, 7), 3)
    other = example((4, 9, 7), 3, seed=1)[0]
    single = [taught(z, batch)[1] for z in (logits, other)]
    together = Objective([{"name": "co_teaching", "forget": 0.2}, "image_labels"], 3)(
        [Output(logits), Output(other)], batch
    )
    for name, value in together.terms.regularisers.items():
        torch.testing.assert_close(value, single[0][name] + single[1][name])


def test_a_label_grid_of_its_own_counts_whole():
    logits, batch = example((4, 9, 7), 3)
    patches = {**batch, "observed": torch.zeros(4, 90, 70, dtype=torch.bool)}
    everything = {**batch, "observed": torch.ones(4, 9, 7, dtype=torch.bool)}
    assert torch.equal(taught(logits, patches)[0], taught(logits, everything)[0])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pooling": "les"}, r"method\.pooling: there is no pooling 'les'; did you mean 'lse'\?"),
        ({"r": -1.0}, r"method\.r: -1\.0 is not in"),
        ({"r": NAN}, r"method\.r: nan"),
        ({"q": 0.0}, r"method\.q: 0\.0 is not in \(0, 1\]"),
        ({"q": 1.5}, r"method\.q"),
        ({"weight": -1}, r"method\.weight: -1"),
        ({"absent": math.inf}, r"method\.absent"),
        ({"smooth": NAN}, r"method\.smooth"),
        ({"area_weight": -0.5}, r"method\.area_weight"),
        ({"area": 0.3}, r"method\.area: 0\.3 is not \[least, largest\]"),
        ({"area": [0.3, 0.1]}, r"method\.area"),
        ({"area": [0.1, 0.2, 0.3]}, r"method\.area"),
        ({"area": ["a", "b"]}, r"method\.area"),
        ({"q": "a lot"}, "wrong type"),
        ({"poolin": "lse"}, "did you mean 'pooling'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_in_a_line(options, told):
    with pytest.raises(UserError, match=told) as caught:
        Objective([{"name": "image_labels", **options}], 2)
    assert "\n" not in str(caught.value)


def test_one_class_alone_is_refused():
    with pytest.raises(UserError, match="one class alone"):
        Objective(["image_labels"], 1)


@pytest.mark.parametrize(
    ("grid", "change", "told"),
    [
        ((2, 4, 4), {"labels": torch.zeros(2, 2)}, r"labels: are \(2, 2\), not \(2, 3\): a column for each class"),
        ((2, 4, 4), {"labels": torch.full((2, 3), 0.3)}, r"labels: hold 0\.3; 1 is present"),
        ((2, 4, 4), {"labels": torch.zeros(2, 3)}, "lacks every class; leave its background unknown"),
        ((2, 4, 4), {"slice_labels": torch.zeros(2, 3, 4)}, "slice_labels: are for volumes, but the images have 2"),
        ((2, 4, 4, 5), {"slice_labels": torch.zeros(2, 3, 4)}, r"slice_labels: are \(2, 3, 4\), not \(2, 3, 5\)"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_are_told(grid, change, told):
    batch = {"mask": torch.full(grid, 255), **change}
    with pytest.raises(UserError, match=told):
        Objective(["image_labels"], 3)(torch.zeros(2, 3, *grid[1:]), batch)


def test_smoothness_is_for_volumes():
    logits, batch = example((4, 9, 7), 2)
    with pytest.raises(UserError, match=r"method\.smooth: is for volumes, but the images have 2 axes"):
        taught(logits, batch, smooth=0.1)


def blobs(shape, n, seed, radii):
    """Images in noise, three in four with a bright ellipsoid, and where it is."""
    g = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.arange(float(size)) for size in shape], indexing="ij")
    centres = torch.rand(n, len(shape), generator=g) * (torch.tensor(shape) - 8).clamp(min=5) + 4
    centres[:, 2:] -= 3
    apart = [sum(((x - c) / r) ** 2 for x, c, r in zip(axes, place, radii, strict=True)) for place in centres]
    mask = (torch.stack(apart) < 1).long()
    mask[::4] = 0
    return 1.5 * mask.unsqueeze(1) + 0.4 * torch.randn(n, 1, *shape, generator=g), mask


def dice_from(key, shape, radii, seed, steps=60):
    """Dice on other images of a network that is told only whether an image, or a slice, shows a blob; 0 untaught."""
    image, mask = blobs(shape, 16 if len(shape) == 3 else 32, seed, radii)
    conv, norm = (nn.Conv3d, nn.InstanceNorm3d) if len(shape) == 3 else (nn.Conv2d, nn.InstanceNorm2d)
    torch.manual_seed(seed)
    network = nn.Sequential(
        conv(1, 8, 3, padding=1), norm(8, affine=True), nn.ReLU(),
        conv(8, 8, 3, padding=1), norm(8, affine=True), nn.ReLU(), conv(8, 2, 1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), 2e-2)
    objective = Objective(["image_labels"], 2)
    shown = (mask.flatten(1) if key == "labels" else mask.flatten(1, 2)).amax(1).float()
    labels = torch.stack([torch.full_like(shown, NAN), shown], 1)
    for step in range(steps if key else 0):
        part = torch.arange(4 * step, 4 * step + 4) % len(image)
        batch = {"mask": torch.full_like(mask[part], 255), key: labels[part]}
        loss = objective(network(image[part]), batch, progress=step / steps).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    image, mask = blobs(shape, 32, seed + 100, radii)
    with torch.no_grad():
        found = network(image).argmax(1)
    return 2 * float((found * mask).sum()) / float(found.sum() + mask.sum())


def test_labels_of_images_teach_where_objects_are():
    for seed in (0, 1):
        taught_, untaught = (dice_from(key, (24, 24), (4, 3), seed) for key in ("labels", None))
        assert taught_ > 0.5
        assert taught_ > untaught + 0.3


def test_labels_of_slices_teach_more_than_labels_of_volumes_which_teach_something():
    slices, volumes = (
        [dice_from(key, (16, 16, 8), (3, 3, 1.5), seed) for seed in (0, 1)] for key in ("slice_labels", "labels")
    )
    assert min(volumes) > 0.3
    assert all(s > v + 0.05 for s, v in zip(slices, volumes, strict=True))
