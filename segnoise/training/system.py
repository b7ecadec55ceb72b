"""Network, teacher and objective as one module: everything that one optimiser step computes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segnoise.config import Config
from segnoise.methods import Context, Method, Objective, Output, Result
from segnoise.networks import build_network


class System(nn.Module):
    """A network, its moving average where a method needs one, and the objective.

    ``forward`` is one module call, so that data-parallel wrappers see every parameter inside it. The teacher runs
    in evaluation mode without gradient, and only in steps in which a method looks at it.

    >>> import torch
    >>> system = System(nn.Conv2d(3, 2, 1), Objective(["kms"], num_classes=2))
    >>> batch = {"image": torch.zeros(1, 3, 8, 8), "mask": torch.zeros(1, 8, 8, dtype=torch.long)}
    >>> sorted(system(batch, Context(progress=0.0)))
    ['loss', 'supervised']
    """

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # faster, see docs/performance.md
        self.objective = objective
        self.teacher: nn.Module | None = None
        if objective.needs.teacher is not None:
            self.teacher = copy.deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> System:
        """Training mode for the network and the objective; the teacher stays in evaluation mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimiser: the network's parameters, which follow the schedule, and each method's, which do not."""
        groups = [{"params": [p for p in self.network.parameters() if p.requires_grad], "scheduled": True}]
        for method in self.objective.methods.children():
            assert isinstance(method, Method)
            if own := [p for p in method.parameters() if p.requires_grad]:
                groups.append({"params": own, "scheduled": False, "lr": method.lr, "weight_decay": 0.0})
        return groups

    def output(self, image: Float[Tensor, " B C *S"]) -> Output:
        """The network's logits, and the teacher's probabilities as a function that runs it when asked."""
        image = channels_last(image)
        return Output(self.network(image).float(), None if self.teacher is None else lambda: self._teach(image))

    @torch.no_grad()
    def _teach(self, image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B K *S"]:
        assert self.teacher is not None
        p: Tensor = self.teacher(image).float().softmax(1)
        return p

    def forward(self, batch: dict[str, Any], context: Context) -> dict[str, Tensor]:
        """The loss (with gradient) and its parts (without): ``loss``, ``supervised`` and each regulariser."""
        output = self.output(batch["image"])
        with torch.autocast(batch["image"].device.type, enabled=False):
            result = self.objective(output, batch, context=context)
            self.objective.observe([output], batch, result.supervision, context)
        return {"loss": result.loss, "supervised": result.terms.supervised, **result.terms.regularisers}

    @torch.no_grad()
    def inspect(self, batch: dict[str, Any]) -> tuple[Float[Tensor, " B K *S"], Result]:
        """Probabilities and the supervision of a finished run (``progress`` 1), in evaluation mode."""
        output = self.output(batch["image"])
        return output.p, self.objective(output, batch, progress=1.0)

    @torch.no_grad()
    def update_teacher(self, step: int) -> None:
        """Moves the teacher after optimiser step number ``step`` (from 0).

        Floating buffers (the statistics of batch norm) are averaged like weights, so that they fit them; counters are
        copied.
        """
        need = self.objective.needs.teacher
        if self.teacher is None or need is None:
            return
        decay = min(need.decay, (1 + step) / (10 + step))
        for slow, fast in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
        for kept, current in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(current, 1 - decay)
            else:
                kept.copy_(current)


def channels_last(image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B C *S"]:
    """Images in the order in memory that convolutions are fastest with; volumes as they are."""
    return image.contiguous(memory_format=torch.channels_last) if image.dim() == 4 else image


def build_system(config: Config, in_channels: int, weights: bool = True) -> System:
    """The system that a configuration describes, initialised from its seed.

    ``weights=False`` skips loading ``network.weights`` (when a checkpoint follows anyway).
    """
    torch.manual_seed(config.seed)
    network = build_network(
        config.network.name,
        in_channels=in_channels,
        num_classes=len(config.data.classes),
        encoder=config.network.encoder,
        weights=config.network.weights if weights else None,
        **config.network.options,
    )
    return System(network, Objective(config.methods(), num_classes=len(config.data.classes)))
