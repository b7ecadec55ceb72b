"""How unlike the images of a set are in how much of their labels is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

QUANTILES = (0.05, 0.5, 0.95)


def spread_of(errors: Sequence[int], pixels: Sequence[int]) -> dict[str, Any]:
    """Flip rate from image to image: its 5, 50 and 95 % quantiles, and the beta-binomial over-dispersion.

    With rates ``p_i = errors_i / pixels_i`` about the pooled rate p, ``S = sum pixels_i (p_i - p)**2`` and m images::

        overdispersion = (S - p (1 - p) (m - 1)) / (p (1 - p) (sum pixels - sum pixels**2 / sum pixels - (m - 1)))

    the moment estimate of the intra-class correlation of a beta-binomial (Kleinman 1973), held within 0 and 1: 0 if the
    errors were thrown at the pixels of all images alike, 1 if images are all right or all wrong. Errors that come in
    patches have more than 0. None for fewer than two images, or if nothing or everything is wrong. Images without
    known pixels do not count.

    >>> spread_of([0, 100], [100, 100])["overdispersion"], spread_of([10], [100])["overdispersion"]
    (1.0, None)
    """
    n = np.array([p for p in pixels if p], dtype=np.float64)
    x = np.array([e for e, p in zip(errors, pixels, strict=True) if p], dtype=np.float64)
    rates = x / n
    over = None
    if len(n) > 1 and 0 < x.sum() < n.sum():
        p, free = x.sum() / n.sum(), len(n) - 1
        scatter = float((n * (rates - p) ** 2).sum())
        between = n.sum() - (n**2).sum() / n.sum() - free
        if between > 0:
            over = min(max(float((scatter - p * (1 - p) * free) / (p * (1 - p) * between)), 0.0), 1.0)
    return {
        "quantiles": {f"{q:g}": float(np.quantile(rates, q)) if len(n) else None for q in QUANTILES},
        "with_errors": int(np.count_nonzero(x)),
        "overdispersion": over,
    }
