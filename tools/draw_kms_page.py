"""Draws docs/assets/kms/*.png and writes docs/kms.md, its numbers included.

python tools/draw_kms_page.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from segnoise.data.scenes import field_scene
from segnoise.draws import generator
from segnoise.kms import error_map, kms_posterior, sample_field
from segnoise.noise import parse

DOCS = Path(__file__).parents[1] / "docs"
SIZE, SCENE = 192, 2
INK, RIGHT, WRONG, LINES = "#22313a", "#2a9d8f", "#d1495b", ("#8d99ae", "#e9a23b", "#2a9d8f", "#1d3557")
Map = NDArray[Any]


def truth() -> Map:
    """Fields of a drawn landscape: 1 in a field, 0 elsewhere."""
    return (field_scene(SIZE, SCENE).instances > 0).astype(np.int64)


def network(labels: Map, blur: float, doubt: float, seed: int) -> Map:
    """Probabilities of class 1 of a network that errs coherently: it sees the truth blurred, and its doubts are a field."""
    smooth = ndimage.gaussian_filter(labels.astype(float), blur)
    field = sample_field(labels.shape, 0.93, generator(seed, "network"))
    noise = generator(seed, "pixels").standard_normal(labels.shape)
    return 1 / (1 + np.exp(-(9 * (smooth - 0.5) + doubt * field + 0.8 * noise)))


def calibrated(labels: Map, strength: float, seed: int) -> Map:
    """Probabilities of class 1 from evidence that is as strong as it says: log-odds of mean +-s**2/2, variance s**2."""
    noise = generator(seed, "calibrated").standard_normal(labels.shape)
    return 1 / (1 + np.exp(-((labels - 0.5) * strength**2 + strength * noise)))


def pi(p: Map, given: Map, rho: float) -> Map:
    probs = torch.from_numpy(np.stack([1 - p, p]))[None].float()
    return error_map(probs, torch.from_numpy(given)[None], rho)[0].numpy()


def disbelief(p: Map, given: Map) -> Map:
    return np.where(given == 1, 1 - p, p)


def ece(score: Map, wrong: Map, bins: int = 15) -> float:
    index = np.minimum((score * bins).astype(int), bins - 1).ravel()
    gap = np.bincount(index, (score - wrong).ravel(), minlength=bins)
    return float(np.abs(gap).sum() / score.size)


def show(axis: Axes, picture: Map, title: str, **options: Any) -> None:
    axis.imshow(picture, interpolation="nearest", **options)
    axis.set_title(title, fontsize=9, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_visible(False)


def errors_in_colour(given: Map, true: Map) -> Map:
    """Given labels in grey, wrong ones in red."""
    picture = np.where((given == 1)[..., None], 0.82, 0.97) * np.ones(3)
    picture[given != true] = matplotlib.colors.to_rgb(WRONG)
    return picture


def save(figure: Any, name: str) -> None:
    folder = DOCS / "assets" / "kms"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=110, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def draw_fields(true: Map) -> None:
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
    show(axes[0], np.where((true == 1)[..., None], 0.82, 0.97) * np.ones(3), "true labels")
    for axis, rho in zip(axes[1:], (0.5, 0.9, 0.97), strict=True):
        given = parse(f"kms(0.2, rho={rho})").noisy_all([true], 1)[0][0]
        show(axis, errors_in_colour(given, true), f"20 % wrong, rho = {rho}")
    save(figure, "field")


def draw_maps(true: Map) -> dict[str, tuple[float, float]]:
    """AUROC and ECE of each score on data of the model's kind."""
    given = parse("kms(0.25, rho=0.9)").noisy_all([true], 3)[0][0]
    wrong = (given != true).astype(float)
    p = calibrated(true, 2.0, 5)
    scores = {
        "1 − p(given label)": disbelief(p, given),
        "pi, rho = 0": pi(p, given, 0.0),
        "pi, rho = 0.9": pi(p, given, 0.9),
    }
    figure, axes = plt.subplots(1, 4, figsize=(10, 3.1), layout="constrained")
    show(axes[0], errors_in_colour(given, true), "given labels, wrong ones red\n")
    told = {}
    for axis, (name, score) in zip(axes[1:], scores.items(), strict=True):
        told[name] = roc_auc_score(wrong.ravel(), score.ravel()), ece(score, wrong)
        show(axis, score, f"{name}\nAUROC {told[name][0]:.3f}, ECE {told[name][1]:.3f}", cmap="magma_r", vmin=0, vmax=1)
    save(figure, "map")
    figure, axis = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
    axis.plot([0, 1], [0, 1], color="#c8ced3", lw=1)
    for (name, score), colour in zip(scores.items(), LINES, strict=False):
        edges = np.linspace(0, 1, 11)
        index = np.clip(np.digitize(score, edges) - 1, 0, 9)
        enough = [k for k in range(10) if (index == k).sum() > 50]
        axis.plot(
            [score[index == k].mean() for k in enough],
            [wrong[index == k].mean() for k in enough],
            "o-",
            ms=4,
            color=colour,
            label=name,
        )
    axis.set(xlabel="predicted P(label is wrong)", ylabel="share that is wrong", xlim=(0, 1), ylim=(0, 1))
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, "reliability")
    return told


