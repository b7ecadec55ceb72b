"""The pictures of the method pages, made by the methods themselves: pulls on logits, targets, and pixels left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from draw_kms_page import INK, RIGHT, WRONG, Map, errors_in_colour, network, show, truth
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from PIL import Image
from torch import Tensor

from segnoise.methods import Channel, Context, Objective, Output
from segnoise.noise import parse

Spec = str | Mapping[str, Any]

P = np.linspace(0.01, 0.99, 99)
GREY, ORANGE = "#c3cad0", "#e9a23b"
COLOURS = (RIGHT, ORANGE, "#1d3557", WRONG)
PIXELS = 400  # of an image whose loss is of the whole


def pull(spec: Spec, classes: int, p: Map, teacher: float | None = None) -> Map:
    """How a pixel's loss pulls at the logit of its label, ``-dl/dz_y``, where the network gives the label p.

    The other classes share the rest. ``teacher`` is what a teacher gives the label; by default what the network does.
    """
    logits = _logits(torch.from_numpy(p).float(), classes)[None, :, None].requires_grad_()
    said = (
        logits.detach().softmax(1)
        if teacher is None
        else _logits(torch.full((len(p),), teacher), classes)[None, :, None].softmax(1)
    )
    mask = torch.zeros(1, 1, len(p), dtype=torch.long)
    Objective([spec], classes)(Output(logits, said), {"mask": mask}).loss.backward()
    return -len(p) * logits.grad[0, 0, 0].numpy()


def pull_in_image(spec: Spec, classes: int, p: Map, share: float, believed: float = 0.9, wrong: float = 0.0) -> Map:
    """The same for one pixel of an image whose loss is of the whole, times the number of pixels.

    Its class has a ``share`` of the image, the other classes the rest; the network gives the other labels ``believed``,
    but ``1 - believed`` to a share ``wrong`` of them.
    """
    labels = torch.ones(PIXELS, dtype=torch.long)
    labels[: round(share * PIXELS)] = 0
    if classes > 2:
        labels[-round((1 - share) * PIXELS / 2) :] = 2
    belief = torch.full((PIXELS,), believed)
    belief[torch.arange(1, PIXELS)[torch.linspace(0, PIXELS - 2, round(wrong * PIXELS)).long()]] = 1 - believed
    given = belief.repeat(len(p), 1)
    given[:, 0] = torch.from_numpy(p).float()
    first = _logits(given, classes).movedim(0, 1)  # B C D, the label first
    order = (torch.arange(classes)[:, None] - labels) % classes
    logits = first.gather(1, order.expand(len(p), -1, -1)).requires_grad_()
    Objective([spec], classes)(logits, {"mask": labels.repeat(len(p), 1)}).loss.backward()
    return -len(p) * PIXELS * logits.grad[:, 0, 0].numpy()


def draw_scales(path: Path) -> None:
    """The weights of ``ms_tfal``: of videos by rank, and of clips by their confidence, asked of the method."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.0), sharey=True, layout="constrained")
    ranks = np.arange(15)
    for lowest, colour in ((0.4, WRONG), (0.7, RIGHT)):
        weights = [_scale(ranks, int(k), 0.5, stages=[0, 1, 1], lowest=lowest) for k in ranks]
        axes[0].plot(ranks + 1, weights, color=colour, lw=1.8, marker="o", ms=3.5, label=f"lowest: {lowest:g}")
    axes[0].set(xlabel="video, the worst of fifteen first", ylabel="weight", ylim=(0, 1.8))
    differences = np.linspace(-0.25, 0.25, 21)
    for scale, colour in ((2.0, WRONG), (1.0, RIGHT)):
        weights = [_scale(np.zeros(15), 14, d, stages=[0, 0, 1], lowest=1.0, scale=scale) for d in differences]
        axes[1].plot(differences, weights, color=colour, lw=1.8, label=f"scale: {scale:g}")
    axes[1].set(xlabel="confidence of the clip minus that of all")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.legend(frameon=False, fontsize=8.5, loc="lower right")
    _save(figure, path)


