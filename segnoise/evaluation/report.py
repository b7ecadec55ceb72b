"""The report: one HTML file with everything inside, about one run or comparing several."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segnoise.errors import UserError
from segnoise.evaluation import wording
from segnoise.evaluation.examples import Example, examples
from segnoise.evaluation.figures import curve_panels
from segnoise.evaluation.overlay import DOUBT_COLOUR
from segnoise.evaluation.pictures import probability_stops
from segnoise.evaluation.planes import VolumeViews, volume_views
from segnoise.evaluation.polygonmap import polygon_map
from segnoise.evaluation.runrecord import RunRecord, read_run
from segnoise.evaluation.scoretable import class_table, mean_iou, number, patient_table, sequence_table, whole_table
from segnoise.inference.palette import class_colour
from segnoise.training import Model, Run, load, prepare
from segnoise.windows import atomic_output

_HERE = Path(__file__).parent
_COLOURS = {"clean": "var(--blue)", "plain": "var(--ochre)", "robust": "var(--green)"}
_CYCLE = ("var(--green)", "var(--ochre)", "var(--blue)", "var(--violet)", "var(--red)", "var(--grey)")


@dataclass(frozen=True)
class _Tiles:
    """Example windows of both splits and views of volumes, or the reason why there are none."""

    train: list[Example]
    test: list[Example]
    missing: str
    calibrated: bool
    error_of: str
    volumes: VolumeViews | None = None


def write_report(
    runs: Sequence[Path],
    *,
    path: Path | None = None,
    title: str | None = None,
    polygons: Path | None = None,
    scene: Path | None = None,
    summary: dict[str, Any] | None = None,
) -> Path:
    """Writes the report of one run, or of several side by side, and returns its path.

    The page needs no network and no other file, follows the reader's light or dark theme, and holds: what was
    trained on what, the curves, the scores of metrics.json, example windows with the label-error map, polygons
    over their scene, and the configurations. What a run does not have yet is left out and said.

    Args:
        runs: folders of runs; runs named ``clean``, ``plain`` and ``robust`` are a demo's.
        path: HTML file to write, replaced if it exists; by default report.html in the run's folder, or in the
            folder of the folders of several runs.
        title: heading; by default the run's name.
        polygons, scene: a vector file and the raster it belongs to, for the map; both or neither.
        summary: a demo's summary (``clean``, ``plain``, ``robust``, ``gap_closed``, …).

    Raises:
        UserError: a folder that is no run, damaged files, or polygons and scene that do not fit.
        ValueError: no run, or polygons without scene.
    """
    if not runs:
        raise ValueError("a report needs at least one run")
    if (polygons is None) != (scene is None):
        raise ValueError("polygons and scene belong together")
    records = [read_run(Path(run)) for run in runs]
    names = _names(records)
    target = path or (records[0].folder if len(runs) == 1 else records[0].folder.parent) / "report.html"
    colours = [_COLOURS.get(name, _CYCLE[k % len(_CYCLE)]) for k, name in enumerate(names)]
    tiles = _tiles(records, names)
    scored = [(name, record.metrics) for name, record in zip(names, records, strict=True)]
    script = "".join((_HERE / name).read_text() for name in ("polygons.js", "polygonmap.js"))
    page = _environment().get_template("report.html.jinja").render(
        title=title or (records[0].config.name if len(runs) == 1 else ", ".join(names)),
        lede=_lede(records, summary),
        style=Markup((_HERE / "report.css").read_text()),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        runs=[
            _run_view(record, name, colour) for record, name, colour in zip(records, names, colours, strict=True)
        ],
        facts=_facts(records),
        bars=_bars(records, names, colours, summary),
        summary=_summary_view(summary),
        panels=curve_panels(list(zip(names, colours, records, strict=True))),
        classes=class_table(scored) if any(m for _, m in scored) else None,
        whole=whole_table(scored) if any(m for _, m in scored) else None,
        patients=patient_table(scored),
        sequences=sequence_table(scored),
        patient_count=" and ".join(
            dict.fromkeys(str(m["patients"]["n"]) for _, m in scored if m and m.get("patients", {}).get("n"))
        ),
        unscored=[name for name, metrics in scored if metrics is None],
        scored_on=_scored_on(records),
        against="true" if any(r.config.noise for r in records) else "given",
        tiles=tiles,
        legend=[(name, class_colour(k)) for k, name in enumerate(records[-1].config.data.classes)],
        stops=probability_stops(),
        doubt=DOUBT_COLOUR,
        map=polygon_map(polygons, scene) if polygons is not None and scene is not None else None,
    )  # fmt: skip
    with atomic_output(target, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _names(records: Sequence[RunRecord]) -> list[str]:
    """What the runs are called: their folders' names, or with the folders above where these are the same."""
    if len(records) == 1:
        return [records[0].config.name]
    names = [record.folder.resolve().name for record in records]
    if len(set(names)) == len(names):
        return names
    return [str(record.folder) for record in records]


