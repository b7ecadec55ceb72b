"""One page of pictures to a noise card: where labels are wrong, how far, how often, and how alike neighbours err."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from segnoise.noise.geometry import face_pairs, known_labels
from segnoise.noise.latent import indicator_correlation
from segnoise.windows import atomic_output

SIDE = 512
"""Pixels of a map along each side that the page shows, where the most errors are."""

# Told apart by everybody, and in grey print by their lightness.
_LARGER, _SMALLER, _UNKNOWN = "#d55e00", "#0072b2", "#ffffff"
_INK, _QUIET, _BAR = "#222222", "#d0d0d0", "#7a7a7a"
_SHADES = ("#f2f2f2", "#c9c9c9", "#a5a5a5", "#858585", "#696969")


def write_page(
    card: dict[str, Any],
    given: NDArray[Any],
    clean: NDArray[Any],
    path: str | Path,
    *,
    instances: bool = False,
    title: str = "",
    overwrite: bool = False,
) -> Path:
    """Draws a card as a PNG of 1,300 by 800 pixels.

    True labels; given labels with the errors in two colours, by whether the larger label (or an object) is given or
    true; displacement of boundaries; share of the errors by distance from a true boundary; flip rate per class; and
    correlation of the errors, with the curve of the latent field that the card fits. All but the maps is read from
    the card. Of large maps the part with most errors is shown, of volumes the slice with most.

    Args:
        card: of :func:`segnoise.noise.noise_card_of`.
        given, clean: the pair of maps to show.
        path: the PNG.
        instances: the maps hold object ids.
        title: what was compared or done.
        overwrite: replace an existing file.

    Raises:
        UserError: an existing or unwritable output.
    """
    path = Path(path)
    with matplotlib.rc_context({"font.family": "sans-serif", "font.size": 9, "axes.edgecolor": _INK}):
        figure = Figure(figsize=(13, 8), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots(2, 3)
        figure.suptitle(f"{title}\n{_sentence(card)}".strip(), fontsize=10, x=0.01, ha="left", parse_math=False)
        _maps(axes[0, 0], axes[0, 1], given, clean, instances)
        _displacement(axes[0, 2], card["displacement_histogram"], card["displacement"])
        _distance(axes[1, 0], card["profile"])
        _flip_rates(axes[1, 1], card["flip_rate"])
        _correlation(axes[1, 2], card)
        with atomic_output(path, overwrite) as temporary:
            canvas.print_png(temporary, metadata={"Software": None})
    return path


def _sentence(card: dict[str, Any]) -> str:
    objects, boundary = card["objects"], card["causes"]["boundary"]
    images = f"{card['images']:,} images, " if card["images"] > 1 else ""
    said = [f"{images}{card['pixels']:,} pixels, {card['flip_rate']['overall']:.2%} wrong"]
    said.append(f"{objects['missed']:,} of {objects['true']:,} objects missed, {objects['extra']:,} extra")
    said.append(f"{objects['merged']:,} merged, {objects['split']:,} split")
    if boundary["displacement_px"]:
        bias = boundary["bias_px"]
        said.append(f"boundaries moved by {boundary['displacement_px']:.2f} px, on average by {bias:+.2f}")
    return "; ".join(said)


def _maps(true_axes: Axes, given_axes: Axes, given: NDArray[Any], clean: NDArray[Any], instances: bool) -> None:
    known = known_labels(given, instances) & known_labels(clean, instances)
    # Ids of two maps need not agree, so instances are compared as objects against background.
    values = [np.where(known, (x > 0) if instances else x, 0).astype(np.int64) for x in (given, clean)]
    part = _worst_part(values[0] != values[1])
    given, clean, known = (np.atleast_2d(x[part]) for x in (given, clean, known))
    now, true = (np.atleast_2d(x[part]) for x in values)
    pictures = [_grey(value, label, known) for value, label in ((true, clean), (now, given))]
    pictures[1][now > true] = to_rgb(_LARGER)
    pictures[1][now < true] = to_rgb(_SMALLER)
    whole = given.size == values[0].size
    for axes, picture, name in ((true_axes, pictures[0], "True labels"), (given_axes, pictures[1], "Given labels")):
        axes.imshow(picture, interpolation="nearest", aspect="auto" if min(picture.shape[:2]) == 1 else "equal")
        axes.set_title(name if whole else f"{name}, where most is wrong", fontsize=10, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
    more, less = ("object too much", "object missing") if instances else ("larger class given", "smaller class given")
    tints = [Patch(color=_LARGER, label=more), Patch(color=_SMALLER, label=less)]
    given_axes.legend(handles=tints, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)


def _grey(values: NDArray[np.int64], labels: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Classes in shades of grey with dark outlines, unknown pixels white."""
    palette = np.array([to_rgb(shade) for shade in _SHADES])
    picture = palette[np.where(values > 0, 1 + (values - 1) % (len(palette) - 1), 0)]
    for a, b in face_pairs(labels, known):
        larger = np.where(labels.ravel()[a] > labels.ravel()[b], a, b)
        picture.reshape(-1, 3)[larger] = to_rgb(_INK)
    picture[~known] = to_rgb(_UNKNOWN)
    return picture


