"""What trained networks say of the training labels whose truth is known: which are wrong, and which they repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from segnoise.data import IGNORE_INDEX, WindowDataset, collate
from segnoise.metrics import Calibration, DetectionCurve
from segnoise.training import Model, Prepared

_BATCH = 8


@dataclass
class LabelErrors:
    """How well wrong labels are found and how often the networks reproduce them, over all known pixels.

    ``calibration`` compares the label-error map as a probability with what is wrong. ``mistaken`` counts the pixels
    where the prediction is wrong, ``left_wrong`` those where the corrected label is: the class of largest target.
    """

    curve: DetectionCurve = field(default_factory=DetectionCurve)
    calibration: Calibration = field(default_factory=Calibration)
    labels: int = 0
    wrong: int = 0
    reproduced: int = 0
    mistaken: int = 0
    left_wrong: int = 0

    @property
    def memorised(self) -> float | None:
        """The share of wrong labels that are also the prediction; None where no label is wrong."""
        return self.reproduced / self.wrong if self.wrong else None


@torch.no_grad()
def label_errors(models: Sequence[Model], prepared: Prepared, device: str = "cpu", split: str = "train") -> LabelErrors:
    """Looks at the windows of a split in evaluation mode; several networks count with the mean of what they say.

    Raises ValueError if the clean labels are not known.
    """
    if prepared.clean is None:
        raise ValueError("the clean labels are not known")
    config = models[0].config
    dataset = WindowDataset(
        prepared.sources, prepared.given, prepared.regions[split],
        config.data.sides, prepared.scaling, seed=config.seed,
        clean=prepared.clean, groups=prepared.group_numbers or None, numbers=prepared.numbers,
    ).fixed_windows()  # fmt: skip
    found = LabelErrors()
    systems = [model.system.to(device).eval() for model in models]
    for start in range(0, len(dataset), _BATCH):
        batch = collate([dataset[k] for k in range(start, min(start + _BATCH, len(dataset)))])
        tensors = {k: v.to(device) for k, v in batch.items() if isinstance(v, torch.Tensor) and k != "clean"}
        seen = [system.inspect(tensors) for system in systems]
        prediction = torch.stack([p for p, _ in seen]).mean(0).argmax(1).cpu()
        score = torch.stack([result.label_error for _, result in seen]).mean(0).cpu()
        target = torch.stack([s.target for _, result in seen for s in result.supervision]).mean(0).argmax(1).cpu()
        given, clean = batch["mask"], batch["clean"]
        valid = (given != IGNORE_INDEX) & (clean != IGNORE_INDEX)
        wrong = (given != clean) & valid
        found.curve.add(score[valid].numpy(), wrong[valid].numpy())
        found.calibration.add(score[valid].numpy(), wrong[valid].numpy())
        found.labels += int(valid.sum())
        found.wrong += int(wrong.sum())
        found.reproduced += int((prediction == given)[wrong].sum())
        found.mistaken += int((prediction != clean)[valid].sum())
        found.left_wrong += int((target != clean)[valid].sum())
    return found
