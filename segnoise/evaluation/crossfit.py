"""Out-of-fold beliefs: what is said of each pixel by a network that did not learn from the labels around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.config import Config
from segnoise.data import Fold, Labels, Source
from segnoise.data.source import SourceView
from segnoise.errors import UserError
from segnoise.inference import predict_array
from segnoise.training import Model, Run, load, prepare, train
from segnoise.windows import Window


@dataclass(frozen=True)
class OutOfFold:
    """One source with its labels as given, the file they come from, and probabilities ``C *S``, nan where not known."""

    source: Source
    file: Path
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def cross_fit(
    config: Config, folder: Path, folds: int, *, reflected: bool = False, device: str = "cpu", quiet: bool = False
) -> Iterator[OutOfFold]:
    """Trains a run for each fold in ``folder`` and yields every source as the runs see it that were not trained there.

    Folds are parts of the blocks or sources, as the configuration splits them (:class:`segnoise.data.Fold`); training
    and validation share the rest. Runs that are there are gone on with, so a killed command loses nothing. One source
    is in memory at a time.

    ``reflected``: what is said of an image and of its reflection through its centre, averaged. A place that a network
    has learned to shift by a vector it shifts by the opposite in the reflection.

    Raises:
        UserError: fewer than two folds, a split that a table fixes, synthetic noise (which leaves the labels of a fold
            that is held out as they are), and what training raises.
    """
    if folds < 2:
        raise UserError(f"--folds {folds}: at least 2, so that each part is seen by a network trained on the others")
    if config.noise is not None:
        raise UserError("noise: labels are looked at as they are; take the section out, and corrupt files if you want")
    if config.data.split.by == "table":
        raise UserError("data.split.by: table fixes the parts; give block or source, so that folds can be dealt")
    runs = [folder / f"fold_{part}_of_{folds}" for part in range(1, folds + 1)]
    for part, run in enumerate(runs, 1):
        train(fold_config(config, Fold(part, folds)), run, resume=Run(run).config.is_file(), quiet=quiet)
    models = [load(run) for run in runs]
    prepared = [prepare(model.config, Run(run)) for model, run in zip(models, runs, strict=True)]
    first = prepared[0]
    for index, source in enumerate(first.sources):
        probabilities = np.full((len(config.data.classes), *source.shape), np.nan, dtype=np.float32)
        for model, data in zip(models, prepared, strict=True):
            boxes = [region.window.clip(source.shape) for region in data.regions["test"] if region.index == index]
            if boxes:
                said = _beliefs(model, source, device)
                if reflected:
                    said = (said + _beliefs(model, _Reflected(source), device)[_back(source)]) * np.float32(0.5)
                for box in boxes:
                    probabilities[(slice(None), *box.slices)] = said[(slice(None), *box.slices)]
        yield OutOfFold(source, first.files[index], _whole(first.given[index]), probabilities)


@dataclass(frozen=True)
class _Reflected(SourceView):
    """A source whose every axis runs the other way."""

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        start = tuple(n - stop for n, stop in zip(self.shape, window.stop, strict=True))
        values, observed = self.whole.read(Window(start, window.size))
        return values[_back(self)], observed[_back(self)[1:]]


def _back(source: Source) -> tuple[slice, ...]:
    """Every axis but that of the channels the other way."""
    return (slice(None), *(slice(None, None, -1) for _ in source.shape))


def _beliefs(model: Model, source: Source, device: str) -> NDArray[np.float32]:
    said, observed = predict_array(model, source, model.sides, model.overlap, device=device)
    said[:, ~observed] = np.nan
    return said


def fold_config(config: Config, fold: Fold) -> Config:
    """The configuration of the run that holds a fold out."""
    content: dict[str, Any] = config.model_dump(mode="json")
    content["name"] = f"{config.name}-fold-{fold.part}-of-{fold.parts}"
    content["data"]["split"]["fold"] = str(fold)
    return Config.model_validate(content)


def _whole(labels: Labels) -> NDArray[np.int64]:
    return labels.read(Window((0,) * len(labels.shape), labels.shape))
