"""What the KMS model costs, as ratios inside one process: CPU seconds, in turn, the minimum of rounds.

OMP_NUM_THREADS=1 python tools/bench_kms.py --rounds 5

Four questions: what does the E-step cost beside a plain cross-entropy forward and backward on the same logits, and a
whole robust step beside a plain one; what beside the published method's batch, whose stencils are put together here
from its equations, without its Python loops over border pixels and without its ten further forwards of the network;
how fast are density and draws beside gpytorch's Toeplitz operators at the largest grid that those can do;
and how many arrays of the size of the batch does the E-step have at once, beside the evidence and its results.
"""

from __future__ import annotations

import argparse
import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import KroneckerProductLinearOperator, ToeplitzLinearOperator
from timing import compare
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus, unfold
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segnoise.kms import KMSLinearOperator, kms_posterior, label_log_odds, soft_target
from segnoise.methods import Context, Objective
from segnoise.networks import build_network
from segnoise.training import System

BATCH, RHO, MU, SIGMA = 8, 0.75, -2.0, 1.3133
PARTS = ["e", "step", "published", "field", "memory"]


# ---- the E-step ----


def e_step_rows(rounds: int) -> list[str]:
    rows = [
        "| batch of 8, times cross-entropy forward and backward | one ascent | E-phase (6 ascents) | E-phase and M-step |",
        "| --- | --- | --- | --- |",
    ]
    for side in (64, 128, 256, 512):
        for classes in (2, 9):
            generator = torch.Generator().manual_seed(0)
            logits = (3 * torch.randn(BATCH, classes, side, side, generator=generator)).requires_grad_()
            labels = torch.randint(0, classes, (BATCH, side, side), generator=generator)
            evidence = label_log_odds(logits.detach().log_softmax(1), labels)

            def batch(logits: Tensor = logits, labels: Tensor = labels) -> None:
                log_p = logits.log_softmax(1)
                fixed = log_p.detach()
                p_wrong = kms_posterior(label_log_odds(fixed, labels)).p_wrong
                (-(soft_target(fixed, labels, p_wrong) * log_p).sum(1).mean()).backward()  # type: ignore[no-untyped-call]

            found = compare(
                rounds if side < 512 else 2,
                plain=lambda logits=logits, labels=labels: cross_entropy(logits, labels).backward(),
                six=lambda evidence=evidence: kms_posterior(evidence, steps=6),
                sixteen=lambda evidence=evidence: kms_posterior(evidence, steps=16),
                batch=batch,
            )
            one = (found["sixteen"] - found["six"]) / 10
            ratios = " | ".join(f"{v / found['plain']:.1f}" for v in (one, found["six"], found["batch"]))
            rows.append(f"| {side}², {classes} classes | {ratios} |")
    return rows


# ---- a whole step ----


def step_rows(rounds: int) -> list[str]:
    rows = [
        "| step, 4 bands, times cross-entropy | kms, evidence at hand | kms, teacher's forward |",
        "| --- | --- | --- |",
    ]
    for name, encoder, side in (("Unet", "resnet18", 256), ("BasicUNet", None, 64), ("BasicUNet", None, 128)):
        network = build_network(name, 4, 2, encoder=encoder)
        batch = {"image": torch.randn(BATCH, 4, side, side), "mask": torch.randint(0, 2, (BATCH, side, side))}
        known = torch.randn(BATCH, 2, side, side).softmax(1)
        steps: dict[str, Callable[[], object]] = {}
        for key, method in (("plain", "cross_entropy"), ("at_hand", "kms"), ("teacher", "kms")):
            options = {"name": method} | ({"ensemble": 0} if method == "kms" else {})
            system = System(copy.deepcopy(network), Objective([options], num_classes=2))
            if key == "at_hand":
                teacher = system.teachers[0]
                teacher.forward = lambda image, known=known: known.log()  # type: ignore[method-assign, assignment, misc]
            optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], 1e-3)

            def step(
                system: System = system, optimiser: torch.optim.Optimizer = optimiser, batch: dict[str, Tensor] = batch
            ) -> None:
                optimiser.zero_grad()
                system(batch, Context(progress=1.0))["loss"].backward()
                optimiser.step()
                system.update_teacher(100)

            steps[key] = step
        found = compare(min(rounds, 3), **steps)
        title = f"{name} {encoder or ''}".strip()
        rows.append(
            f"| {title}, 8 x {side}² | {found['at_hand'] / found['plain']:.2f} | {found['teacher'] / found['plain']:.2f} |"
        )
    return rows


# ---- memory ----


class Live(TorchDispatchMode):
    """Bytes of the tensors that operations have made and that are still there, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, storage._cdata, None)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def memory_rows() -> list[str]:
    rows = ["| images at once | work arrays, in arrays of the batch |", "| --- | --- |"]
    for batch, side in ((BATCH, 64), (BATCH, 128), (BATCH, 256), (BATCH, 512), (1, 1024)):
        evidence = 2 * torch.randn(batch, side, side) - 2
        kms_posterior(evidence)  # what is kept of the bases
        with Live() as live:
            found = kms_posterior(evidence)
        results = sum(t.nbytes for t in found)
        rows.append(f"| {batch} of {side}² | {(live.peak - results) / evidence.nbytes:.1f} |")
    return rows


# ---- the published method ----


def stencil(height: int, width: int, off: float) -> Tensor:
    """The 3 x 3 stencils ``9 x HW`` of the Kronecker product of two tridiagonal matrices: 1 at the ends, 1 + rho**2
    inside, ``off`` beside."""
    lines = []
    for n in (height, width):
        line = torch.zeros(3, n)
        line[1] = 1 + RHO**2
        line[1, 0] = line[1, -1] = 1
        line[0, 1:] = line[2, :-1] = off
        lines.append(line)
    product = torch.einsum("ai,bj->abij", *lines) / (1 - RHO**2) ** 2
    return product.reshape(9, height * width)


def quadratic(x: Tensor, weights: Tensor) -> Tensor:
    """``x' Q x`` of each image, by unfolding."""
    around = unfold(x.unsqueeze(1), 3, padding=1)
    return (around * weights).sum(1).mul(x.flatten(1)).sum(1)


