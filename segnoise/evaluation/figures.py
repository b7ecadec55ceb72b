"""The training curves as inline SVG that takes its colours and letters from the page around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from segnoise.evaluation.pagesvg import GRID, INK, Panel, page_svg, series
from segnoise.evaluation.runrecord import RunRecord


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
        axes.plot(x, y, color=series(k), linewidth=1.6, linestyle=style, marker=marker, markersize=4)


def _svg(draw: Callable[[Axes], None], runs: Sequence[tuple[str, str, RunRecord]], salt: str) -> Markup:
    def by_epoch(axes: Axes) -> None:
        draw(axes)
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid(axis="y", color=GRID, linewidth=0.8)

    return page_svg(by_epoch, [colour for _, colour, _ in runs], salt)


def _say(runs: Sequence[tuple[str, str, RunRecord]], key: str, what: str) -> str:
    parts = []
    for name, _, record in runs:
        values = [row[key] for row in record.log if key in row]
        if len(values) > 1:
            parts.append(f"{name}: from {values[0]:.3f} to {values[-1]:.3f} in {len(values)} epochs")
        elif values:
            parts.append(f"{name}: {values[0]:.3f} after one epoch")
    return f"{what}; " + "; ".join(parts)
