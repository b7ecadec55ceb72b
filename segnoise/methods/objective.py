"""One or several methods composed into the object that a training loop calls: outputs and labels in, loss out."""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError, nearest
from segnoise.methods.base import Batch, Channel, Context, Method, Needs, Output, Supervision, Terms
from segnoise.methods.names import METHODS, check_method_name


def build_method(name: str, num_classes: int, **options: Any) -> Method:
    """A method by name; UserError names the nearest method or option if there is none.

    >>> build_method("gce", num_classes=2, q=0.5).q
    0.5
    """
    factory = _factory(name)
    known = method_defaults(name)
    for option in options:
        if option not in known:
            raise UserError(f"method.{option}: {name} has no such option; {nearest(option, known)}")
    try:
        return factory(num_classes=num_classes, **options)
    except TypeError as error:
        raise UserError(f"method {name}: an option has the wrong type ({error})") from error


def method_defaults(name: str) -> dict[str, Any]:
    """The options of a method with their defaults; UserError names the nearest method if there is none.

    >>> method_defaults("gce")["q"]
    0.7
    """
    parameters = inspect.signature(_factory(name)).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key != "num_classes"}


def _factory(name: str) -> type[Method]:
    check_method_name(name)
    module, _, cls = METHODS[name].partition(":")
    factory: type[Method] = getattr(importlib.import_module(module), cls)
    return factory


def check_composition(methods: Mapping[str, Method] | Sequence[tuple[str, Method]]) -> None:
    """Raises UserError naming both methods if two of them cannot work together."""
    pairs = list(methods.items()) if isinstance(methods, Mapping) else list(methods)
    for (a, first), (b, second) in itertools.combinations(pairs, 2):
        for part in ("target", "loss"):
            if part in first.supplies & second.supplies:
                raise UserError(f"method: {a} and {b} both set the {part}; keep one of them")
        if {first.evidence, second.evidence} == {"posterior", "self"}:
            raise UserError(f"method: {a} and {b} would use the network's evidence twice; keep one of them")
        t1, t2 = first.needs.teacher, second.needs.teacher
        if t1 and t2 and t1 != t2:
            raise UserError(f"method: {a} and {b} ask for different teachers (decay {t1.decay} and {t2.decay})")
        if shared := sorted(first.needs.memory.keys() & second.needs.memory.keys()):
            raise UserError(f"method: {a} and {b} both keep a memory {shared[0]}; keep one of them")


@dataclass(frozen=True)
class Result:
    """What an objective makes of a batch.

    ``loss`` is the scalar to call ``backward`` on; ``supervision`` has one entry per network, and ``target``,
    ``weight`` and ``label_error`` (the probability or score that each given label is wrong, averaged over networks,
    0 where the label is unknown) are shortcuts; ``calibrated`` says whether ``label_error`` is a probability.
    """

    loss: Float[Tensor, ""]
    supervision: list[Supervision]
    label_error: Float[Tensor, " B *S"]
    calibrated: bool
    terms: Terms

    @property
    def target(self) -> Float[Tensor, " B C *S"]:
        return self.supervision[0].target

    @property
    def weight(self) -> Float[Tensor, " B *S"]:
        return self.supervision[0].weight


