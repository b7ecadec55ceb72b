"""The embedded defaults: each demo is a packaged configuration plus procedural data, run clean, plain and robust."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

from segnoise.config import make_config
from segnoise.data.scenes import field_scene, radiograph, retina_volume
from segnoise.errors import UserError, nearest
from segnoise.evaluation import evaluate, write_metrics, write_report
from segnoise.inference import predict_fields, predict_image, write_fields
from segnoise.training import Run, load, train_side_by_side
from segnoise.training.run import read_prepared
from segnoise.windows import atomic_output

SCENE_SIZE = 1024
RUNS: dict[str, dict[str, Any]] = {
    "clean": {"noise": None, "method": "cross_entropy"},
    "plain": {"method": "cross_entropy"},
    "robust": {},
}
"""What distinguishes the three runs from the configuration; network, optimiser and steps are the same."""


@dataclass(frozen=True)
class Demo:
    """What is drawn into the folder (by seed; the words say what), what is compared, and what is exported at the end.

    ``scored`` are the classes whose mean IoU is compared; ``export`` writes maps from the robust run and returns what
    the report shows of them.
    """

    title: str
    drawn: str
    draw: Callable[[Path, int], None]
    scored: tuple[str, ...]
    export: Callable[[Path, Path], dict[str, Path]]


def packaged_config(name: str) -> dict[str, Any]:
    """A configuration that travels inside the package, as a mapping.

    >>> packaged_config("demo-fields")["noise"]
    'kms(0.4)'
    """
    text = resources.files("segnoise").joinpath(f"configs/{name}.yaml").read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def run_demo(
    name: str, folder: str | Path, *, seed: int = 0, overwrite: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Runs a demo and returns its summary.

    Writes into ``folder``: what was drawn with its exact truth, the three runs, the maps of the robust run (fields as
    GeoJSON and GeoPackage, masks of films and scans as PNG), ``report.html`` that compares the runs, and
    ``summary.json``.

    Args:
        name: ``fields``, ``lungs`` or ``oct``.
        folder: made if needed; a folder that is not empty is refused without ``overwrite``.
        seed: of what is drawn, noise and training.

    Raises:
        UserError: an unknown demo, an existing folder, or one that cannot be written.
    """
    started = time.monotonic()
    if name not in DEMOS:
        raise UserError(f"demo {name!r}: there is none; {nearest(name, DEMOS)}")
    demo = DEMOS[name]
    folder = _empty_folder(Path(folder), overwrite)
    with _step(demo.drawn, quiet):
        demo.draw(folder, seed)
    raw = packaged_config(f"demo-{name}")
    metrics: dict[str, dict[str, Any]] = {}
    runs = [folder / "runs" / run for run in RUNS]
    configs = {}
    for run, changes in zip(runs, RUNS.values(), strict=True):
        noise = changes.get("noise", {"spec": raw["noise"], "seed": seed})
        configs[run] = make_config(
            {**raw, **changes, "name": run.name, "seed": seed, "noise": noise}, base=folder.resolve()
        )
    # The robust run takes longest, so it starts first.
    train_side_by_side(dict(reversed(configs.items())), quiet=quiet)
    for run in runs:
        with _step(f"evaluate {run.name}", quiet):
            metrics[run.name] = evaluate(run, checkpoint="last")
            write_metrics(metrics[run.name], run / "metrics.json")
    with _step("maps of the robust run", quiet):
        shown = demo.export(folder, runs[-1])
    summary = summarise(name, str(raw["noise"]), metrics, demo.scored)
    with _step("report", quiet):
        summary["seconds"] = round(time.monotonic() - started, 1)
        write_report(runs, path=folder / "report.html", title=demo.title, summary=summary, **shown)
    summary["seconds"] = round(time.monotonic() - started, 1)
    with atomic_output(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def summarise(demo: str, noise: str, metrics: dict[str, dict[str, Any]], scored: Sequence[str]) -> dict[str, Any]:
    """The demo's figures; ``gap_closed`` is null where clean and plain differ by less than 0.02.

    >>> scores = {k: {"iou": {"per_class": {"field": v}}} for k, v in [("clean", 0.9), ("plain", 0.7), ("robust", 0.8)]}
    >>> round(summarise("fields", "kms(0.4)", scores, ["field"])["gap_closed"], 6)
    0.5
    """
    value = {run: sum(m["iou"]["per_class"][k] or 0.0 for k in scored) / len(scored) for run, m in metrics.items()}
    gap = value["clean"] - value["plain"]
    classes = f"class{'es' if len(scored) > 1 else ''} {', '.join(scored)}"
    return {
        "demo": demo,
        "metric": f"iou of the {classes}, test part, true labels",
        "noise": noise,
        **value,
        "gap_closed": (value["robust"] - value["plain"]) / gap if gap >= 0.02 else None,
        "label_error_auroc": metrics["robust"].get("label_error_auroc"),
    }


def _draw_fields(folder: Path, seed: int) -> None:
    (folder / "drawn").mkdir()
    field_scene(SCENE_SIZE, seed).save(folder / "drawn")


def _export_fields(folder: Path, run: Path) -> dict[str, Path]:
    scene = folder / "drawn" / "scene.tif"
    frame = predict_fields(load(run, "last"), scene)
    for suffix in (".geojson", ".gpkg"):
        write_fields([frame], ["scene"], folder / f"fields{suffix}")
    return {"polygons": folder / "fields.geojson", "scene": scene}


def _draw_lungs(folder: Path, seed: int) -> None:
    for k in range(FILMS):
        radiograph(FILM_SIZE, FILMS * seed + k).save(folder / "drawn", f"film_{k:02d}")


def _draw_oct(folder: Path, seed: int) -> None:
    """Fluid of any kind is one class; the rarest kind alone is less than a hundredth of the pixels."""
    for k in range(EYES):
        eye = retina_volume(SCAN_SIZE, seed=EYES * seed + k, fluids=EYE_FLUIDS[k % len(EYE_FLUIDS)])
        replace(eye, mask=(eye.mask > 0).astype(np.uint8)).save(folder / "drawn", f"eye{k:02d}")


def _export_masks(folder: Path, run: Path) -> dict[str, Path]:
    """The masks of all test images."""
    model = load(run, "last")
    prepared = read_prepared(Run(run))
    (folder / "masks").mkdir()
    for index, *_ in prepared["regions"]["test"]:
        image = Path(prepared["sources"][index])
        predict_image(model, image, folder / "masks" / image.name)
    return {}


FILMS, FILM_SIZE = 60, 192
EYES, SCAN_SIZE = 36, (96, 128)
EYE_FLUIDS = (("IRF",), ("SRF",), ("IRF", "SRF"), ("SRF", "PED"), ("IRF", "SRF", "PED"), ("IRF", "PED"))

DEMOS: dict[str, Demo] = {
    "fields": Demo(
        "Fields from sloppy labels",
        f"scene of {SCENE_SIZE} x {SCENE_SIZE} pixels",
        _draw_fields,
        ("field",),
        _export_fields,
    ),
    "lungs": Demo("Lungs from sloppy labels", f"{FILMS} chest films", _draw_lungs, ("lung",), _export_masks),
    "oct": Demo(
        "Fluid in the retina from sloppy labels",
        f"OCT volumes of {EYES} eyes",
        _draw_oct,
        ("fluid",),
        _export_masks,
    ),
}


def _empty_folder(folder: Path, overwrite: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder with -o")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise UserError(f"{folder}: is not empty; give another folder with -o, or --overwrite")
        if not (folder / "drawn").is_dir():
            raise UserError(f"{folder}: is not a demo's folder, so it is not deleted; give another folder with -o")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another folder with -o") from error
    return folder


@contextmanager
def _step(title: str, quiet: bool) -> Iterator[None]:
    """A spinner on stderr while a step without a bar of its own runs."""
    if quiet:
        yield
        return
    console = Console(file=sys.stderr)
    with console.status(title):
        yield
    console.print(f"{title}: done")
