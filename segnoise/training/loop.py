"""The training loop: short, on Lightning Fabric, resumable bit for bit.

Everything random in a step is a function of (seed, epoch, position) or of (seed, step, rank), so a checkpoint needs
no generator state and a resumed run repeats what an uninterrupted one would have done, with any number of workers.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import math
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segnoise.config import Config, VolumeData
from segnoise.data import Region, Sample, WindowDataset, collate, keep_in_memory
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.methods import Context, Objective
from segnoise.training.checkpoint import load_checkpoint, save_checkpoint
from segnoise.training.folder import open_folder
from segnoise.training.gate import Branches
from segnoise.training.heldout import HeldOut
from segnoise.training.keys import StepKeys
from segnoise.training.memory import FileMemory
from segnoise.training.prepare import Prepared, prepare
from segnoise.training.run import Run, restore
from segnoise.training.signals import Interrupted, collected_signals
from segnoise.training.system import System, build_system

log = logging.getLogger(__name__)


@dataclass
class State:
    """Where training stands: what a checkpoint holds beside weights."""

    step: int = 0
    best: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    remembers: bool = False
    branch: str = ""
    """Where a method asked for a gate: "" before and in the first continuation, "plain" in the second, "kept" after."""


def train(
    config: Config,
    run: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Trains what a configuration describes and returns the run's folder.

    Args:
        config: the run, see segnoise.config.
        run: the folder to write: config.yaml, prepared.json, labels/, log.csv, checkpoints/{last,best}.ckpt, and
            gate.json where a method asked for a gate.
        resume: go on from checkpoints/last.ckpt; on the CPU the result equals the uninterrupted run bit for bit.
        overwrite: delete an existing run first.
        quiet: no progress bar.

    Raises:
        UserError: bad data or configuration; an existing run without ``resume`` or ``overwrite``; a run of another
            configuration; a loss that is not finite.
        Interrupted: after SIGINT or SIGTERM, with the state saved.
    """
    with collected_signals() as stop:
        _train(config, Run(Path(run)), resume, overwrite, quiet, stop)
    return Path(run)


def _train(config: Config, place: Run, resume: bool, overwrite: bool, quiet: bool, stop: list[int]) -> None:
    fabric = _fabric(config)
    fabric.launch()
    state, checkpoint = State(), None
    Objective(config.methods(), len(config.data.classes))  # a mistake in an option is told before any data are read
    if fabric.is_global_zero:
        open_folder(config, place, resume, overwrite)
    fabric.barrier()
    if resume and place.checkpoint("last").is_file():
        checkpoint = load_checkpoint(place.checkpoint("last"))
    try:
        prepared = _prepare_once(fabric, config, place)
        system = build_system(config, prepared.channels)
    except UserError:
        # So that the mended configuration can be started under the same name.
        if fabric.is_global_zero and not resume:
            shutil.rmtree(place.folder, ignore_errors=True)
        raise
    optimiser = torch.optim.AdamW(
        system.parameter_groups(), lr=config.training.lr, weight_decay=config.training.weight_decay
    )
    if checkpoint is not None:
        restore(system, checkpoint["system"], place.checkpoint("last"))
        optimiser.load_state_dict(checkpoint["optimiser"])
        state = State(**checkpoint["state"])
    _Loop(config, place, fabric, prepared, system, optimiser, state).run(stop, quiet)


def _fabric(config: Config) -> Fabric:
    training = config.training
    devices = training.devices
    if devices == "auto" and training.accelerator in ("auto", "cpu") and not torch.cuda.is_available():
        devices = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Fabric(
                accelerator=training.accelerator,
                devices=devices,
                strategy="ddp" if isinstance(devices, int) and devices > 1 else "auto",
                precision=training.precision,
            )
        except Exception as error:
            raise UserError(f"training.accelerator, devices or precision: not available here ({error})") from error


