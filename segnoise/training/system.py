"""Networks, teachers and objective as one module: everything that one optimiser step computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segnoise.config import Config, VideoData
from segnoise.methods import Context, Method, Objective, Output, Result
from segnoise.networks import PerFrame, build_network, with_features


class System(nn.Module):
    """One or several networks, the moving average of each where a method needs one, and the objective.

    ``forward`` is one module call, so that data-parallel wrappers see every parameter inside it. All networks see the
    same batch. A teacher runs in evaluation mode without gradient, and only in steps in which a method looks at it.

    >>> import torch
    >>> system = System(nn.Conv2d(3, 2, 1), Objective(["kms"], num_classes=2))
    >>> batch = {"image": torch.zeros(1, 3, 8, 8), "mask": torch.zeros(1, 8, 8, dtype=torch.long)}
    >>> sorted(system(batch, Context(progress=0.0)))
    ['loss', 'supervised']
    """

    def __init__(self, networks: nn.Module | Sequence[nn.Module], objective: Objective) -> None:
        super().__init__()
        networks = [networks] if isinstance(networks, nn.Module) else list(networks)
        if len(networks) != objective.needs.networks:
            raise ValueError(f"{len(networks)} networks, but {', '.join(objective.names)}: {objective.needs.networks}")
        # channels last is faster, see docs/performance.md
        self.networks = nn.ModuleList(_in_order(n) for n in networks)
        self.objective = objective
        taught = [] if objective.needs.teacher is None else networks
        self.teachers = nn.ModuleList(copy.deepcopy(n).requires_grad_(False).eval() for n in taught)

    def train(self, mode: bool = True) -> System:
        """Training mode for networks and objective; teachers stay in evaluation mode."""
        super().train(mode)
        self.teachers.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimiser: the networks' parameters, which follow the schedule, and each method's, which do not."""
        groups = [{"params": [p for p in self.networks.parameters() if p.requires_grad], "scheduled": True}]
        for method in self.objective.methods.children():
            assert isinstance(method, Method)
            if own := [p for p in method.parameters() if p.requires_grad]:
                groups.append({"params": own, "scheduled": False, "lr": method.lr, "weight_decay": 0.0})
        return groups

    def outputs(self, image: Float[Tensor, " B C *S"]) -> list[Output]:
        """Each network's logits, its features where a method looks at them, and its teacher's probabilities as a
        function that runs it when asked.
        """
        image = channels_last(image)
        teachers: list[nn.Module | None] = [*self.teachers] or [None] * len(self.networks)
        outputs = []
        for network, teacher in zip(self.networks, teachers, strict=True):
            if self.objective.needs.features:
                logits, features = with_features(network, image, self.objective.num_classes)
            else:
                logits, features = network(image), None
            taught = None if teacher is None else partial(_taught, teacher, image)
            outputs.append(Output(logits.float(), taught, None if features is None else features.float()))
        return outputs

    def predict(self, image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B K *S"]:
        """Logits of the mean of the networks' probabilities: of one network its own."""
        image = channels_last(image)
        if len(self.networks) == 1:
            logits: Tensor = self.networks[0](image)
            return logits.float()
        each = torch.stack([network(image).float().log_softmax(1) for network in self.networks])
        return each.logsumexp(0) - math.log(len(each))

    def forward(self, batch: dict[str, Any], context: Context) -> dict[str, Tensor]:
        """The loss (with gradient) and its parts (without): ``loss``, ``supervised`` and each regulariser."""
        outputs = self.outputs(batch["image"])
        with torch.autocast(batch["image"].device.type, enabled=False):
            result = self.objective(outputs, batch, context=context)
            self.objective.observe(outputs, batch, result.supervision, context)
        return {"loss": result.loss, "supervised": result.terms.supervised, **result.terms.regularisers}

    @torch.no_grad()
    def inspect(self, batch: dict[str, Any]) -> tuple[Float[Tensor, " B K *S"], Result]:
        """Mean probabilities and the supervision of a finished run (``progress`` 1), in evaluation mode."""
        outputs = self.outputs(batch["image"])
        return torch.stack([o.p for o in outputs]).mean(0), self.objective(outputs, batch, progress=1.0)

    @torch.no_grad()
    def update_teacher(self, step: int) -> None:
        """Moves the teachers after optimiser step number ``step`` (from 0).

        Floating buffers (the statistics of batch norm) are averaged like weights, so that they fit them; counters are
        copied.
        """
        need = self.objective.needs.teacher
        if need is None:
            return
        decay = min(need.decay, (1 + step) / (10 + step))
        for slow, fast in zip(self.teachers.parameters(), self.networks.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
        for kept, current in zip(self.teachers.buffers(), self.networks.buffers(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(current, 1 - decay)
            else:
                kept.copy_(current)


def _in_order(network: nn.Module) -> nn.Module:
    """A network of 2-D convolutions in the order of memory that they are fastest with; others as they are."""
    if any(p.dim() == 5 for p in network.parameters()):
        return network
    return network.to(memory_format=torch.channels_last)


def channels_last(image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B C *S"]:
    """Images in the order in memory that convolutions are fastest with; volumes as they are."""
    return image.contiguous(memory_format=torch.channels_last) if image.dim() == 4 else image


@torch.no_grad()
def _taught(teacher: nn.Module, image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B K *S"]:
    p: Tensor = teacher(image).float().softmax(1)
    return p


_NEXT = 1_000_003
"""Added to the seed for the initialisation of each further network."""


def build_system(config: Config, in_channels: int, weights: bool = True) -> System:
    """The system that a configuration describes, its networks initialised from seeds of their own.

    ``weights=False`` skips loading ``network.weights`` (when a checkpoint follows anyway).
    """
    objective = Objective(config.methods(), num_classes=len(config.data.classes))
    networks = []
    for number in range(objective.needs.networks):
        torch.manual_seed(config.seed + number * _NEXT)
        network = build_network(
            config.network.name,
            in_channels=in_channels,
            num_classes=len(config.data.classes),
            encoder=config.network.encoder,
            weights=config.network.weights if weights else None,
            spatial_dims=config.data.dimensions,
            **config.network.options,
        )
        networks.append(PerFrame(network) if isinstance(config.data, VideoData) else network)
    return System(networks, objective)
