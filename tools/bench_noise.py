"""What corrupting labels costs, as ratios inside one process on one core: CPU seconds, in turn, the minimum of rounds.

OMP_NUM_THREADS=1 python tools/bench_noise.py --rounds 5

Three questions: how fast is kms beside merely drawing as many normal numbers, and does it stay so; what does ``apply``
of every noise cost beside the one operation that it cannot do without, on the same map; how long does a Gaussian
process of the same covariance take to draw. Fitting the level is left out, except for kms. 16,384² needs 8 GB.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gpytorch
import numpy as np
import rasterio.features
import shapely
import shapely.geometry
import torch
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import GridKernel, MaternKernel, ProductKernel
from gpytorch.utils.grid import create_data_from_grid
from linear_operator.operators import KroneckerProductLinearOperator, ToeplitzLinearOperator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from timing import compare, cpu

from segnoise.draws import generator
from segnoise.kms import correlation_length, sample_field
from segnoise.noise import NOISES, Kms, parse

RHO = 0.9


# ---- kms beside normal numbers ----


def kms_rows(rounds: int, sides: list[int]) -> list[str]:
    rows = [
        "| kms, two classes, speed relative to as many normals | field | `apply` | fit and `apply` | normals, ns a pixel | fit and `apply`, ns a pixel |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for side in sides:
        labels = (
            np.indices((side, side), dtype=np.int32, sparse=True)[0] // 37 % 2 | np.zeros((1, side), np.int32)
        ).astype(np.uint8)
        noise = Kms(0.3, rho=RHO)
        params = noise.draw(labels.shape, generator(1))
        [fitted] = noise.fit([labels], [params])
        found = compare(
            rounds if side <= 4096 else 1,
            normals=lambda side=side: generator(1).standard_normal((side, side)),
            field=lambda side=side: sample_field((side, side), RHO, generator(1)),
            apply=partial(noise.apply, labels, fitted),
            both=partial(noise.fit_apply, [labels], [params]),
        )
        speed = " | ".join(f"{found['normals'] / found[name]:.2f}" for name in ("field", "apply", "both"))
        pixel = " | ".join(f"{found[name] / side**2 * 1e9:.1f}" for name in ("normals", "both"))
        rows.append(f"| {side:,}² | {speed} | {pixel} |")
    return rows


# ---- apply beside its main primitive ----


def parcels(side: int, cell: float = 32.0, share: float = 0.6) -> NDArray[np.int32]:
    """Ids of cells around random points, a share of them kept and the rest background."""
    rng = np.random.default_rng(0)
    points = rng.random((int(side**2 / cell**2), 2)) * side
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    ids = cKDTree(points).query(grid)[1].reshape(side, side) + 1
    kept = np.concatenate([[False], rng.random(len(points)) < share])
    return np.where(kept[ids], ids, 0).astype(np.int32)


@dataclass(frozen=True)
class Map:
    labels: NDArray[Any]
    instances: bool

    @property
    def masks(self) -> list[NDArray[np.bool_]]:
        """What has to be labelled: each class, or all objects."""
        return [self.labels > 0] if self.instances else [self.labels == k for k in range(1, int(self.labels.max()) + 1)]


def uniforms(m: Map) -> None:
    """Among ids what flips in the background has to be labelled."""
    numbers = generator(1).random(m.labels.shape)
    if m.instances:
        ndimage.label((numbers < 0.2) & (m.labels == 0))


def labelling(m: Map) -> None:
    for mask in m.masks:
        ndimage.label(mask)


def distances(m: Map) -> None:
    ndimage.distance_transform_edt(m.labels == 0, return_distances=False, return_indices=True)


def distances_of_labels(m: Map) -> None:
    """Of every label, in the box that holds it."""
    for number, box in enumerate(ndimage.find_objects(m.labels.astype(np.int32) + 1)):
        if box is not None:
            inside = m.labels[box] == number
            ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)


def resampling(m: Map) -> None:
    ndimage.affine_transform(m.labels, np.eye(2), offset=0.3, order=0)


def objects_in_boxes(m: Map, change: Callable[[NDArray[np.uint8]], object]) -> None:
    """Every object's box on its own."""
    for mask in m.masks:
        numbers = m.labels if m.instances else ndimage.label(mask)[0]
        for number, box in enumerate(ndimage.find_objects(numbers), start=1):
            if box is not None:
                change((numbers[box] == number).view(np.uint8))


def resampled(mask: NDArray[np.uint8]) -> None:
    ndimage.affine_transform(mask, np.eye(2), offset=0.3, order=0)


def moments(m: Map) -> None:
    """Areas, centroids and second moments of objects."""
    row, column = np.indices(m.labels.shape)
    for mask in m.masks:
        numbers = m.labels if m.instances else ndimage.label(mask)[0]
        index = np.arange(1, int(numbers.max()) + 1)
        for weights in (row, column, row * row, row * column, column * column):
            ndimage.sum_labels(weights, numbers, index)


def simplifying(m: Map, tolerance: float) -> None:
    """Polygons of a map, as rasterio traces and GEOS simplifies them, and back."""
    traced = list(rasterio.features.shapes(m.labels.astype(np.int32)))
    simple = shapely.coverage_simplify(np.array([shapely.geometry.shape(shape) for shape, _ in traced]), tolerance)
    values = (value for _, value in traced)
    rasterio.features.rasterize([(s, v) for s, v in zip(simple, values, strict=True) if not s.is_empty], m.labels.shape)