def _scale(confidences: Map, video: int, above: float, **options: Any) -> float:
    """The weight of a clip of a video, whose confidence is ``above`` that of all; every video has its own confidence."""
    objective = Objective([{"name": "ms_tfal", "stride": 1, "relabel": "self", **options}], 2)
    objective.begin(len(confidences))
    # Two frames of two pixels whose features are unit vectors: P = cos, Q = 0, so C = cos + 1.
    cos = min(max(above + 0.5, 0.0), 1.0)
    features = torch.zeros(1, 3, 2, 1, 2)
    features[0, 0, 0, 0, 0], features[0, 1, 0, 0, 1] = 1.0, 1.0
    features[0, 0, 1, 0, 0], features[0, 1, 1, 0, 1] = cos, cos
    features[0, 2, 1] = (1 - cos**2) ** 0.5
    mask = torch.tensor([0, 1]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    told = {"mask": mask, "index": torch.tensor([video])}
    objective.methods[0].videos[:] = torch.tensor([[1.0, c, 0.0, 0.0] for c in confidences + 1.5])
    output = Output(torch.zeros(1, 2, 2, 1, 2), features=features)
    return float(objective(output, told, progress=0.5).weight.flatten()[0])


def _logits(p: Tensor, classes: int) -> Tensor:
    """``C *S``: those of probability p for the first class and equal ones for the others."""
    rest = ((1 - p) / (classes - 1)).log()
    return torch.stack([p.log(), *[rest] * (classes - 1)])


def draw_pulls(path: Path, lines: Mapping[str, Any], top: float | None = None) -> None:
    """The pulls of ``lines`` (a name, and a function of C) beside that of cross-entropy, for two classes and three."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), sharey=True, layout="constrained")
    for axis, classes in zip(axes, (2, 3), strict=True):
        axis.axhline(0, color=GREY, lw=0.8)
        axis.plot(P, pull("cross_entropy", classes, P), color=GREY, lw=3, label="cross_entropy")
        for (name, made), colour in zip(lines.items(), COLOURS, strict=False):
            axis.plot(P, made(classes), color=colour, lw=1.8, label=name)
        axis.set_title(f"{classes} classes", fontsize=10, color=INK)
        axis.set(xlabel="p(given label)", xlim=(0, 1))
        if top is not None:
            axis.set_ylim(top=top)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("pull on the label's logit")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8.5)
    _save(figure, path)


class Drawn:
    """A drawn landscape of fields, labels with errors in patches, and a network that errs coherently."""

    def __init__(self) -> None:
        self.true = truth()
        self.given = parse("kms(0.25, rho=0.9)").noisy_all([self.true], 3)[0][0]
        self.rate = float((self.given != self.true).mean())
        self.p = [network(self.true, 3.0, 1.5, seed) for seed in (7, 8)]
        shares = (1 - float(self.true.mean()), float(self.true.mean()))
        matrix = ((1 - self.rate, self.rate), (self.rate, 1 - self.rate))
        self.channel = Channel(1.0, matrix, shares)
        self.batch = {"mask": torch.from_numpy(self.given)[None]}

    def output(self, which: int = 0) -> Output:
        probs = torch.from_numpy(np.stack([1 - self.p[which], self.p[which]]))[None].float()
        return Output(probs.log().requires_grad_(), probs)

    def supervised(self, spec: Spec) -> tuple[Map, Map]:
        """Target of class 1, and P(label wrong), at the end of training; held-out labels tell the error rate."""
        objective = Objective([spec], 2)
        objective.calibrate(self.channel)
        result = objective(self.output(), self.batch)
        return result.target[0, 1].detach().numpy(), result.label_error[0].detach().numpy()

    def pulls(self, spec: Spec) -> Map:
        """At the logit of class 1."""
        output = self.output()
        Objective([spec], 2)(output, self.batch).loss.backward()
        return -self.true.size * output.logits.grad[0, 1].numpy()

    def kept(self, spec: Spec) -> list[Map]:
        """The pixels that each of two networks learns from."""
        objective = Objective([spec], 2)
        objective.calibrate(self.channel)
        outputs = [self.output(0), self.output(1)]
        objective.observe(outputs, self.batch, [], Context())
        return [(s.weight[0] > 0).numpy() for s in objective(outputs, self.batch).supervision]

    def wrong_in(self, target: Map) -> float:
        """The share of a target's pixels that lies on the wrong side."""
        return float(((target > 0.5) != (self.true == 1)).mean())


def draw_targets(path: Path, scene: Drawn, spec: Spec, middle: str) -> tuple[float, float]:
    """Given labels, network, P(label wrong) where ``middle`` names it, and target; wrong labels before and after."""
    target, doubt = scene.supervised(spec)
    figure, axes = plt.subplots(1, 4 if middle else 3, figsize=(10 if middle else 7.6, 2.85), layout="constrained")
    _labels_and_network(axes, scene)
    if middle:
        show(axes[2], doubt, middle, cmap="magma_r", vmin=0, vmax=1)
    show(axes[-1], target, "target of “field”", cmap="gray", vmin=0, vmax=1)
    _save(figure, path)
    return scene.rate, scene.wrong_in(target)


def draw_held(path: Path, scene: Drawn, specs: Mapping[str, Spec]) -> tuple[float, ...]:
    """Given labels, network, and how each of ``specs`` pulls at the logit of “field”; the means of where it is wrong."""
    figure, axes = plt.subplots(1, 2 + len(specs), figsize=(10, 2.85), layout="constrained")
    _labels_and_network(axes, scene)
    wrong = scene.given != scene.true
    towards = []
    for axis, (name, spec) in zip(axes[2:], specs.items(), strict=True):
        pulls = scene.pulls(spec)
        show(axis, pulls, name, cmap="PuOr_r", vmin=-1, vmax=1)
        towards.append(float((pulls * np.where(scene.given == 1, 1, -1))[wrong].mean()))
    _save(figure, path)
    return tuple(towards)


def draw_dropped(path: Path, scene: Drawn, specs: Mapping[str, Spec]) -> tuple[float, ...]:
    """Given labels and what the first network does not learn from under each of ``specs``; how much of it is wrong."""
    figure, axes = plt.subplots(1, 1 + len(specs), figsize=(10, 3.1), layout="constrained")
    wrong = scene.given != scene.true
    show(axes[0], errors_in_colour(scene.given, scene.true), "given labels")
    told = []
    for axis, (name, spec) in zip(axes[1:], specs.items(), strict=True):
        kept = scene.kept(spec)[0]
        picture = errors_in_colour(scene.given, scene.true)
        picture[~kept & wrong], picture[~kept & ~wrong] = to_rgb(RIGHT), to_rgb(ORANGE)
        show(axis, picture, name)
        told.append(float(wrong[~kept].mean()))
    figure.legend(
        handles=[
            Patch(color=WRONG, label="wrong, learnt from"),
            Patch(color=RIGHT, label="wrong, left out"),
            Patch(color=ORANGE, label="right, left out"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    _save(figure, path)
    return tuple(told)


def draw_said(path: Path, scene: Drawn, said: Sequence[tuple[str, Spec, float]]) -> None:
    """A network, and how what is said of the whole image (1, 0) pulls at the logit of “field” in each pixel."""
    figure, axes = plt.subplots(1, 1 + len(said), figsize=(10, 2.85), layout="constrained")
    show(axes[0], scene.p[0], "network, no masks", cmap="gray", vmin=0, vmax=1)
    for axis, (name, spec, there) in zip(axes[1:], said, strict=True):
        output = scene.output()
        batch = {"mask": torch.full((1, *scene.true.shape), 255), "labels": torch.tensor([[float("nan"), there]])}
        Objective([spec], 2)(output, batch).loss.backward()
        pulls = -output.logits.grad[0, 1].numpy()
        stretched = np.sign(pulls) * (np.abs(pulls) / np.abs(pulls).max()) ** 0.3
        show(axis, stretched, name, cmap="PuOr_r", vmin=-1, vmax=1)
        if (rows := np.argwhere(np.abs(stretched) > 0.5)).shape[0] < 20:
            axis.plot(rows[:, 1], rows[:, 0], "o", ms=12, mfc="none", mec=WRONG)
    _save(figure, path)


def _labels_and_network(axes: Sequence[Axes], scene: Drawn) -> None:
    show(axes[0], errors_in_colour(scene.given, scene.true), "given labels, wrong ones red")
    show(axes[1], scene.p[0], "network, P(field)", cmap="gray", vmin=0, vmax=1)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=110, facecolor="white")
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_all(folder: Path) -> dict[str, tuple[float, ...]]:
    """Every picture, as ``<page>.png`` (``<page>_<what>.png``); what the pages say of them in numbers."""
    torch.manual_seed(0)
    scene = Drawn()

    def losses(*specs: tuple[str, Spec]) -> dict[str, Any]:
        return {name: lambda classes, spec=spec: pull(spec, classes, P) for name, spec in specs}

    def images(*specs: tuple[str, Spec, dict[str, float]]) -> dict[str, Any]:
        return {
            name: lambda classes, spec=spec, how=how: pull_in_image(spec, classes, P, **how)
            for name, spec, how in specs
        }

    draw_pulls(
        folder / "cross_entropy.png",
        losses(
            ("label_smoothing: 0.1", {"name": "cross_entropy", "label_smoothing": 0.1}),
            ("label_smoothing: 0.4", {"name": "cross_entropy", "label_smoothing": 0.4}),
        ),
    )
    draw_pulls(folder / "gce.png", losses(*[(f"gce, q: {q:g}", {"name": "gce", "q": q}) for q in (0.3, 0.7, 1.0)]))
    draw_pulls(
        folder / "sce.png",
        losses(
            ("sce (alpha 0.1, beta 0.1)", "sce"),
            ("alpha: 0.5, beta: 0.1", {"name": "sce", "alpha": 0.5}),
            ("alpha: 0.1, beta: 0.3", {"name": "sce", "beta": 0.3}),
        ),
    )
    draw_pulls(folder / "mae.png", losses(("mae", "mae"), ("rce", "rce")))
    draw_pulls(
        folder / "nce.png",
        losses(("nce_rce", "nce_rce"), ("nce_mae", "nce_mae"), ("N alone", {"name": "nce_rce", "beta": 0.0})),
    )
    draw_pulls(
        folder / "bootstrap_soft.png",
        losses(
            ("bootstrap_soft (beta 0.9)", "bootstrap_soft"),
            ("beta: 0.7", {"name": "bootstrap_soft", "beta": 0.7}),
            ("beta: 0.5", {"name": "bootstrap_soft", "beta": 0.5}),
        ),
    )
    elr = {f"elr, teacher {t:g}": (lambda classes, t=t: pull("elr", classes, P, t)) for t in (0.1, 0.5, 0.9)}
    draw_pulls(folder / "elr_pull.png", elr, top=4)
    overlap = [(f"dice, {100 * s:.0f} %", "dice", {"share": s}) for s in (0.05, 0.2, 0.5)]
    draw_pulls(folder / "dice.png", images(*overlap, ("tversky, 20 %", "tversky", {"share": 0.2})))
    draw_pulls(
        folder / "nr_dice.png",
        images(
            ("nr_dice (gamma 1.5), 20 %", "nr_dice", {"share": 0.2}),
            ("gamma: 2, 20 %", {"name": "nr_dice", "gamma": 2.0}, {"share": 0.2}),
            ("gamma: 1, 20 %", {"name": "nr_dice", "gamma": 1.0}, {"share": 0.2}),
        ),
    )
    bad = [
        (f"tloss, {100 * w:.0f} % contradicted", "tloss", {"share": 0.5, "believed": 0.95, "wrong": w})
        for w in (0.02, 0.2, 0.5)
    ]
    draw_pulls(folder / "tloss.png", images(*bad))
    draw_scales(folder / "ms_tfal.png")
    draw_said(
        folder / "image_labels.png",
        scene,
        (
            ("“a field is in it”, top_q", "image_labels", 1.0),
            ("“a field is in it”, lse", {"name": "image_labels", "pooling": "lse"}, 1.0),
            ("“no field is in it”", "image_labels", 0.0),
        ),
    )
    small = {
        "co_teaching": "co_teaching",
        "co_teaching, level: region": {"name": "co_teaching", "level": "region"},
        "jocor": "jocor",
    }
    told_rate = {"name": "forward", "confusion": "held_out"}
    held = {"pull of cross_entropy": "cross_entropy", "pull of elr": "elr"}
    return {
        "bootstrap": draw_targets(folder / "bootstrap_hard.png", scene, "bootstrap_hard", ""),
        "forward": draw_targets(folder / "forward.png", scene, told_rate, "P(label wrong)"),
        "kms": draw_targets(folder / "kms.png", scene, "kms", "P(label wrong)"),
        "elr": draw_held(folder / "elr.png", scene, held),
        "co_teaching": draw_dropped(folder / "co_teaching.png", scene, small),
    }
