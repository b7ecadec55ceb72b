"""Labels with errors drawn from the KMS model, and the evidence of a calibrated classifier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from segnoise.draws import generator
from segnoise.kms import sample_field


@pytest.fixture
def draw_model() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    def draw(images: int = 4, side: int = 96, rho: float = 0.9, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of class 1 (calibrated), given labels, and which labels are wrong: all ``B H W``."""
        rng = generator(seed, "model")
        fields = np.stack([sample_field((side, side), rho, rng) for _ in range(images)])
        rate = 1 / (1 + np.exp(-(-2.0 + 1.3133 * fields)))
        logits = 4.0 * rng.standard_normal(fields.shape)
        truth = rng.random(fields.shape) < 1 / (1 + np.exp(-logits))
        wrong = rng.random(fields.shape) < rate
        return torch.from_numpy(logits).float(), torch.from_numpy(truth ^ wrong).long(), torch.from_numpy(wrong)

    return draw