def _worst_part(wrong: NDArray[np.bool_]) -> tuple[Any, ...]:
    """The slice along the last axes of a volume, and in it the square, that hold the most errors."""
    part: tuple[Any, ...] = ()
    while wrong.ndim > 2:
        worst = int(wrong.reshape(-1, wrong.shape[-1]).sum(0).argmax())
        part, wrong = (worst, *part), wrong[..., worst]
    window = []
    for axis, size in enumerate(wrong.shape):
        # One axis after the other: the square need not be the best, only full of errors.
        along = np.concatenate([[0], np.cumsum(np.count_nonzero(wrong, axis=1 - axis) if wrong.ndim == 2 else wrong)])
        side = min(SIDE, size)
        start = int((along[side:] - along[: size - side + 1]).argmax())
        window.append(slice(start, start + side))
        wrong = wrong[tuple([slice(None)] * axis + [window[-1]])]
    return (*window, *part)


def _displacement(axes: Axes, histogram: dict[str, Any], displacement: dict[str, Any]) -> None:
    axes.set_title("Given boundaries, from the nearest true one", fontsize=10, loc="left")
    counts = np.array(histogram["counts"], dtype=np.float64)
    edges = histogram["edges_px"]
    if not counts.sum():
        _nothing(axes, "no boundaries in both maps")
        return
    edges = [edges[0] - 1, *edges, edges[-1] + 1]
    # Most faces lie where they should, which is no news and would hide the rest.
    axes.stairs(counts / counts.sum(), edges, fill=True, color=_BAR)
    axes.set_yscale("log")
    axes.set_ylim(bottom=max(0.5 / counts.sum(), 1e-5))
    axes.axvline(displacement["bias"], color=_LARGER, linewidth=1.5, label=f"mean {displacement['bias']:.2f} px")
    axes.set_xlabel("px, above 0 where the larger label grew; outer bars: more")
    axes.set_ylabel("share of faces, log")
    axes.legend(frameon=False)
    _plain(axes)


def _distance(axes: Axes, profile: dict[str, Any]) -> None:
    axes.set_title("Errors by distance from a true boundary", fontsize=10, loc="left")
    errors = np.array(profile["errors"], dtype=np.float64)
    if not errors.sum():
        _nothing(axes, "no errors")
        return
    bounds = [b for b in profile["up_to_px"] if b is not None]
    axes.plot(bounds, np.cumsum(errors)[: len(bounds)] / errors.sum(), "o-", color=_INK, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_xticks(bounds, [str(b) for b in bounds])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("within so many px")
    axes.set_ylabel("share of errors")
    _plain(axes)


def _flip_rates(axes: Axes, rates: dict[str, Any]) -> None:
    axes.set_title("Flip rate by true class", fontsize=10, loc="left")
    shown = [(name, rate) for name, rate in rates["per_class"].items() if rate is not None]
    if not shown:
        _nothing(axes, "no known pixels")
        return
    names, values = zip(*reversed(shown), strict=True)
    axes.barh(names, values, color=_BAR, height=0.6)
    for k, value in enumerate(values):
        axes.annotate(f"{value:.2%}", (value, k), (4, 0), textcoords="offset points", va="center")
    axes.axvline(rates["overall"], color=_LARGER, linewidth=1.5, label=f"overall {rates['overall']:.2%}")
    axes.set_xlim(0, 1.2 * max(max(values), 0.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    _plain(axes)


def _correlation(axes: Axes, card: dict[str, Any]) -> None:
    axes.set_title("Correlation of errors, and of a fitted field", fontsize=10, loc="left")
    latent = card["latent"]
    if latent is None:
        _nothing(axes, "too few errors to say, or nothing else")
        return
    steps = np.geomspace(1, latent["lags"][-1], 60)
    rate = card["errors"] / card["pixels"]
    for axis, (rho, measured) in enumerate(zip(latent["rho"], latent["indicator"], strict=True)):
        points = [(lag, c) for lag, c in zip(latent["lags"], measured, strict=True) if c is not None]
        if rho is None or not points:
            continue
        colour = (_INK, _LARGER, _SMALLER)[axis % 3]
        axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=4)
        curve = [indicator_correlation(rate, rho**step) for step in steps]
        axes.plot(steps, curve, color=colour, linewidth=1.2, label=f"axis {axis}: rho {rho:.3f}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(latent["lags"], [str(lag) for lag in latent["lags"]])
    axes.minorticks_off()
    axes.axhline(0, color=_QUIET, linewidth=0.8)
    axes.set_xlabel("px apart")
    axes.legend(frameon=False)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center", color=_BAR, transform=axes.transAxes)
    axes.set_axis_off()