def draw_mechanism() -> None:
    figure, axis = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    sides = np.arange(1, 22, 2)
    for rho, colour in zip((0.0, 0.5, 0.75, 0.9), LINES, strict=True):
        centre = []
        for side in sides:
            evidence = torch.full((1, 61, 61), -3.0)
            half = side // 2
            evidence[0, 30 - half : 31 + half, 30 - half : 31 + half] = 1.0
            centre.append(float(kms_posterior(evidence, rho, steps=60).p_wrong[0, 30, 30]))
        axis.plot(sides, centre, "o-", ms=4, color=colour, label=f"rho = {rho:g}")
    axis.set(xlabel="side of the suspicious patch, pixels", ylabel="P(wrong) at its centre", ylim=(0, 1))
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, "mechanism")


def draw_failure(true: Map) -> tuple[float, float]:
    """Shares of right labels that are called wrong, and of these how many lie within 4 px of an outline."""
    p = network(true, 4.0, 1.5, 7)
    score = pi(p, true, 0.9)
    called = score > 0.5
    figure, axes = plt.subplots(1, 3, figsize=(7.6, 2.8), layout="constrained")
    show(axes[0], np.where((true == 1)[..., None], 0.82, 0.97) * np.ones(3), "given labels, all of them right")
    show(axes[1], p, "a network that still sees blurred", cmap="gray", vmin=0, vmax=1)
    show(axes[2], score, "pi, rho = 0.9", cmap="magma_r", vmin=0, vmax=1)
    save(figure, "failure")
    edge = ndimage.binary_dilation(true == 1, iterations=4) & ~ndimage.binary_erosion(
        true == 1, iterations=4, border_value=1
    )
    return float(called.mean()), float((called & edge).sum() / max(called.sum(), 1))


def ranking(true: Map) -> str:
    """A table: how well each score ranks wrong labels where the network errs coherently, over five draws."""
    rows = ["| labels | 1 − p(given) | pi, rho = 0.5 | pi, rho = 0.9 |", "| --- | --- | --- | --- |"]
    for noise in ("kms(0.2)", "kms(0.4)", "boundary(3px)", "omission(0.3)"):
        found: list[list[tuple[float, float]]] = []
        for seed in range(5):
            given = parse(noise).noisy_all([true], seed)[0][0]
            wrong = (given != true).ravel()
            p = network(true, 2.0, 1.5, 20 + seed)
            scores = [disbelief(p, given), pi(p, given, 0.5), pi(p, given, 0.9)]
            found.append([(roc_auc_score(wrong, s.ravel()), average_precision_score(wrong, s.ravel())) for s in scores])
        mean = np.mean(found, axis=0)
        rows.append(f"| `{noise}` | " + " | ".join(f"{auroc:.3f} / {ap:.3f}" for auroc, ap in mean) + " |")
    return "\n".join(rows)