class Objective(nn.Module):
    """The loss of a stack of methods, usable in any torch loop.

    Args:
        methods: names, or mappings with ``name`` and options, or Method objects; applied in this order.
        num_classes: C.

    Raises:
        UserError: unknown method or option (names the nearest), methods that do not compose (names both), a need
            that the caller does not meet, a label outside ``0..C-1`` that is not 255.

    >>> import torch
    >>> objective = Objective(["kms"], num_classes=2)
    >>> logits = torch.zeros(2, 2, 8, 8, requires_grad=True)
    >>> mask = torch.randint(0, 2, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    >>> result = objective(Output(logits, teacher=logits.softmax(1)), {"mask": mask}, progress=0.4)
    >>> result.loss.backward()
    >>> round(float(result.loss), 4), tuple(result.label_error.shape)
    (0.6931, (2, 8, 8))
    """

    def __init__(self, methods: Sequence[str | Mapping[str, Any] | Method], num_classes: int) -> None:
        super().__init__()
        if isinstance(methods, str | Mapping | Method):
            methods = [methods]
        built: list[tuple[str, Method]] = []
        for method in methods:
            if isinstance(method, Method):
                built.append((type(method).__name__.lower(), method))
            else:
                options: dict[str, Any] = {"name": method} if isinstance(method, str) else {**method}
                name = options.pop("name", None)
                if name is None:
                    raise UserError(f"method: {options} has no name; known: {', '.join(METHODS)}")
                built.append((name, build_method(name, num_classes, **options)))
        if not built:
            raise UserError(f"method: the list is empty; known: {', '.join(METHODS)}")
        check_composition(built)
        self.names = [name for name, _ in built]
        self.methods = nn.ModuleList(method for _, method in built)
        self.num_classes = num_classes
        self._networks, self._features = self.needs.networks, self.needs.features

    @property
    def needs(self) -> Needs:
        """The union of what the methods need."""
        needs = [m.needs for m in self._methods()]
        teacher = next((n.teacher for n in needs if n.teacher is not None), None)
        gates = [n.gate for n in needs if n.gate is not None]
        gate = min(gates, key=lambda g: g.start) if gates else None
        memory = {name: memory for n in needs for name, memory in n.memory.items()}
        channel = next((n.channel for n in needs if n.channel is not None), None)
        return Needs(
            teacher, memory, gate, channel, max(n.networks for n in needs),
            features=any(n.features for n in needs), sources=any(n.sources for n in needs),
        )  # fmt: skip

    def _methods(self) -> list[Method]:
        return [m for m in self.methods if isinstance(m, Method)]

    def forward(
        self,
        outputs: Tensor | Output | Sequence[Output],
        batch: Batch,
        progress: float = 1.0,
        context: Context | None = None,
    ) -> Result:
        """The loss of a batch and the supervision behind it.

        Args:
            outputs: logits ``B C *S``, or an Output, or one Output per network.
            batch: a sample dictionary; ``mask`` ``B *S`` is read here, methods may read more (never ``clean``).
            progress: fraction of training done, in [0, 1].
            context: replaces ``progress`` where the loop knows more (ranks, counts).
        """
        if isinstance(outputs, Tensor):
            outputs = [Output(outputs)]
        elif isinstance(outputs, Output):
            outputs = [outputs]
        ctx = context or Context(progress=progress)
        batch = _ordinary(batch)
        supervision = self.supervise(outputs, batch, ctx)
        valid = batch["mask"] != IGNORE_INDEX
        supervised = torch.stack(
            [self._supervised(o, s, valid, ctx) for o, s in zip(outputs, supervision, strict=True)]
        ).sum()
        regularisers: dict[str, Tensor] = {}
        for method in self._methods():
            for key, value in method.regularise(outputs, batch, supervision, ctx).items():
                regularisers[key] = regularisers.get(key, torch.zeros_like(value)) + value
        loss = supervised + sum(regularisers.values(), torch.zeros_like(supervised))
        error, calibrated = label_error(outputs, batch, supervision)
        terms = Terms(supervised.detach(), {k: v.detach() for k, v in regularisers.items()})
        return Result(loss, supervision, error, calibrated, terms)

    def _supervised(self, output: Output, supervision: Supervision, valid: Tensor, ctx: Context) -> Float[Tensor, ""]:
        """The first term of the loss of one network: cross-entropy, or what a method puts in its place."""
        own = next((method for method in self._methods() if "loss" in method.supplies), None)
        if own is None:
            return ctx.mean(-(supervision.target * output.log_p).sum(1) * supervision.weight, valid)
        values = own.loss(output, supervision, valid)
        if values.dim() == 1:
            return ctx.mean_images(torch.where(valid.flatten(1).any(1), values, 0.0))
        return ctx.mean(values * supervision.weight, valid)

    @torch.no_grad()
    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        """Lets the methods note what they remember of a training batch; a training loop calls it once a batch."""
        for method in self._methods():
            method.observe(outputs, batch, supervision, ctx)

    def begin(self, sources: int) -> None:
        """Tells the methods how many sources there are; a training loop calls it before its first step."""
        for method in self._methods():
            method.begin(sources)

    def calibrate(self, channel: Channel) -> None:
        """Tells the methods what held-out given labels say; a training loop calls it after each validation."""
        for method in self._methods():
            method.calibrate(channel)

    def supervise(self, outputs: Sequence[Output], batch: Batch, ctx: Context) -> list[Supervision]:
        """The supervision alone: what an audit needs, with ``progress`` 1."""
        batch = _ordinary(batch)
        mask = batch["mask"]
        valid = mask != IGNORE_INDEX
        largest = int(torch.where(valid, mask, 0).max()) if mask.numel() else 0
        if largest >= self.num_classes or int(mask.min() if mask.numel() else 0) < 0:
            raise UserError(
                f"mask: holds the label {largest if largest >= self.num_classes else int(mask.min())}, but there are "
                f"{self.num_classes} classes (0 to {self.num_classes - 1}); 255 stands for unknown"
            )
        if outputs[0].logits.shape[1] != self.num_classes or outputs[0].logits.shape[2:] != mask.shape[1:]:
            raise ValueError(
                f"logits {tuple(outputs[0].logits.shape)} do not fit {self.num_classes} classes and a mask "
                f"{tuple(mask.shape)}"
            )
        if self._networks > 1 and len(outputs) != self._networks:
            raise UserError(
                f"method {' and '.join(self.names)}: learns from {self._networks} networks, but there is the output of "
                f"{len(outputs)}; give a list with an Output of each"
            )
        if self._features and any(output.features is None for output in outputs):
            names = " and ".join(n for n, m in zip(self.names, self._methods(), strict=True) if m.needs.features)
            raise UserError(
                f"method {names}: looks at the network's features; give Output(logits, features=...), as "
                "segnoise.networks.with_features finds them"
            )
        one_hot = torch.nn.functional.one_hot(torch.where(valid, mask, 0), self.num_classes)
        target = one_hot.movedim(-1, 1).float() * valid.unsqueeze(1)
        supervision = [Supervision(target, valid.float()) for _ in outputs]
        for name, method in zip(self.names, self._methods(), strict=True):
            supervision = method.supervise(outputs, batch, supervision, ctx)
            for s in supervision:
                if s.target.shape != target.shape or s.weight.shape != mask.shape:
                    raise ValueError(f"method {name} returned a target or weight of the wrong shape")
        return [
            replace(
                s,
                target=torch.where(valid.unsqueeze(1), s.target.detach(), 0.0),
                weight=torch.where(valid, s.weight.detach(), 0.0),
                label_error=None if s.label_error is None else s.label_error.detach(),
            )
            for s in supervision
        ]


def _ordinary(batch: Batch) -> Batch:
    """Tensors as such, not as MONAI's, which carry their affine through every operation."""
    return {k: v.as_subclass(Tensor) if isinstance(v, Tensor) else v for k, v in batch.items()}


def label_error(
    outputs: Sequence[Output], batch: Batch, supervision: Sequence[Supervision]
) -> tuple[Float[Tensor, " B *S"], bool]:
    """P(label wrong) averaged over networks; where no method reports one, 1 - t_y (teacher) or 1 - p_y."""
    mask = batch["mask"]
    valid = mask != IGNORE_INDEX
    index = torch.where(valid, mask, 0).unsqueeze(1)
    maps, calibrated = [], True
    for output, s in zip(outputs, supervision, strict=True):
        if s.label_error is not None:
            maps.append(s.label_error)
            calibrated = calibrated and s.calibrated
        else:
            known = output.teacher if isinstance(output.teacher, Tensor) else output.p
            maps.append(1 - known.gather(1, index).squeeze(1))
            calibrated = False
    return torch.where(valid, torch.stack(maps).mean(0), 0.0), calibrated