def dilating(m: Map, steps: int) -> None:
    for mask in m.masks:
        for _ in range(steps):
            ndimage.binary_dilation(mask)


PRIMITIVES: dict[str, tuple[str, str, Callable[[Map], None]]] = {
    "symmetric": ("symmetric(0.2)", "as many uniform numbers, new ids labelled", uniforms),
    "pair": ("pair(0.2)", "as many uniform numbers, new ids labelled", uniforms),
    "boundary": ("boundary(2px)", "distance transform with indices of every label", distances_of_labels),
    "dilate": ("dilate(2px)", "distance transform with indices", distances),
    "erode": ("erode(2px)", "distance transform with indices", distances),
    "affine": ("affine()", "each object's box resampled", partial(objects_in_boxes, change=resampled)),
    "misregistration": ("misregistration(5px, rotation=2)", "map resampled", resampling),
    "polygonise": (
        "polygonise(2px)",
        "tracing, simplifying and rasterising with rasterio and GEOS",
        partial(simplifying, tolerance=2),
    ),
    "omission": ("omission(0.2)", "labelling", labelling),
    "commission": ("commission(0.2)", "labelling", labelling),
    "merge": ("merge(0.2)", "distance transform with indices", distances),
    "split": ("split(0.2)", "objects' moments with SciPy", moments),
    "coarse": ("coarse(8px)", "labelling", labelling),
    "jsrt": ("jsrt(1, 0.3)", "distance transform with indices", distances),
    "segments": ("segments(1, radius=3px)", "distance transform with indices", distances),
    "markov": ("markov(60)", "as many binary dilations", partial(dilating, steps=60)),
    "whu": ("whu(2)", "each object's box dilated", partial(objects_in_boxes, change=ndimage.binary_dilation)),
}


def apply_rows(rounds: int, side: int, names: list[str]) -> list[str]:
    ids = parcels(side)
    maps = {"classes": Map((ids % 4).astype(np.uint8), False), "ids": Map(ids, True)}
    count = len(np.unique(ids)) - 1
    rows = [
        f"| `apply` / primitive, {side:,}², {count:,} objects | primitive | 3 classes and background | object ids |",
        "| --- | --- | --- | --- |",
    ]
    for name in names:
        expression, what, primitive = PRIMITIVES[name]
        noise = parse(expression)
        ratios = []
        for m in maps.values():
            params = noise.draw(m.labels.shape, generator(1))
            [fitted] = noise.fit([m.labels], [params], m.instances)
            found = compare(
                rounds,
                primitive=partial(primitive, m),
                apply=partial(noise.apply, m.labels, fitted, m.instances),
            )
            ratios.append(f"{found['apply'] / found['primitive']:.2f}")
        rows.append(f"| `{expression}` | {what} | {' | '.join(ratios)} |")
    return rows


# ---- a Gaussian process beside the field ----


def process_rows(rounds: int, side: int = 128) -> list[str]:
    line = torch.arange(side, dtype=torch.float32)
    points = create_data_from_grid([line, line])
    one = MaternKernel(nu=0.5)
    one.lengthscale = correlation_length(RHO)
    plain = ProductKernel(MaternKernel(nu=0.5, active_dims=[0]), MaternKernel(nu=0.5, active_dims=[1]))
    for kernel in plain.kernels:
        kernel.lengthscale = correlation_length(RHO)
    grid = GridKernel(one, [line, line])
    row = ToeplitzLinearOperator(RHO**line)
    mean = torch.zeros(side * side)

    @torch.no_grad()
    def draw(covariance: Callable[[], Any]) -> None:
        MultivariateNormal(mean, covariance()).sample()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the plain draw is of low rank and says so
        dense = cpu(lambda: draw(lambda: plain(points)))
        found = compare(
            rounds,
            field=lambda: [sample_field((side, side), RHO, generator(1)) for _ in range(20)],
            grid=lambda: draw(lambda: grid(points, points)),
            kronecker=lambda: draw(lambda: KroneckerProductLinearOperator(row, row)),
        )
    field = found["field"] / 20
    return [
        f"| a draw from gpytorch {gpytorch.__version__} / KMS field, {side}², same covariance | ratio |",
        "| --- | --- |",
        f"| product of Matern kernels (draws of low rank) | {dense / field:,.0f} |",
        f"| `GridKernel` | {found['grid'] / field:,.0f} |",
        f"| Kronecker product of two Toeplitz operators, put together by hand | {found['kronecker'] / field:,.1f} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=4096, help="of the map that every noise is applied to")
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192, 16384], help="of the maps for kms")
    others = [name for name in NOISES if name != Kms.name]
    parser.add_argument("--noises", nargs="+", choices=others, help="apply of these alone, and nothing else")
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts: list[Callable[[], list[str]]] = [lambda: apply_rows(args.rounds, args.side, args.noises or others)]
    if not args.noises:
        parts = [lambda: kms_rows(args.rounds, args.sides), *parts, lambda: process_rows(args.rounds)]
    for rows in parts:
        print("\n".join(rows()), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