def page(told: dict[str, tuple[float, float]], failure: tuple[float, float], table: str) -> str:
    plain, best = told["1 − p(given label)"], told["pi, rho = 0.9"]
    return f"""<!-- Written by tools/draw_kms_page.py. -->
# Errors in patches: the KMS model

Label errors are rarely alone. A cloud shadow, a tired hour or a wrong layer spoils a whole stretch, so a wrong label makes its neighbour
suspicious. Most methods for noisy labels look at one pixel at a time and cannot use that. `kms` can, exactly, and at a cost that grows with the number of pixels.

## The model

Every pixel has an error rate *r*, and its logit is a Gaussian field over the image whose correlation falls by a factor ρ from pixel to pixel
(the Kac–Murdock–Szegő covariance, ρ^(|Δrow| + |Δcolumn|)). With rate *r* the given label is one of the other classes, else the true one.

![Labels with 20 % errors at three correlations](assets/kms/field.png)

A network says how likely each class is. That makes evidence for or against every given label, and the field carries it to the neighbours. What
comes out is **π, the probability that the given label is wrong**, with the true label summed out exactly:

π = E[ r w / ((1 − r) p(given) + r w) ],  w = (1 − p(given)) / (C − 1)

The expectation is over the field's posterior, which is found by a few steps of ascent for each image
([`kms_posterior`](api.md#segnoise.kms.kms_posterior)). Nothing is stored, nothing is trained.

## What the neighbours are worth

![Given labels and three scores](assets/kms/map.png)

Errors in patches, and a classifier that is weak but honest about it. One minus the probability of the given label, the score that everybody
uses, is grainy (AUROC {plain[0]:.3f}) and far too large (its calibration error is {plain[1]:.3f}). π with ρ = 0.9 ranks at {best[0]:.3f} and is off by {best[1]:.3f}.

![Reliability diagram](assets/kms/reliability.png)

Where π says 30 %, about 30 % of the labels are wrong, if the probabilities that go in are calibrated: π is as honest as they are.

## The mechanism, and its size

![P(wrong) at the centre of a patch](assets/kms/mechanism.png)

A square of pixels that look mildly wrong (log-odds 1) in a place that looks right (log-odds −3). Without correlation each is judged alone. With
it the verdict grows with the square: isolated doubts are forgiven, coherent ones add up, the more sharply the larger ρ is.

## Where that goes wrong

![A network that has not learnt the outlines yet](assets/kms/failure.png)

Here every label is right, but the network has not learnt the outlines yet. Its errors are coherent too, so they look like label errors: {100 * failure[0]:.0f} % of the
right labels get π above one half, {100 * failure[1]:.0f} % of them within 4 pixels of an outline. If training is corrected by such a map, the network
is confirmed in what it has not learnt. That is why

- held-out labels say first how sure the network may be taken to be, and how many labels are wrong: where hardly any are, π is small
  everywhere ([how](methods.md));
- the correction starts late (`start: 0.5`), when the network has learnt what it can from the labels as they are;
- the evidence is never the momentary word of the network that is being trained, but a temporal ensemble or a teacher;
- there is a [gate](methods.md): `gate: true` keeps plain training wherever that explains held-out labels better.

Do not use `kms` in training where outlines are displaced or objects are missing: the errors follow the image, the network agrees with
them, and measured gains are nil ([results](results.md)). Use the map for review all the same, with a small ρ.

## Which ρ

AUROC / average precision of wrong labels, where the network errs coherently (mean of five draws on the landscape above):

{table}

A large ρ trusts patches, and pays where errors are thin: along displaced outlines 0.9 ranks worse than no field at all, 0.5 does not. **0.9
for training** against patches, **0.5 for review lists**, where nobody knows what the errors are like. (On this network missing objects are
patches; where a network agrees with wrong labels no score finds them.) As a length in pixels a correlation is −1 / ln ρ ([`rho_from_length`](api.md#segnoise.kms.rho_from_length)): 1.4 at 0.5, 9.5 at 0.9.

## In code

```python
import segnoise as sn

p_wrong = sn.error_map(probs, labels, rho=0.5)  # B C H W and B H W: any model's probabilities

evidence = sn.kms.label_log_odds(probs.log(), labels)
field = sn.kms.estimate_field(evidence)  # rate, mu, sigma and a rho for each axis
posterior = sn.kms.kms_posterior(evidence, field.rho, field.mu, field.sigma)
bound = sn.kms.kms_bound(evidence, posterior, field.rho, field.mu, field.sigma)  # how well it explains each image
```

[`estimate_field`](api.md#segnoise.kms.estimate_field) learns how often labels are wrong and how far errors reach, from pairs of pixels. It is exact for
evidence that is calibrated; what a network gets wrong in patches it counts as errors of the labels.

Rasters and volumes of any size: [`map_label_errors` and `error_map_array`](library.md); in training: [`method: kms`](methods.md). The figures and numbers of
this page are drawn by `python tools/draw_kms_page.py`.

Tadokoro, Takagi and Maeda, *A Bayesian approach to segmentation with noisy labels via spatially correlated distributions* (2025), proposed the
field; summing the true label out, and with it the calibrated π, is segnoise's.
"""


def main() -> None:
    true = truth()
    draw_fields(true)
    told = draw_maps(true)
    draw_mechanism()
    (DOCS / "kms.md").write_text(page(told, draw_failure(true), ranking(true)))


if __name__ == "__main__":
    main()
