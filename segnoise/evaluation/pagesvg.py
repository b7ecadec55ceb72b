"""Matplotlib drawings as inline SVG that takes its colours and letters from the page around it."""

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

# Drawn in colours that nobody would choose, which then become the page's variables: one picture for light and dark.
INK, GRID, TEXT = "#010203", "#010204", "#010205"
_SERIES = "#0102{:02x}"
_FIRST_SERIES = 16


@dataclass(frozen=True)
class Panel:
    """One picture: its title, the SVG, and its content in words."""

    title: str
    svg: Markup
    description: str


def series(k: int) -> str:
    """The colour to draw the ``k``-th series in, which becomes the ``k``-th colour of the page."""
    return _SERIES.format(_FIRST_SERIES + k)


def page_svg(
    draw: Callable[[Axes], None], colours: Sequence[str], salt: str, size: tuple[float, float] = (5.0, 2.7)
) -> Markup:
    """What ``draw`` puts on axes without a frame, as wide as its place in the page.

    Args:
        draw: draws in ``series(k)`` for series, ``INK`` for quiet letters, ``TEXT`` for loud ones, ``GRID`` for rules.
        colours: CSS colours of the series.
        salt: makes the identifiers of one drawing differ from those of the others in the page.
        size: width and height in inches of 72 CSS pixels, at which letters have 10 points.
    """
    options = {"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif", "font.size": 10}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.tick_params(colors=INK, length=0, pad=5)
        axes.spines[:].set_visible(False)
        axes.spines["bottom"].set(visible=True, color=GRID)
        axes.set_axisbelow(True)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_for_the_page(buffer.getvalue(), colours))


def _for_the_page(svg: str, colours: Sequence[str]) -> str:
    """The drawing alone, without a size of its own, in the page's colours and letters."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*"', r'\1aria-hidden="true"', svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 var(--sans)", svg)
    replaced = {INK: "var(--muted)", GRID: "var(--rule)", TEXT: "var(--ink)"}
    replaced |= {series(k): colour for k, colour in enumerate(colours)}
    for fake, real in replaced.items():
        svg = svg.replace(fake, real)
    return svg
