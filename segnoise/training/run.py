"""The run's folder, and a run as an ordinary torch module."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segnoise.config import Config
from segnoise.data import Scaling
from segnoise.errors import UserError
from segnoise.training.checkpoint import load_checkpoint
from segnoise.training.system import System, build_system

Which = Literal["best", "last"]


@dataclass(frozen=True)
class Run:
    """Where the files of a run lie."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def log(self) -> Path:
        return self.folder / "log.csv"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def labels(self) -> Path:
        """The labels as training saw them."""
        return self.folder / "labels"

    @property
    def prepared(self) -> Path:
        """What was decided before the first step: splits, scaling, noise records."""
        return self.folder / "prepared.json"

    @property
    def memory(self) -> Path:
        """What methods remember per pixel; there only while training."""
        return self.folder / "memory"

    @property
    def gate(self) -> Path:
        """Which of two continuations was kept, where a method asked for two."""
        return self.folder / "gate.json"

    def checkpoint(self, which: Which) -> Path:
        return self.folder / "checkpoints" / f"{which}.ckpt"


class Model(nn.Module):
    """A trained run as a torch module: raw pixel values ``B C *S`` in, logits ``B K *S`` out.

    ``classes`` are the class names, ``fill`` the raw value per band to put where a pixel is not observed (it
    becomes 0 after scaling), ``sides`` the size it was trained on along each axis, ``window`` the smallest of them but
    time.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, system: System, scaling: Scaling, config: Config, source: Path) -> None:
        super().__init__()
        self.system = system
        self.classes = list(config.data.classes)
        self.window = min(config.data.sides[config.data.still :])
        self.sides = config.data.sides
        self.config = config
        self.scaling = scaling
        self.source = source
        self.register_buffer("offset", torch.tensor(scaling.offset, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scaling.scale, dtype=torch.float32))

    @property
    def overlap(self) -> tuple[int, ...]:
        """A quarter of a window, along each axis but time."""
        still = self.config.data.still
        return (*(0,) * still, *(side // 4 for side in self.sides[still:]))

    @property
    def fill(self) -> tuple[float, ...]:
        return self.scaling.offset

    @property
    def channels(self) -> int:
        return len(self.scaling.offset)

    def forward(self, image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B K *S"]:
        broadcast = (1, -1) + (1,) * (image.dim() - 2)
        scaled = (image - self.offset.reshape(broadcast)) / self.scale.reshape(broadcast)
        return self.system.predict(scaled)


def checkpoint_path(run: str | Path, which: Which = "best") -> Path:
    """The checkpoint that a RUN argument names: a run's folder, or a checkpoint file itself."""
    path = Path(run)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: no such run; give a run's folder or a checkpoint file")
    found = Run(path).checkpoint(which)
    if not found.is_file():
        raise UserError(f"{path}: holds no checkpoints/{which}.ckpt; train it first with `segnoise train`")
    return found


def load(run: str | Path, checkpoint: Which = "best") -> Model:
    """A run as an ordinary torch module in evaluation mode, on the CPU.

    Args:
        run: a run's folder, or a checkpoint file.
        checkpoint: ``best`` (on the given validation labels) or ``last``.

    Raises:
        UserError: no such run, no such checkpoint, a corrupt file, or weights that do not fit the configuration.
    """
    path = checkpoint_path(run, checkpoint)
    content = load_checkpoint(path)
    config = Config.model_validate(content["config"])
    scaling = Scaling.from_dict(content["scaling"])
    system = build_system(config, len(scaling.offset), weights=False)
    restore(system, content["system"], path)
    return Model(system, scaling, config, path).eval()


def restore(system: System, state: dict[str, Tensor], path: Path) -> None:
    """Loads weights; UserError if they belong to another network."""
    try:
        system.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path}: its weights do not fit the configured network or method") from error


def read_prepared(run: Run) -> dict[str, Any]:
    """What training decided before its first step; UserError if the folder holds no run."""
    if not run.prepared.is_file():
        raise UserError(f"{run.folder}: is not a run (no {run.prepared.name}); train it first")
    content: dict[str, Any] = json.loads(run.prepared.read_text())
    return content