def published(logits: Tensor, labels: Tensor) -> Callable[[], None]:
    """One batch: an M-step, and ten E-steps with a fresh Adam on mean and deviation of every pixel."""
    height, width = labels.shape[1:]
    pixels = height * width

    def evidence(logits: Tensor) -> tuple[Tensor, Tensor]:
        log_p = (logits.softmax(1) + 1e-8).log()
        right = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
        return right, (log_p.sum(1) - right) / (logits.shape[1] - 1) - right

    def loss(logits: Tensor, m: Tensor, raw: Tensor) -> Tensor:
        g = softplus(raw)
        prior = stencil(height, width, -RHO).expand(BATCH, 9, pixels).contiguous()
        spread = stencil(height, width, -RHO * RHO).expand(BATCH, 9, pixels).contiguous()
        rate = torch.sigmoid(m + g.sqrt() * torch.randn_like(m))
        right, against = evidence(logits)
        data = (right + against * rate).flatten(1).sum(1)
        kl = 0.5 * (
            quadratic(m - MU, prior) / SIGMA**2
            + quadratic(g, spread) / SIGMA**2
            - 2 * (g + 1e-8).log().flatten(1).sum(1)
        )
        return ((kl - data) / pixels).mean()

    def batch() -> None:
        m = torch.full((BATCH, height, width), -5.0)
        raw = torch.ones(BATCH, height, width)
        loss(logits, m, raw).backward()  # type: ignore[no-untyped-call]
        m.requires_grad_()
        raw.requires_grad_()
        optimiser = torch.optim.Adam([m, raw], 0.1)
        for _ in range(10):
            optimiser.zero_grad()
            loss(logits.detach(), m, raw).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return batch


def published_rows(rounds: int) -> list[str]:
    rows = [
        "| batch of 8, two classes | published / cross-entropy | ours / cross-entropy | published / ours |",
        "| --- | --- | --- | --- |",
    ]
    for side in (64, 128, 256):
        logits = torch.randn(BATCH, 2, side, side, requires_grad=True)
        labels = torch.randint(0, 2, (BATCH, side, side))

        def ours(logits: Tensor = logits, labels: Tensor = labels) -> None:
            log_p = logits.log_softmax(1)
            fixed = log_p.detach()
            p_wrong = kms_posterior(label_log_odds(fixed, labels)).p_wrong
            (-(soft_target(fixed, labels, p_wrong) * log_p).sum(1).mean()).backward()  # type: ignore[no-untyped-call]

        found = compare(
            min(rounds, 3),
            plain=lambda logits=logits, labels=labels: cross_entropy(logits, labels).backward(),
            theirs=published(logits, labels),
            ours=ours,
        )
        theirs, mine = found["theirs"] / found["plain"], found["ours"] / found["plain"]
        rows.append(f"| {side}² | {theirs:.0f} | {mine:.1f} | {theirs / mine:.1f} |")
    return rows


# ---- density and draws ----


def field_rows(rounds: int, sides: list[int]) -> list[str]:
    rows = [
        "| ns a pixel | log-density | draw | gpytorch, Kronecker of Toeplitz: log-density | draw |",
        "| --- | --- | --- | --- | --- |",
    ]
    for side in sides:
        operator = KMSLinearOperator((side, side), 0.9)
        x = torch.randn(side, side)
        functions: dict[str, Callable[[], object]] = {
            "density": lambda operator=operator, x=x: operator.inv_quad_logdet(x.flatten(), logdet=True),
            "draw": lambda operator=operator: operator.zero_mean_mvn_samples(1),
        }
        if side <= 512:
            line = ToeplitzLinearOperator(0.9 ** torch.arange(side, dtype=torch.float32))
            normal = MultivariateNormal(torch.zeros(side * side), KroneckerProductLinearOperator(line, line))
            functions["their_density"] = lambda normal=normal, x=x: normal.log_prob(x.flatten())
            functions["their_draw"] = normal.sample
        with torch.no_grad():
            found = compare(rounds if side <= 4096 else 1, **functions)
        told = [
            f"{found[k] / side**2 * 1e9:,.0f}" if k in found else "–"
            for k in ("density", "draw", "their_density", "their_draw")
        ]
        rows.append(f"| {side:,}² | {' | '.join(told)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 4096, 8192], help="of the fields")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    parts: dict[str, Callable[[], list[str]]] = {
        "e": lambda: e_step_rows(args.rounds),
        "step": lambda: step_rows(args.rounds),
        "published": lambda: published_rows(args.rounds),
        "field": lambda: field_rows(args.rounds, args.sides),
        "memory": memory_rows,
    }
    for part in args.parts:
        print("\n".join(parts[part]()), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
