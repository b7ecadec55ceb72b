"""The training curves as inline SVG that takes its colours and letters from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segnoise.evaluation.runrecord import RunRecord

# Drawn in colours that nobody would choose, which then become the page's variables: one picture for light and dark.
_INK, _GRID = "#010203", "#010204"
_RUN = "#0102{:02x}"
_FIRST_RUN = 16


@dataclass(frozen=True)
class Panel:
    """One picture of the curves: its title, the SVG, and its content in words."""

    title: str
    svg: Markup
    description: str


def curve_panels(runs: Sequence[tuple[str, str, RunRecord]]) -> list[Panel]:
    """Loss and validation IoU by epoch for runs given as (name, CSS colour, record); runs without log are left out.

    Losses are solid in training and dashed in validation; a single epoch is a dot.
    """
    drawn = [(name, colour, record) for name, colour, record in runs if record.log]
    if not drawn:
        return []
    return [
        Panel("Loss", _svg(lambda axes: _loss(axes, drawn), drawn, "loss"), _say(drawn, "loss", "training loss")),
        Panel(
            "Validation IoU, given labels",
            _svg(lambda axes: _iou(axes, drawn), drawn, "iou"),
            _say(drawn, "val_iou", "mean IoU on the given validation labels"),
        ),
    ]


def _loss(axes: Axes, runs: Sequence[tuple[str, str, RunRecord]]) -> None:
    for k, (_, _, record) in enumerate(runs):
        _line(axes, record, "loss", k, "-")
        _line(axes, record, "val_loss", k, (0, (3, 2)))
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))


def _iou(axes: Axes, runs: Sequence[tuple[str, str, RunRecord]]) -> None:
    for k, (_, _, record) in enumerate(runs):
        _line(axes, record, "val_iou", k, "-")
    low, high = axes.get_ylim()
    axes.set_ylim(max(0, low), min(1, high))


def _line(axes: Axes, record: RunRecord, key: str, k: int, style: object) -> None:
    points = [(row["epoch"], row[key]) for row in record.log if key in row]
    if points:
        x, y = zip(*points, strict=True)
        marker = "o" if len(points) == 1 else ""
        axes.plot(x, y, color=_RUN.format(_FIRST_RUN + k), linewidth=1.6, linestyle=style, marker=marker, markersize=4)


def _svg(draw: Callable[[Axes], None], runs: Sequence[tuple[str, str, RunRecord]], salt: str) -> Markup:
    options = {"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif", "font.size": 10}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(5.0, 2.7), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel("epoch", color=_INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.tick_params(colors=_INK, length=0, pad=5)
        axes.spines[:].set_visible(False)
        axes.spines["bottom"].set(visible=True, color=_GRID)
        axes.set_axisbelow(True)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_for_the_page(buffer.getvalue(), [colour for _, colour, _ in runs]))


def _for_the_page(svg: str, colours: Sequence[str]) -> str:
    """The drawing alone, as wide as its place, in the page's colours and letters."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*"', r'\1aria-hidden="true"', svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 var(--sans)", svg)
    replaced = {_INK: "var(--muted)", _GRID: "var(--rule)"}
    replaced |= {_RUN.format(_FIRST_RUN + k): colour for k, colour in enumerate(colours)}
    for fake, real in replaced.items():
        svg = svg.replace(fake, real)
    return svg


def _say(runs: Sequence[tuple[str, str, RunRecord]], key: str, what: str) -> str:
    parts = []
    for name, _, record in runs:
        values = [row[key] for row in record.log if key in row]
        if len(values) > 1:
            parts.append(f"{name}: from {values[0]:.3f} to {values[-1]:.3f} in {len(values)} epochs")
        elif values:
            parts.append(f"{name}: {values[0]:.3f} after one epoch")
    return f"{what}; " + "; ".join(parts)
