"""What a network makes of the given validation labels, over all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from segnoise.methods.base import Channel, Confusion
from segnoise.metrics import confusion_matrix, scores
from segnoise.training.channel import ChannelFit
from segnoise.training.forward import ForwardCorrected


class HeldOut:
    """The given validation labels, in batches of this rank that ``batches`` yields anew each time."""

    def __init__(
        self,
        fabric: Fabric,
        predict: Callable[[Tensor], Tensor],
        batches: Callable[[], Iterator[dict[str, Tensor]]],
        classes: Sequence[str],
    ) -> None:
        self._fabric, self._predict, self._batches, self._classes = fabric, predict, batches, classes

    @torch.no_grad()
    def scores(self, channel: Confusion | None = None) -> tuple[dict[str, float], Channel | None]:
        """Cross-entropy and mean IoU, and where it is asked for what the labels say of themselves."""
        count = len(self._classes)
        confusion = np.zeros((count, count), dtype=np.int64)
        loss = torch.zeros(2, dtype=torch.float64)
        fit = ChannelFit()
        for logits, mask in self._outputs():
            losses = torch.nn.functional.cross_entropy(logits, mask, ignore_index=255, reduction="sum")
            loss += torch.tensor([float(losses), float((mask != 255).sum())], dtype=torch.float64)
            confusion += confusion_matrix(mask.cpu().numpy(), logits.argmax(1).cpu().numpy(), count)
            if channel is not None:
                fit.add(logits, mask)
        total = self._over_ranks(torch.cat([loss, torch.from_numpy(confusion).double().flatten()]))
        pooled = total[2:].reshape(count, count).round().long().numpy()
        mean = scores(pooled, self._classes)["iou"]["mean"]
        told = {"val_loss": float(total[0] / total[1].clamp_min(1)), "val_iou": float(mean or 0.0)}
        return told, None if channel is None else self._of_all_ranks(fit).channel(channel)

    @torch.no_grad()
    def explained(self) -> float:
        """How well the labels are explained, allowing for wrong ones; lower is better (:class:`ForwardCorrected`)."""
        score = ForwardCorrected()
        for logits, mask in self._outputs():
            score.add(logits, mask)
        score.sums, score.count = self._over_ranks(score.sums), self._over_ranks(score.count)
        return score.value()

    def _of_all_ranks(self, fit: ChannelFit) -> ChannelFit:
        """The same images on every rank, in the order of ranks."""
        if self._fabric.world_size == 1:
            return fit
        parts: list[ChannelFit] = [fit] * self._fabric.world_size
        torch.distributed.all_gather_object(parts, fit)
        pooled = ChannelFit()
        for part in parts:
            pooled.logits += part.logits
            pooled.labels += part.labels
        return pooled

    def _outputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._batches():
            with self._fabric.autocast():
                logits = self._predict(batch["image"])
            yield logits, batch["mask"]

    def _over_ranks(self, total: Tensor) -> Tensor:
        if self._fabric.world_size == 1:
            return total
        summed: Tensor = self._fabric.all_reduce(total.to(self._fabric.device), reduce_op="sum")
        return summed.cpu()