def _prepare_once(fabric: Fabric, config: Config, run: Run) -> Prepared:
    """The first rank writes the label rasters, the others read them."""
    if fabric.is_global_zero:
        prepared = prepare(config, run)
        fabric.barrier()
        return prepared
    fabric.barrier()
    return prepare(config, run)


class _Loop:
    """One training, from wherever its state stands to its end."""

    def __init__(
        self,
        config: Config,
        run: Run,
        fabric: Fabric,
        prepared: Prepared,
        system: System,
        optimiser: torch.optim.Optimizer,
        state: State,
    ) -> None:
        self.config, self.run_, self.fabric, self.state = config, run, fabric, state
        self.module, self.optimiser = fabric.setup(system, optimiser)
        self.system = system
        self.scaling = prepared.scaling
        data, training, world = config.data, config.training, fabric.world_size
        self.image_labels, self.slice_labels = prepared.image_labels, prepared.slice_labels
        self.groups, self.numbers = prepared.group_numbers, prepared.numbers
        self.sources, self.given = keep_in_memory(prepared.sources, prepared.given)
        self.val_set = self._dataset(prepared.regions["val"]).fixed_windows()
        samples = data.samples_per_epoch or len(self._dataset(prepared.regions["train"]))
        self.per_epoch = math.ceil(samples / (training.batch_size * world))
        self.total = self.per_epoch * training.epochs
        system.objective.begin(len(self.sources))
        self.memory = {
            name: FileMemory(run.memory / name, [s.shape for s in self.sources], need.channels, fabric)
            for name, need in system.objective.needs.memory.items()
        }
        self.held_out = HeldOut(fabric, system.predict, self._held_out_batches, data.classes)
        gate = system.objective.needs.gate
        parting = None if gate is None else math.ceil(gate.start * self.total)
        self.parting = parting if parting is not None and parting < self.total else None
        self.branches = Branches(run)
        # Batches are whole: an epoch is rounded up to full batches on all ranks.
        self.train_set = self._dataset(prepared.regions["train"], True, self.per_epoch * training.batch_size * world)
        self.started = time.monotonic() - state.seconds

    def _dataset(self, regions: list[Region], training: bool = False, samples: int | None = None) -> WindowDataset:
        data = self.config.data
        return WindowDataset(
            self.sources,
            self.given,
            regions,
            data.sides,
            self.scaling,
            image_labels=self.image_labels,
            slice_labels=self.slice_labels,
            groups=self.groups,
            numbers=self.numbers,
            still=data.still,
            seed=self.config.seed,
            augment=training and data.augment,
            photometric=data.photometric if training else 0.0,
            foreground=data.foreground if training and isinstance(data, VolumeData) else 0.0,
            samples_per_epoch=samples,
        )

    def run(self, stop: list[int], quiet: bool) -> None:
        state = self.state
        if self.fabric.is_global_zero:
            self._rewrite_log()
        with self._progress(quiet) as advance:
            if state.branch == "":
                self._go_on(stop, advance)
                if self.parting is not None and state.step > self.parting:
                    self._turn_back()
            if state.branch == "plain":
                self.memory = {}
                self._go_on(stop, advance)
                self._decide()
        if self.fabric.is_global_zero:
            shutil.rmtree(self.run_.memory, ignore_errors=True)
            self.branches.remove()

    def _go_on(self, stop: list[int], advance: Callable[[float], None]) -> None:
        """The steps from here to the end."""
        state, rank = self.state, self.fabric.global_rank
        keys = StepKeys(
            state.step, self.total, self.per_epoch, self.config.training.batch_size, rank, self.fabric.world_size
        )
        if not self._done():
            for memory in self.memory.values():
                memory.open(state.step if state.remembers else None)
        for batch in self._loader(self.train_set, keys):
            if self._done():
                break
            if state.step == self.parting and state.branch == "" and self.fabric.is_global_zero:
                self.branches.mark(self._content())
            losses = self._step(batch)
            for key, value in losses.items():
                state.sums[key] = state.sums.get(key, 0.0) + value
            state.step += 1
            advance(losses["loss"])
            if state.step % self.per_epoch == 0:
                self._end_epoch()
            if self._any_rank(bool(stop)):
                self._save("last")
                raise Interrupted(stop[0] if stop else signal.SIGTERM)

    def _turn_back(self) -> None:
        """The continuation with the method is finished: back to where the other one parts from it."""
        score = self.held_out.explained()
        if self.fabric.is_global_zero:
            self.branches.turn_back({**self._content(), "held_out": score})
        self.fabric.barrier()
        self._take(self.branches.start())
        self.state.branch, self.state.remembers = "plain", False
        self.memory = {}
        self._save("last")

    def _decide(self) -> None:
        """Keeps the continuation that explains the given validation labels better."""
        plain, first = self.held_out.explained(), self.branches.first()
        keeps = bool(first["held_out"] < plain)
        told = {"kept": "method" if keeps else "plain", "held_out": {"method": first["held_out"], "plain": plain}}
        if keeps:
            self._take(first)
        self.state.branch = "kept"
        if self.fabric.is_global_zero:
            if keeps:
                self.branches.keep_first()
            self.branches.tell(told)
            self._rewrite_log()
        self._save("last")
        self.fabric.barrier()  # before the first rank removes what the others read

    def _take(self, content: dict[str, Any]) -> None:
        """Weights, optimiser and state of a checkpoint of this run; time goes on."""
        restore(self.system, content["system"], self.run_.checkpoint("last"))
        self.optimiser.load_state_dict(content["optimiser"])
        for key, value in content["state"].items():
            setattr(self.state, key, value)

    def _step(self, batch: Sample) -> dict[str, float]:
        state, config = self.state, self.config
        torch.manual_seed(int(generator(config.seed, "step", state.step, self.fabric.global_rank).integers(2**62)))
        for group in self.optimiser.param_groups:
            if group["scheduled"]:
                group["lr"] = self._lr(state.step)
        tensors = self._to_device(batch)
        n_valid = (tensors["mask"] != 255).sum().float()
        n_images = len(tensors["mask"]) * self.fabric.world_size
        if self.fabric.world_size > 1:
            n_valid = self.fabric.all_reduce(n_valid, reduce_op="sum")
        self.module.train()
        context = Context(
            progress=state.step / self.total,
            step=state.step,
            n_valid=float(n_valid),
            n_images=n_images,
            world=self.fabric.world_size,
            memory=self.memory,
            over_ranks=self._over_ranks,
            plain=state.branch == "plain",
        )
        parts: dict[str, Tensor] = self.module(tensors, context)
        if not torch.isfinite(parts["loss"]):
            raise UserError(
                f"{self.run_.folder}: the loss is not finite at step {state.step + 1}; lower training.lr, or check the "
                "imagery for extreme values"
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(parts["loss"])
        self.optimiser.step()
        self.system.update_teacher(state.step)
        return {key: float(value.detach()) for key, value in parts.items()}

    def _lr(self, step: int) -> float:
        training = self.config.training
        if training.schedule == "constant":
            return training.lr
        return training.lr * 0.5 * (1 + math.cos(math.pi * step / self.total))

    def _to_device(self, batch: Sample) -> dict[str, Tensor]:
        moved: dict[str, Tensor] = self.fabric.to_device(
            {key: value for key, value in batch.items() if isinstance(value, Tensor) and key != "clean"}
        )
        return moved

    def _loader(self, dataset: Dataset[Sample], batch_sampler: Any) -> DataLoader[Sample]:
        return DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=collate,
            num_workers=self.config.training.workers,
            generator=torch.Generator(),
        )

    def _over_ranks(self, values: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return values
        total: Tensor = self.fabric.all_reduce(values, reduce_op="sum")
        return total

    def _any_rank(self, stop: bool) -> bool:
        if self.fabric.world_size == 1:
            return stop
        flag = self.fabric.all_reduce(torch.tensor(float(stop), device=self.fabric.device), reduce_op="sum")
        return bool(flag > 0)

    def _done(self) -> bool:
        patience = self.config.training.early_stopping
        epochs = len(self.state.history)
        if self.state.step >= self.total:
            return True
        return patience is not None and epochs - 1 - self.state.best_epoch >= patience and epochs > 0

    def _end_epoch(self) -> None:
        state = self.state
        means = {key: value / self.per_epoch for key, value in state.sums.items()}
        state.sums = {}
        objective = self.system.objective
        validation, channel = self.held_out.scores(objective.needs.channel)
        if channel is not None:
            objective.calibrate(channel)
            validation |= {"temperature": channel.temperature, "label_error_rate": channel.rate}
            for k, name in enumerate(self.config.data.classes):
                validation[f"label_error_rate_{name}"] = 1 - channel.confusion[k][k]
        row = {
            "epoch": float(len(state.history) + 1),
            "step": float(state.step),
            "lr": self._lr(state.step - 1),
            **means,
            **validation,
            "seconds": time.monotonic() - self.started,
        }
        state.history.append(row)
        score = validation["val_iou"]
        # Where no validation label is known, which is where the loss on them is 0, the latest weights are the best.
        if score > state.best or validation["val_loss"] == 0:
            state.best, state.best_epoch = score, len(state.history) - 1
            self._save("best")
        self._save("last")
        if self.fabric.is_global_zero:
            self._rewrite_log()

    def _held_out_batches(self) -> Iterator[dict[str, Tensor]]:
        order = list(range(self.fabric.global_rank, len(self.val_set), self.fabric.world_size))
        size = self.config.training.batch_size
        self.module.eval()
        for batch in self._loader(self.val_set, [order[i : i + size] for i in range(0, len(order), size)]):
            yield self._to_device(batch)

    def _save(self, which: Any) -> None:
        if not self.fabric.is_global_zero:
            return
        state = self.state
        state.seconds = time.monotonic() - self.started
        if which == "last":
            state.remembers = not self._done() and any(memory.written for memory in self.memory.values())
            if state.remembers:
                for memory in self.memory.values():
                    memory.save(state.step)
        save_checkpoint(self.run_.checkpoint(which), self._content())
        if which == "last":
            for memory in self.memory.values():
                memory.forget(state.step)

    def _content(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump(mode="json"),
            "fingerprint": self.config.fingerprint(),
            "scaling": self.scaling.to_dict(),
            "system": {key: value.cpu() for key, value in self.system.state_dict().items()},
            "optimiser": self.optimiser.state_dict(),
            "state": vars(self.state),
        }

    def _rewrite_log(self) -> None:
        """log.csv is the history of the checkpoint, so a resumed run continues it without gap or repetition."""
        history = self.state.history
        columns = list(dict.fromkeys(key for row in history for key in row)) or ["epoch", "step"]
        temporary = self.run_.log.with_suffix(".partial")
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in history)
        temporary.replace(self.run_.log)

    @contextlib.contextmanager
    def _progress(self, quiet: bool) -> Iterator[Any]:
        columns = [
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[info]}"),
        ]
        disable = quiet or not self.fabric.is_global_zero
        with Progress(*columns, console=Console(file=sys.stderr), disable=disable) as bar:
            twice = 0 if self.parting is None else self.total - self.parting
            task = bar.add_task(f"train {self.config.name}", total=self.total + twice, info="")

            def advance(loss: float) -> None:
                state = self.state
                iou = f"  val IoU {state.history[-1]['val_iou']:.3f}" if state.history else ""
                done = state.step + (twice if state.branch else 0)
                bar.update(task, completed=done, info=f"loss {loss:.3f}{iou}")

            yield advance