def _run_view(record: RunRecord, name: str, colour: str) -> dict[str, Any]:
    best = record.best_epoch
    content = yaml.safe_dump(record.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return {
        "name": name,
        "colour": colour,
        "labels": wording.labels(record),
        "method": wording.method(record.config),
        "steps": f"{record.steps:,}",
        "time": wording.duration(record.seconds) if record.log else "–",
        "best": f"{best['val_iou']:.3f} (epoch {best['epoch']:.0f})" if best else "–",
        "config": content,
    }


def _lede(records: Sequence[RunRecord], summary: Mapping[str, Any] | None) -> list[str]:
    if len(records) == 1:
        return [wording.lede(records[0], mean_iou(records[0].metrics))]
    if summary is not None:
        said = [wording.verdict(summary, wording.method(records[-1].config)), wording.auroc_sentence(_auroc(summary))]
        return [s for s in said if s]
    return [f"{len(records)} runs side by side."]


def _auroc(summary: Mapping[str, Any]) -> float | None:
    value = summary.get("label_error_auroc")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _facts(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """What holds for all runs; where they differ, the table of runs or the configurations tell."""
    config = records[0].config
    each: dict[str, list[str]] = {
        "Data": [wording.data(r) for r in records],
        "Classes": [", ".join(r.config.data.classes) for r in records],
        "Split": [wording.split(r.config) for r in records],
        "Network": [wording.network(r.config) for r in records],
    }
    if len(records) == 1:
        run = _run_view(records[0], config.name, "")
        each |= {"Labels": [run["labels"]], "Method": [run["method"]]}
    each["Optimisation"] = [
        f"AdamW, {r.config.training.schedule} schedule from {r.config.training.lr:g}, batches of "
        f"{r.config.training.batch_size} windows of {wording.window(r.config)}"
        for r in records
    ]
    if len(records) == 1:
        each["Trained"] = [
            f"{run['steps']} steps in {len(records[0].log)} of {config.training.epochs} epochs, {run['time']}"
        ]
        each["Best validation IoU"] = [f"{run['best']}, on the given labels"]
    shared = {key: wording.common(values) for key, values in each.items()}
    return [(key, value) for key, value in shared.items() if value is not None]


def _bars(
    records: Sequence[RunRecord], names: Sequence[str], colours: Sequence[str], summary: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """One bar a run: the summary's score, else the mean IoU where all runs have one."""
    if len(records) == 1:
        return []
    bars = []
    for record, name, colour in zip(records, names, colours, strict=True):
        value = summary.get(name) if summary else mean_iou(record.metrics)
        if value is not None:
            what = f"{wording.method(record.config)}, labels {wording.labels(record)}"
            bars.append({"name": name, "colour": colour, "what": what, "value": float(value), "text": number(value)})
    return bars


def _summary_view(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    gap, auroc = summary.get("gap_closed"), _auroc(summary)
    return {
        "metric": wording.metric(str(summary.get("metric", "iou"))),
        "gap": None if gap is None else wording.percent(float(gap)),
        "share": None if gap is None else min(max(float(gap), 0.0), 1.0),
        "auroc": number(auroc),
        "time": wording.duration(float(summary["seconds"])) if "seconds" in summary else "–",
    }


def _scored_on(records: Sequence[RunRecord]) -> str:
    """Which split and which weights the scores are of, as far as the runs agree."""
    said = [(r.metrics["split"], r.metrics["checkpoint"]) for r in records if r.metrics and "split" in r.metrics]
    if not said:
        return "Scored"
    same = len(set(said)) == 1
    split, checkpoint = said[0]
    return f"{split.capitalize()} split, checkpoint {checkpoint}" if same else "Each run's own split and checkpoint"


def _tiles(records: Sequence[RunRecord], names: Sequence[str]) -> _Tiles:
    """Example windows on the data of the last run whose labels are known to be wrong, else of the last run."""
    reference = max(range(len(records)), key=lambda k: (records[k].config.noise is not None, k))
    record = records[reference]
    try:
        models = [(name, model) for name, model in map(_load, names, records) if model is not None]
        chosen = dict(models).get(names[reference])
        if chosen is None:
            return _Tiles([], [], "None, for there is no checkpoint yet.", True, names[reference])
        prepared = prepare(chosen.config, Run(record.folder))
        fitting = [
            (name, model)
            for name, model in models
            if name != names[reference] and _same_data(records[names.index(name)], record, model, chosen)
        ]
        fitting.append((names[reference], chosen))
        train = examples(fitting, prepared, "train", 4, label_errors=True)
        test = examples(fitting, prepared, "test", 3, label_errors=False)
        volumes = volume_views(chosen, prepared)
    except UserError as error:
        return _Tiles([], [], f"None, for the run cannot be used as it was: {error}", True, names[reference])
    missing = "" if train or test else "None, for no window has known labels in a quarter of its pixels."
    return _Tiles(train, test, missing, all(e.calibrated for e in train), names[reference], volumes)


def _load(name: str, record: RunRecord) -> tuple[str, Model | None]:
    """The checkpoint that the scores belong to, else the best, else the last; None where there is none."""
    scored = (record.metrics or {}).get("checkpoint", "best")
    for which in (scored, "best", "last"):
        if which in ("best", "last") and Run(record.folder).checkpoint(which).is_file():
            return name, load(record.folder, which)
    return name, None


def _same_data(record: RunRecord, reference: RunRecord, model: Model, chosen: Model) -> bool:
    """Whether a run can be shown on the windows of another: same splits of the same sources, bands and classes."""
    a, b = record.prepared or {}, reference.prepared or {}
    return (
        model.channels == chosen.channels
        and model.classes == chosen.classes
        and a.get("regions") == b.get("regions")
        and record.sources == reference.sources
    )
