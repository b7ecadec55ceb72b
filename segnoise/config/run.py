"""A run: its data, noise, network, methods and optimisation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from segnoise.config.data import DataSection
from segnoise.config.section import Section
from segnoise.errors import UserError
from segnoise.methods.names import check_method_name
from segnoise.networks.names import check_network_name


class Network(BaseModel):
    """The network; further keys are its own options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field("BasicUNet", description="An smp architecture or a MONAI network")
    encoder: str | None = Field(None, description="Encoder of an smp architecture")
    weights: str | None = Field(None, description="imagenet, or a path to weights; random by default")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_network_name(name)
        return name

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class MethodConfig(BaseModel):
    """A method by name; further keys are its own options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(description="A method, such as kms")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_method_name(name)
        return name


class NoiseConfig(Section):
    """Synthetic label noise on the training and validation labels (different draws); test labels stay as given."""

    spec: str = Field(description="An expression such as kms(0.4) or boundary(3px)+omission(0.2)")
    seed: int = Field(0, ge=0, description="Seed of the draws")


class Training(Section):
    """The optimisation."""

    epochs: int = Field(50, ge=1, description="Passes over the training windows")
    batch_size: int = Field(16, ge=1, description="Crops per step and device")
    lr: float = Field(1e-3, gt=0, description="Learning rate of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="Of the learning rate over all steps")
    early_stopping: int | None = Field(
        None, ge=1, description="Stop after this many epochs without a better score on the given validation labels"
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"] = Field(
        "32-true", description="Of the network; losses are always computed in 32 bits"
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = Field("auto", description="Where to train")
    devices: int | Literal["auto"] = Field("auto", description="How many; more than one trains data-parallel")
    workers: int = Field(0, ge=0, description="Processes that read samples")


class Config(Section):
    """A run."""

    name: str = Field("run", pattern=r"^[\w.-]+$", description="The run's folder is runs/<name>")
    seed: int = Field(0, ge=0, description="Seed of initialisation, order, crops and augmentation")
    data: Annotated[DataSection, Field(discriminator="kind", description="See below")]
    noise: NoiseConfig | None = Field(
        None, description="Synthetic noise such as kms(0.4), or {name: kms, level: 0.4, seed: 1}; see below"
    )
    network: Network = Field(Network(), description="A name, or a section; see below")
    method: list[MethodConfig] = Field(
        [MethodConfig(name="cross_entropy")], description="A name, a section, or a list of them to be composed"
    )
    training: Training = Field(Training(), description="See below")

    @field_validator("noise", mode="before")
    @classmethod
    def _noise(cls, value: Any) -> Any:
        """``kms(0.4)`` or ``{name: kms, level: 0.4, rho: 0.9, seed: 1}`` or ``{spec: …, seed: …}``."""
        if isinstance(value, str):
            return {"spec": value}
        if isinstance(value, Mapping) and "name" in value:
            rest = dict(value)
            name, level, seed = rest.pop("name"), rest.pop("level", None), rest.pop("seed", 0)
            arguments = ([] if level is None else [str(level)]) + [f"{k}={v}" for k, v in rest.items()]
            return {"spec": f"{name}({', '.join(arguments)})", "seed": seed}
        return value

    @field_validator("method", mode="before")
    @classmethod
    def _method(cls, value: Any) -> Any:
        values = value if isinstance(value, list) else [value]
        return [{"name": v} if isinstance(v, str) else v for v in values]

    @field_validator("network", mode="before")
    @classmethod
    def _network(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _slice_labels_are_read(self) -> Config:
        told = getattr(self.data, "slice_labels", None)
        if told is not None and all(method.name != "image_labels" for method in self.method):
            raise UserError("data.slice_labels: no method reads them; add image_labels to method")
        return self

    def methods(self) -> list[dict[str, Any]]:
        """Name and options of each method, in order."""
        return [m.model_dump() for m in self.method]

    def fingerprint(self) -> str:
        """A hash of everything that decides the result (not of the run's name, devices or workers)."""
        content = self.model_dump(mode="json", exclude={"name": True})
        for key in ("devices", "accelerator", "workers"):
            content["training"].pop(key)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
