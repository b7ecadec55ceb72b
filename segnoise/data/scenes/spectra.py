"""What covers look like: reflectance of pure materials, and how each cover mixes and textures them.

Reflectances are blue, green, red, near infrared in 0-1: typical values for a four-band sensor with 3 m pixels. Ranges
overlap on purpose: meadows are as green as crops and open ground is as bare as a ploughed field, so that no band tells
a field from other land.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MATERIALS: dict[str, tuple[float, float, float, float]] = {
    "leaf": (0.028, 0.062, 0.032, 0.46),
    "maize": (0.030, 0.068, 0.040, 0.41),
    "legume": (0.030, 0.080, 0.040, 0.50),
    "flower": (0.045, 0.105, 0.090, 0.42),
    "ripe": (0.080, 0.120, 0.160, 0.30),
    "straw": (0.105, 0.150, 0.200, 0.31),
    "grass": (0.036, 0.074, 0.054, 0.37),
    "dry": (0.072, 0.104, 0.132, 0.27),
    "shrub": (0.030, 0.050, 0.042, 0.29),
    "crown": (0.022, 0.040, 0.026, 0.32),
    "tan": (0.085, 0.115, 0.150, 0.215),
    "red": (0.058, 0.090, 0.165, 0.240),
    "dark": (0.050, 0.064, 0.080, 0.120),
    "dirt": (0.120, 0.155, 0.200, 0.260),
    "asphalt": (0.098, 0.118, 0.140, 0.175),
    "mud": (0.045, 0.055, 0.058, 0.070),
    "clear": (0.045, 0.050, 0.032, 0.014),
    "turbid": (0.060, 0.082, 0.078, 0.036),
    "yard": (0.105, 0.130, 0.160, 0.220),
}

ROOFS: tuple[tuple[float, float, float, float], ...] = (
    (0.27, 0.28, 0.29, 0.30),
    (0.18, 0.19, 0.20, 0.21),
    (0.09, 0.12, 0.23, 0.27),
    (0.10, 0.13, 0.16, 0.20),
    (0.16, 0.17, 0.15, 0.18),
)

Range = tuple[float, float]


@dataclass(frozen=True)
class Cover:
    """The look of a cover; every patch draws its own values from the ranges.

    ``plant`` and ``ground`` are mixtures of materials (``"soil"`` is the soil of the place); ``green`` is the plants'
    share of the ground, ``slope`` its change across a patch, ``blotch`` its standard deviation at 2.5, 11 and 40 px,
    ``rows`` the amplitude of rows in it, ``tramline`` what it loses where machines drive and ``drains`` what it gains
    where water has run; ``mottle`` and ``furrow`` are the grain (at 2.5 px) and the rows of brightness, ``period`` is
    the distance of rows in pixels; ``trees`` is the share of the ground under crowns, ``roofs`` the share of building
    plots with a roof, ``wet`` the share of the ground that is wet.
    """

    plant: dict[str, Range]
    green: Range
    ground: dict[str, Range] | None = None
    slope: Range = (0.0, 0.0)
    mottle: Range = (0.008, 0.025)
    blotch: tuple[Range, Range, Range] = ((0.01, 0.03), (0.01, 0.04), (0.01, 0.05))
    rows: Range = (0.0, 0.0)
    furrow: Range = (0.0, 0.0)
    period: Range = (4.0, 5.0)
    tramline: Range = (0.0, 0.0)
    drains: Range = (0.0, 0.0)
    trees: Range = (0.0, 0.0)
    roofs: Range = (0.0, 0.0)
    wet: Range = (0.0, 0.0)


_EVEN = ((0.008, 0.022), (0.015, 0.045), (0.02, 0.07))
_UNEVEN = ((0.03, 0.07), (0.04, 0.10), (0.03, 0.08))
_WILD = ((0.03, 0.07), (0.05, 0.12), (0.04, 0.10))
_STAND: dict[str, Any] = {"slope": (0.0, 0.25), "wet": (0.0, 0.05), "trees": (0.0, 0.002), "drains": (-0.25, 0.2)}

CROPS: dict[str, Cover] = {
    "maize": Cover(
        {"maize": (0.6, 1.0), "leaf": (0.0, 0.4)},
        (0.3, 0.95),
        blotch=_EVEN,
        rows=(0.06, 0.168),
        furrow=(0.036, 0.12),
        period=(3.5, 6.0),
        **_STAND,
    ),
    "cereal": Cover(
        {"leaf": (0.6, 1.0), "grass": (0.0, 0.4)},
        (0.5, 0.98),
        blotch=_EVEN,
        rows=(0.03, 0.096),
        period=(3.5, 6.0),
        tramline=(0.08, 0.25),
        **_STAND,
    ),
    "ripe": Cover(
        {"ripe": (0.6, 1.0), "dry": (0.0, 0.4)},
        (0.65, 0.98),
        blotch=_EVEN,
        rows=(0.048, 0.144),
        period=(3.5, 6.0),
        tramline=(0.08, 0.25),
        **_STAND,
    ),
    "legume": Cover(
        {"legume": (0.6, 1.0), "leaf": (0.0, 0.4)},
        (0.3, 0.95),
        blotch=_EVEN,
        rows=(0.06, 0.156),
        furrow=(0.036, 0.108),
        period=(3.5, 5.5),
        **_STAND,
    ),
    "sunflower": Cover(
        {"flower": (0.4, 1.0), "leaf": (0.0, 0.6)},
        (0.5, 0.95),
        blotch=_EVEN,
        rows=(0.06, 0.156),
        furrow=(0.036, 0.108),
        period=(3.5, 6.0),
        **_STAND,
    ),
    "vegetables": Cover(
        {"legume": (0.0, 0.6), "leaf": (0.2, 0.8), "grass": (0.0, 0.3)},
        (0.3, 0.85),
        blotch=_EVEN,
        rows=(0.096, 0.24),
        furrow=(0.048, 0.12),
        period=(3.5, 5.0),
        **_STAND,
    ),
    "stubble": Cover(
        {"straw": (0.5, 1.0), "dry": (0.0, 0.5)},
        (0.3, 0.85),
        blotch=_EVEN,
        rows=(0.072, 0.192),
        furrow=(0.036, 0.108),
        period=(3.5, 7.0),
        tramline=(0.0, 0.2),
        **_STAND,
    ),
    "bare": Cover(
        {"dry": (0.0, 1.0), "grass": (0.0, 1.0)},
        (0.0, 0.08),
        blotch=_EVEN,
        rows=(0, 0.024),
        furrow=(0.084, 0.204),
        period=(3.5, 7.0),
        drains=(0.05, 0.35),
        wet=(0.0, 0.08),
    ),
    "fallow": Cover(
        {"dry": (0.2, 0.8), "grass": (0.2, 0.8)},
        (0.15, 0.6),
        blotch=_UNEVEN,
        rows=(0.036, 0.108),
        furrow=(0.036, 0.108),
        period=(3.5, 6.0),
        trees=(0.0, 0.004),
        mottle=(0.02, 0.04),
    ),
}
"""The crops, among them fields that are bare, harvested or resting."""

LAND: dict[str, Cover] = {
    "pasture": Cover(
        {"grass": (0.2, 1.0), "leaf": (0.0, 0.9), "dry": (0.0, 0.9)},
        (0.4, 0.98),
        slope=(0.0, 0.25),
        drains=(-0.2, 0.2),
        blotch=_UNEVEN,
        trees=(0.014, 0.05),
        wet=(0.0, 0.06),
        mottle=(0.08, 0.16),
    ),
    "scrub": Cover(
        {"dry": (0.2, 0.9), "grass": (0.2, 0.9), "shrub": (0.1, 0.5)},
        (0.25, 0.8),
        blotch=_WILD,
        trees=(0.05, 0.24),
        wet=(0.0, 0.02),
        mottle=(0.08, 0.16),
    ),
    "ground": Cover(
        {"dry": (0.2, 1.0), "grass": (0.0, 0.8)},
        (0.0, 0.25),
        blotch=_UNEVEN,
        slope=(0.0, 0.15),
        trees=(0.008, 0.035),
        wet=(0.0, 0.05),
        mottle=(0.09, 0.17),
    ),
    "wood": Cover({"shrub": (0.3, 0.7), "grass": (0.2, 0.5)}, (0.6, 0.95), blotch=_WILD, trees=(0.75, 0.95)),
    "built": Cover(
        {"grass": (0.3, 1.0), "dry": (0.0, 0.7)},
        (0.2, 0.6),
        ground={"yard": (0.6, 1.0), "soil": (0.0, 0.4)},
        blotch=_WILD,
        trees=(0.05, 0.16),
        roofs=(0.25, 0.6),
    ),
    "verge": Cover(
        {"grass": (0.4, 1.0), "dry": (0.1, 0.8)}, (0.5, 0.95), blotch=_WILD, mottle=(0.08, 0.16), trees=(0.04, 0.14)
    ),
    "hedge": Cover({"shrub": (0.6, 1.0), "grass": (0.0, 0.4)}, (0.8, 1.0), blotch=_WILD, trees=(0.45, 0.8)),
    "dirt": Cover({"dry": (1.0, 1.0)}, (0.0, 0.15), ground={"dirt": (0.5, 1.0), "soil": (0.1, 0.5)}),
    "asphalt": Cover({"dry": (1.0, 1.0)}, (0.0, 0.03), ground={"asphalt": (1.0, 1.0)}),
    "wet": Cover({"grass": (0.5, 1.0), "shrub": (0.2, 0.6)}, (0.4, 0.8), ground={"mud": (1.0, 1.0)}),
    "water": Cover(
        {"grass": (1.0, 1.0)},
        (0.0, 0.0),
        ground={"clear": (0.1, 1.0), "turbid": (0.0, 0.9)},
        blotch=((0.0, 0.0), (0.0, 0.0), (0.0, 0.01)),
    ),
}
"""All land that is not a field."""
