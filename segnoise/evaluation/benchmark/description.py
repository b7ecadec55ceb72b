"""What a benchmark is: its description in YAML, checked key by key without importing torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from segnoise.config import Config, MethodConfig, Section, make_config
from segnoise.errors import UserError, nearest
from segnoise.yamlfile import read_mapping

CLEAN = "none"
"""How a description names the labels as they are."""

PLAIN = "cross_entropy"
"""The method that every other one is compared with."""

_TUNED_TRAINING = ("lr", "weight_decay")


class Slices(Section):
    """Volumes (NIfTI) become pictures: slices across one axis, each volume scaled to 0 … 255 by its own percentiles."""

    kind: Literal["slices"]
    axis: int = Field(2, ge=0, le=2, description="The axis across which slices are cut")
    every: int = Field(1, ge=1, description="Take every n-th slice")


class Grey(Section):
    """Pictures of mixed kinds become grey ones: mean of the bands, scaled to 0 … 255 by their own percentiles."""

    kind: Literal["grey"]


class Reduced(Section):
    """Pictures and their labels become smaller, so that a small network sees more: the mean of each block of
    ``factor`` × ``factor`` pixels, and the label that most of its known pixels have (255 where most are unknown).
    """

    kind: Literal["reduced"]
    factor: int = Field(ge=2, description="Pixels along an axis that become one; a rest at the rim is left out")


class SetEntry(Section):
    """A data set with the network and the budget that all methods get on it."""

    data: dict[str, Any] = Field(description="As in a run; paths are relative to the folder of the data")
    prepare: Annotated[Slices | Grey | Reduced, Field(discriminator="kind")] | None = Field(
        None, description="Makes plain pictures of volumes or mixed images first"
    )
    network: str | dict[str, Any] = Field("BasicUNet", description="As in a run")
    training: dict[str, Any] = Field({}, description="As in a run")


class MethodEntry(Section):
    """A method as the tables name it, and the options that may be tuned."""

    label: str = Field(pattern=r"^[\w.+-]+$", description="Its name in the tables; by default the method's")
    method: list[MethodConfig] = Field(min_length=1, description="As in a run: a name, a section, or a list of them")
    tune: dict[str, list[Any]] = Field(
        {}, description="Values to try of an option, of name.option, of training.lr or of training.weight_decay"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """``kms``, ``{name: kms, decay: 0.99}``, ``[kms, …]`` or all keys; the label defaults to the names."""
        if isinstance(value, Mapping) and "method" in value:
            content = dict(value)
        elif isinstance(value, Mapping):
            content = {k: v for k, v in value.items() if k in ("label", "tune")}
            content["method"] = {k: v for k, v in value.items() if k not in ("label", "tune")}
        else:
            content = {"method": value}
        parts = content["method"] if isinstance(content["method"], list) else [content["method"]]
        content["method"] = [{"name": part} if isinstance(part, str) else part for part in parts]
        names = [part.get("name") for part in content["method"] if isinstance(part, Mapping)]
        content.setdefault("label", "+".join(map(str, names)))
        return content

    @model_validator(mode="after")
    def _tunable(self) -> MethodEntry:
        names = [m.name for m in self.method]
        for key, values in self.tune.items():
            section, _, option = key.rpartition(".")
            if section == "training" and option not in _TUNED_TRAINING:
                raise ValueError(f"tune.{key}: only training.lr and training.weight_decay leave the budget equal")
            if section not in ("training", "", *names):
                raise ValueError(f"tune.{key}: {nearest(section, ['training', *names])}")
            if not section and len(names) > 1:
                raise ValueError(f"tune.{key}: say of which method: {', '.join(f'{n}.{key}' for n in names)}")
            if not values:
                raise ValueError(f"tune.{key}: give at least one value")
        plain = self.method == [MethodConfig(name=PLAIN)] and not self.tune
        if self.label == PLAIN and not plain:
            raise ValueError(f"the label {PLAIN} is that of the plain loss in every table; give this one another label")
        return self

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The combinations of values to try; one empty combination where nothing is tuned."""
        return [dict(zip(self.tune, values, strict=True)) for values in itertools.product(*self.tune.values())]


class Tuning(Section):
    """The budget of tuning, and seeds that no result uses."""

    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, description="Seeds of the trials")
    trials: int = Field(8, ge=1, description="Most combinations of values that a method may try")


class Benchmark(Section):
    """Methods × noises × seeds × data sets."""

    name: str = Field(pattern=r"^[\w.-]+$", description="Heading of tables and report")
    metric: Literal["iou", "dice"] = Field("iou", description="What the gap, the ranks and the tests are about")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, description="Seeds of the results")
    methods: list[MethodEntry] = Field([], description="Methods beside plain cross-entropy")
    noises: list[str] = Field(min_length=1, description="Expressions such as kms(0.4); none is no noise")
    sets: dict[str, SetEntry] = Field(min_length=1, description="Data sets by name")
    tuning: Tuning | None = Field(None, description="Needed where a method has values to tune")

    @field_validator("seeds", "noises")
    @classmethod
    def _once(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError("something is listed twice")
        return values

    @field_validator("noises")
    @classmethod
    def _compact(cls, noises: list[str]) -> list[str]:
        return ["".join(noise.split()) for noise in noises]

    @model_validator(mode="after")
    def _consistent(self) -> Benchmark:
        labels = [m.label for m in self.methods]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"methods: two have the label {twice}; give one of them another `label`")
        for method in self.methods:
            if not method.tune:
                continue
            if self.tuning is None:
                raise ValueError(f"tuning: this section is needed, for {method.label} has values to tune")
            if len(method.trials) > self.tuning.trials:
                raise ValueError(
                    f"methods: {method.label} has {len(method.trials)} combinations to try, more than "
                    f"tuning.trials {self.tuning.trials}"
                )
        shared = set(self.seeds) & set(self.tuning.seeds if self.tuning else [])
        if shared:
            raise ValueError(f"tuning.seeds: {min(shared)} is also a seed of the results; tune on other seeds")
        return self

    @property
    def contenders(self) -> list[MethodEntry]:
        """The methods beside plain cross-entropy, which is always there."""
        return [m for m in self.methods if m.label != PLAIN]


