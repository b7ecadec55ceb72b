"""What a report says in sentences: what was trained on what, and what the comparison means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segnoise.config import Config, MethodConfig, SceneData

if TYPE_CHECKING:
    from segnoise.evaluation.runrecord import RunRecord

_KINDS = {"raster": "scene", "images": "image", "fundus": "photograph", "oct": "B-scan", "video": "sequence"}
_NARROW = "\u202f"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(8.4), duration(100), duration(7500)
    ('8 s', '1 min 40 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(share: float) -> str:
    """A share as percent, with one digit below ten.

    >>> percent(0.4), percent(0.034)
    ('40\\u202f%', '3.4\\u202f%')
    """
    value = 100 * share
    return f"{value:.0f}{_NARROW}%" if abs(value) >= 9.95 or value == 0 else f"{value:.1f}{_NARROW}%"


def flip_rate(record: RunRecord) -> float | None:
    """The measured share of wrong training labels, pooled over sources; None without synthetic noise."""
    records = ((record.prepared or {}).get("noise") or {}).get("train") or []
    pixels = sum(r["card"]["pixels"] for r in records)
    return sum(r["card"]["errors"] for r in records) / pixels if pixels else None


def options(name: str, extra: Mapping[str, Any]) -> str:
    """A component with its options.

    >>> options("kms", {"rho": 0.9})
    'kms (rho 0.9)'
    """
    said = ", ".join(f"{key} {value}" for key, value in extra.items())
    return f"{name} ({said})" if said else name


def method(config: Config) -> str:
    return " + ".join(_one(m) for m in config.method)


def _one(m: MethodConfig) -> str:
    return options(m.name.replace("_", "-"), m.model_extra or {})


def network(config: Config) -> str:
    extra = {"encoder": config.network.encoder, "weights": config.network.weights, **config.network.options}
    return options(config.network.name, {key: value for key, value in extra.items() if value is not None})


def labels(record: RunRecord) -> str:
    """How the labels that training saw came about."""
    if record.config.noise is None:
        return "as given, no noise added"
    rate = flip_rate(record)
    measured = "" if rate is None else f", {percent(rate)} of the pixels wrong"
    return f"{record.config.noise.spec}{measured}"


def data(record: RunRecord) -> str:
    """The imagery in one phrase."""
    described, sources = record.config.data, record.sources
    bands = "" if record.bands is None else f", {record.bands} band{'s' if record.bands > 1 else ''}"
    if isinstance(described, SceneData):
        what = _count(described.count, "procedural scene")
        return f"{what} of {described.size} × {described.size} pixels{bands}"
    kind = _KINDS.get(described.kind, described.kind)
    if not sources:
        places = getattr(described, "images", None) or [getattr(described, "folder", "")]
        return f"{kind}s {', '.join(places)}"
    listed = f" ({', '.join(sources[:3])}{', …' if len(sources) > 3 else ''})"
    return f"{_count(len(sources), kind)}{listed}{bands}"


def split(config: Config) -> str:
    shares = config.data.split.fractions
    parts = ", ".join(f"{percent(share)} {name}" for name, share in shares.items())
    whole = "whole sequences" if config.data.still else "whole images"
    by = {"block": "blocks of each scene", "source": whole, "table": "the table of labels"}
    return "as in the table of labels" if config.data.split.by == "table" else f"{parts}, by {by[config.data.split.by]}"


def window(config: Config) -> str:
    """The size of a training crop."""
    still, sides = config.data.still, config.data.sides
    frames = "".join(f"{n} frames of " for n in sides[:still])
    return f"{frames}{' × '.join(map(str, sides[still:]))} pixels"


def metric(name: str) -> str:
    """A metric's name in a summary, as people write it.

    >>> metric("iou of the class field")
    'IoU of the class field'
    """
    return "IoU" + name[3:] if name.startswith("iou") else name


def lede(record: RunRecord, mean_iou: float | None) -> str:
    """The opening sentences of a single run's report."""
    config = record.config
    if record.steps:
        trained = f"{config.network.name} trained with {method(config)} for {record.steps:,} steps"
        trained += f" ({duration(record.seconds)})"
    else:
        trained = f"{config.network.name} with {method(config)}, not yet through its first epoch"
    rate = flip_rate(record)
    if config.noise is None:
        on = "on the labels as given"
    elif rate is None:
        on = f"on labels made wrong by {config.noise.spec}"
    else:
        on = f"on labels of which {percent(rate)} are wrong ({config.noise.spec})"
    said = f"{trained}, {on}."
    if mean_iou is not None:
        against = "true" if config.noise is not None else "given"
        part = (record.metrics or {}).get("split", "test")
        said += f" Mean IoU against the {against} labels of the {part} split: {mean_iou:.3f}."
    return " ".join(filter(None, (said, channel(record.log), gate(record.gate))))


