"""A cell: one training that a benchmark asks for, an ordinary run addressed by the hash of its configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segnoise.config import make_config
from segnoise.evaluation.benchmark.description import CLEAN, SetEntry
from segnoise.methods.objective import method_defaults

Kind = Literal["run", "two_networks", "rerun", "tuning"]
"""A result; two networks averaged; the same training under another rounding; a trial of tuning."""

FORMAT = 1
"""Part of every hash: raised when the same configuration comes to mean something else."""


@dataclass(frozen=True)
class Cell:
    """What is trained, on what, and the address that follows from it.

    ``run`` is a run's description with the paths of the benchmark (relative to the folder of the data), ``options``
    are those of the method, ``changes`` those of the optimisation that tuning chose.
    """

    kind: Kind
    set: str
    method: str
    options: list[dict[str, Any]]
    changes: dict[str, Any]
    noise: str
    seed: int
    threads: int
    run: dict[str, Any]
    hash: str


def make_cell(
    kind: Kind,
    name: str,
    entry: SetEntry,
    method: str,
    options: list[dict[str, Any]],
    changes: Mapping[str, Any],
    noise: str,
    seed: int,
    threads: int = 1,
) -> Cell:
    """The cell of a set, method, noise and seed.

    The seed is that of initialisation, order, noise draw and split, whatever the method. The hash covers the
    configuration (what differs from the defaults, and every option of the methods, whose defaults may change with
    what is learned of them) and how the data are prepared; no path of a machine, no device and no name of set or
    method has a part in it.
    """
    run = {
        "seed": seed,
        "data": entry.data,
        "noise": None if noise == CLEAN else {"spec": noise, "seed": seed},
        "network": entry.network,
        "method": options,
        "training": {**entry.training, **changes},
    }
    prepare = entry.prepare.model_dump() if entry.prepare else None
    content = {"format": FORMAT, "kind": kind, "threads": threads, "prepare": prepare, "run": canonical(run)}
    address = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Cell(kind, name, method, options, dict(changes), noise, seed, threads, run, address)


def canonical(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as far as it decides the result, the same on every machine."""
    config = make_config(run, base=Path("/"))
    content: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    content["method"] = [_options(method) for method in config.methods()]
    content["network"] = {"name": config.network.name, **content.get("network", {})}
    for key in ("devices", "accelerator", "workers"):
        content.get("training", {}).pop(key, None)
    return {key: value for key, value in content.items() if value != {}}


def _options(method: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a method; what is switched off, as it is by default, may have come later than a cell."""
    defaults = method_defaults(method["name"])
    options = {**defaults, **method}
    return {key: value for key, value in options.items() if value is not False or defaults.get(key) is not False}


def settings_of(entry: SetEntry) -> dict[str, Any]:
    """What all cells of a set share."""
    content = canonical({"data": entry.data, "network": entry.network, "training": entry.training})
    content.pop("seed", None)
    content.pop("method", None)
    return {**content, "prepare": entry.prepare.model_dump() if entry.prepare else None}


def first_difference(old: Any, new: Any, key: str = "") -> str:
    """The first key in which two nested settings differ, with both values.

    >>> first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    'a.c: 2, here 3'
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for part in sorted({*old, *new}):
            if old.get(part) != new.get(part):
                return first_difference(old.get(part), new.get(part), f"{key}.{part}" if key else part)
    unset = "the default"
    return f"{key}: {unset if old is None else old}, here {unset if new is None else new}"