def load_benchmark(source: str | Path) -> tuple[Benchmark, Path]:
    """A benchmark from a YAML file or by the name of a packaged one, and the folder its paths are relative to.

    That folder is the file's own, or for a packaged benchmark the working folder.

    Raises:
        UserError: no such file or name, or a mistake in the description, with one line.

    >>> load_benchmark("smoke")[0].seeds
    [0, 1]
    """
    path = Path(source)
    if path.is_file():
        text, where, root = path.read_text(), str(path), path.resolve().parent
    elif path.suffix or len(path.parts) > 1:
        raise UserError(f"{path}: no such file; packaged benchmarks are {', '.join(packaged_benchmarks())}")
    elif str(source) in packaged_benchmarks():
        text, where, root = _packaged(str(source)), str(source), Path.cwd()
    else:
        raise UserError(f"{source}: no such file or packaged benchmark; {nearest(str(source), packaged_benchmarks())}")
    return make_benchmark(read_mapping(text, where, "name, seeds, methods, noises, sets"), where), root


def packaged_benchmarks() -> list[str]:
    """The names of the benchmarks that travel inside the package."""
    folder = resources.files("segnoise").joinpath("configs/benchmark")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _packaged(name: str) -> str:
    return resources.files("segnoise").joinpath(f"configs/benchmark/{name}.yaml").read_text()


def make_benchmark(raw: Mapping[str, Any], where: str = "benchmark") -> Benchmark:
    """A validated benchmark from a mapping; every set is checked as a run would be.

    >>> scenes = {"data": {"kind": "scenes"}, "trainning": {}}
    >>> make_benchmark({"name": "b", "seeds": [0], "noises": ["kms(0.4)"], "sets": {"scenes": scenes}})
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: benchmark: sets.scenes.trainning: unknown key; did you mean 'training'?
    """
    try:
        benchmark = Benchmark.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error)}") from error
    for name, entry in benchmark.sets.items():
        place = f"{where}: sets.{name}"
        if not all(character.isalnum() or character in "_.-" for character in name):
            raise UserError(f"{place}: a set's name has letters, digits, '_', '.' and '-' only")
        if set(entry.data.get("split") or {}) & {"seed"}:
            raise UserError(f"{place}: data.split.seed: the seeds of the benchmark deal the splits; leave it out")
        config = set_config(entry, place)
        if config.training.early_stopping is not None:
            raise UserError(
                f"{place}: training.early_stopping: would give the methods unequal numbers of steps; leave it out, "
                "for every table has the checkpoint that is best on the given validation labels"
            )
    return benchmark


def set_config(entry: SetEntry, where: str, base: Path = Path("/")) -> Config:
    """The run that a set describes, with its paths under ``base``: by default a place that no machine has."""
    for text in _paths(entry):
        if PurePosixPath(text).is_absolute() or text.startswith("~"):
            raise UserError(f"{where}: {text}: give a path relative to the folder of the data (--data)")
    raw = {"data": entry.data, "network": entry.network, "training": entry.training}
    return make_config(raw, base=base, where=where)


def _paths(entry: SetEntry) -> Iterator[str]:
    network = entry.network if isinstance(entry.network, dict) else {}
    for value in (entry.data.get("images"), entry.data.get("labels"), network.get("weights")):
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text


def _explain(error: ValidationError) -> str:
    """The first mistake as one line: the key, what is wrong, and what would be right."""
    first = error.errors(include_url=False)[0]
    loc = [part for k, part in enumerate(first["loc"]) if not (k > 2 and first["loc"][k - 1] == "prepare")]
    key = ".".join(map(str, loc))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return f"{key}: {cause}"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(str(first['loc'][-1]), _model(first['loc'][:-1]).model_fields)}"
    if first["type"] == "missing":
        return f"{key}: this key is needed"
    if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return f"{key}.kind: known: slices, grey, reduced"
    message = first["msg"].removeprefix("Value error, ")
    given = repr(first.get("input"))
    said = f"{message[:1].lower() + message[1:]}" + (f" (given: {given})" if len(given) < 60 else "")
    return f"{key}: {said}" if key else said


def _model(loc: Sequence[str | int]) -> type[BaseModel]:
    """The section at an error's location."""
    if not loc:
        return Benchmark
    if loc[0] == "methods":
        return MethodEntry
    if loc[0] == "tuning":
        return Tuning
    if "prepare" in loc:
        kinds: dict[Any, type[BaseModel]] = {"grey": Grey, "reduced": Reduced}
        return kinds.get(loc[-1], Slices)
    return SetEntry
