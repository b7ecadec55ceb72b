"""The pictures of a benchmark: scores over the level of a noise, and mean ranks with their critical difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from segnoise.evaluation.benchmark.description import CLEAN
from segnoise.evaluation.benchmark.noisetext import NoiseText, noise_text
from segnoise.evaluation.benchmark.overview import Units, ranks_of
from segnoise.evaluation.benchmark.results import Role, Study
from segnoise.evaluation.benchmark.statistics import not_told_apart, standard_error
from segnoise.evaluation.benchmark.tables import METRICS
from segnoise.evaluation.pagesvg import GRID, INK, TEXT, Panel, page_svg, series

_ANCHOR_COLOURS = {"plain": "var(--ochre)", "early": "var(--red)", "two": "var(--violet)"}
_METHOD_COLOURS = ("var(--green)", "var(--blue)", "var(--grey)")
_STYLES = ("-", (0, (5, 1.5)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
_CLEAN_COLOUR = "var(--blue)"


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere: a CSS colour, and a line style where colours repeat."""

    colour: str
    style: object


def looks(methods: Mapping[str, Role]) -> dict[str, Look]:
    """A look for each method; anchors keep theirs in every benchmark."""
    found: dict[str, Look] = {}
    count = 0
    for name, role in methods.items():
        if role == "method":
            colour = _METHOD_COLOURS[count % len(_METHOD_COLOURS)]
            found[name] = Look(colour, _STYLES[count // len(_METHOD_COLOURS) % len(_STYLES)])
            count += 1
        elif role != "clean":
            found[name] = Look(_ANCHOR_COLOURS[role], "-")
    return found


def level_panels(study: Study) -> list[Panel]:
    """For each set and noise with levels: the mean score over the level, with a band of one standard error.

    Labels without noise are level 0 where the benchmark has them.
    """
    panels = []
    shown = looks(study.methods(""))
    for name in study.benchmark.sets:
        for levels in _series_of(study).values():
            curves = {method: _curve(study, name, levels, method) for method in shown}
            if max(len(curve) for curve in curves.values()) < 2:
                continue
            salt = f"{name} {levels[-1].series}"
            svg = page_svg(
                lambda axes, curves=curves, levels=levels: _draw_levels(axes, curves, shown, levels, study),  # type: ignore[misc]
                [look.colour for look in shown.values()],
                salt,
            )
            panels.append(Panel(f"{name}, {levels[-1].series.replace('(…)', '')}", svg, _say(curves, salt)))
    return panels


def rank_panel(units: Units, methods: Mapping[str, Role]) -> Panel | None:
    """Mean ranks, best on top, as wide as half the critical difference on either side; bars join what is not told
    apart. None for too few units.
    """
    ranks = ranks_of(units)
    if ranks is None:
        return None
    shown = looks(methods)
    order = [int(k) for k in np.argsort(ranks.mean, kind="stable")]
    groups = not_told_apart(ranks.mean, ranks.critical)

    def draw(axes: Axes) -> None:
        for row, k in enumerate(order):
            colour = series(list(shown).index(units.methods[k]))
            half = ranks.critical / 2
            axes.plot([ranks.mean[k] - half, ranks.mean[k] + half], [row, row], color=colour, linewidth=2)
            axes.plot([ranks.mean[k]], [row], "o", color=colour, markersize=7)
        right = max(ranks.mean) + ranks.critical / 2
        for k, (first, last) in enumerate(groups):
            x = right + 0.12 * (k + 1) * max(1.0, right / 6)
            axes.plot([x, x], [first - 0.2, last + 0.2], color=INK, linewidth=3, solid_capstyle="round")
        axes.set_yticks(range(len(order)), [units.methods[k] for k in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlabel("mean rank (1 is best)", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        for label in axes.get_yticklabels():
            label.set_color(TEXT)

    svg = page_svg(draw, [look.colour for look in shown.values()], "ranks", (5.4, 0.9 + 0.34 * len(order)))
    said = ", ".join(f"{units.methods[k]} {ranks.mean[k]:.2f}" for k in order)
    return Panel("Mean ranks", svg, f"mean ranks: {said}; critical difference {ranks.critical:.2f}")


def _series_of(study: Study) -> dict[str, list[NoiseText]]:
    """The noises of a benchmark that differ in their level only, by level; each begins with no noise."""
    found: dict[str, list[NoiseText]] = {}
    for text in study.benchmark.noises:
        known = noise_text(text)
        if text != CLEAN and known.level is not None:
            found.setdefault(known.series, []).append(known)
    start = [noise_text(CLEAN)] if CLEAN in study.benchmark.noises else []
    return {key: [*start, *sorted(levels, key=lambda t: t.level or 0.0)] for key, levels in found.items()}


def _curve(
    study: Study, name: str, levels: Sequence[NoiseText], method: str
) -> list[tuple[float, float, float | None]]:
    """(level, mean, standard error) where a method has scores."""
    points = []
    for text in levels:
        scores = list(study.scores(name, text.text, method).values())
        if scores and text.level is not None:
            points.append((text.level, float(np.mean(scores)), standard_error(scores)))
    return points


def _draw_levels(
    axes: Axes,
    curves: Mapping[str, Sequence[tuple[float, float, float | None]]],
    shown: Mapping[str, Look],
    levels: Sequence[NoiseText],
    study: Study,
) -> None:
    for k, (method, points) in enumerate(curves.items()):
        if not points:
            continue
        x, y = [p[0] for p in points], np.array([p[1] for p in points])
        errors = np.array([p[2] or 0.0 for p in points])
        axes.fill_between(x, y - errors, y + errors, color=series(k), alpha=0.13, linewidth=0)
        axes.plot(x, y, color=series(k), linestyle=shown[method].style, linewidth=1.6, marker="o", markersize=3.5)
    unit = levels[-1].unit
    axes.set_xticks([t.level for t in levels if t.level is not None])
    axes.set_xlabel(f"level of {levels[-1].family}" + (f" ({unit})" if unit else ""), color=INK)
    axes.set_ylabel(METRICS[study.benchmark.metric], color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def _say(curves: Mapping[str, Sequence[tuple[float, float, float | None]]], what: str) -> str:
    parts = [
        f"{method}: " + ", ".join(f"{level:g} {mean:.3f}" for level, mean, _ in points)
        for method, points in curves.items()
        if points
    ]
    return f"{what}; " + "; ".join(parts)