def channel(log: Sequence[Mapping[str, float]]) -> str:
    """How many labels are wrong by what the last validation said, in a sentence; empty where it was not asked.

    >>> channel([{"label_error_rate": 0.02}, {"label_error_rate": 0.4}])
    'The held-out labels look as if about 40\u202f% of the labels were wrong in a way that the image does not explain.'
    """
    rate = log[-1].get("label_error_rate") if log else None
    if rate is None:
        return ""
    share = f"about {percent(rate)}" if rate > 0.01 else "hardly any"
    return f"The held-out labels look as if {share} of the labels were wrong in a way that the image does not explain."


def gate(told: Mapping[str, Any] | None) -> str:
    """What a gate decided, in a sentence; empty without one.

    >>> gate({"kept": "plain", "held_out": {"method": 0.41, "plain": 0.4}})
    'The gate kept plain training: it explains held-out labels better (0.400000 against 0.410000 with the correction).'
    """
    if told is None:
        return ""
    method, plain = (float(told["held_out"][key]) for key in ("method", "plain"))
    if told["kept"] == "method":
        return f"The gate kept the correction: it explains held-out labels better ({method:.6f} against {plain:.6f})."
    if method == plain:
        return f"The gate kept plain training: both explain held-out labels alike ({plain:.6f})."
    return (
        f"The gate kept plain training: it explains held-out labels better ({plain:.6f} against {method:.6f} with the "
        "correction)."
    )


def verdict(summary: Mapping[str, Any], robust_method: str) -> str:
    """One plain sentence on what a demo's summary means, also when the method does not help.

    >>> verdict({"noise": "kms(0.4)", "clean": 0.9, "plain": 0.7, "robust": 0.85, "gap_closed": 0.75}, "kms")
    'Labels made wrong by kms(0.4) cost plain training 0.200 IoU (0.900 to 0.700); kms wins back 75\\u202f% of that.'
    """
    clean, plain, robust = (float(summary[key]) for key in ("clean", "plain", "robust"))
    gap = summary.get("gap_closed")
    noise = summary.get("noise", "the noise")
    if gap is None:
        return (
            f"Labels made wrong by {noise} hardly hurt plain training here (IoU {plain:.3f}, on clean labels "
            f"{clean:.3f}), so there is no gap to close; {robust_method} reaches {robust:.3f}."
        )
    cost = (
        f"Labels made wrong by {noise} cost plain training {clean - plain:.3f} IoU ({clean:.3f} to {plain:.3f}); "
        f"{robust_method}"
    )
    if gap > 1:
        return f"{cost} wins all of that back and more ({robust:.3f})."
    if gap >= 0.05:
        return f"{cost} wins back {percent(gap)} of that."
    if gap > -0.05:
        return f"{cost} does not help here ({robust:.3f})."
    return f"{cost} makes it worse here ({robust:.3f})."


def auroc_sentence(auroc: float | None) -> str:
    if auroc is None:
        return ""
    return (
        f"Shown a wrong and a right training label, its label-error map ranks the wrong one higher in "
        f"{percent(auroc)} of cases."
    )


def common(values: Sequence[str]) -> str | None:
    """The value that all runs share, else None."""
    return values[0] if len(set(values)) == 1 else None


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
