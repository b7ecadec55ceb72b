"""Procedural field landscapes: a georeferenced four-band scene and the exact polygons of its fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio import features

from segnoise.data.scenes.appearance import paint
from segnoise.data.scenes.landscape import draw_landscape
from segnoise.data.scenes.looks import draw_crops, draw_looks
from segnoise.data.scenes.sensor import observe
from segnoise.data.scenes.spectra import LAND
from segnoise.data.writetiff import geotiff
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.windows import atomic_output

BANDS = ("blue", "green", "red", "nir")

COVERS = ("field", *LAND)
"""The names of the values of ``FieldScene.cover``."""

_ORIGIN = (420_000.0, 8_400_000.0)


@dataclass(frozen=True)
class FieldScene:
    """A scene and its truth.

    ``image`` is surface reflectance x 10000, uint16 ``4 H W`` in the order of ``BANDS``, 0 where nothing was
    observed. ``polygons`` holds every field, one row each: ``crop`` and a valid polygon in the scene's CRS; no two
    overlap, and fields that touch share their vertices. ``instances`` ``H W`` is ``polygons`` rasterised by pixel
    centre: row ``i`` of the table has id ``i + 1``, 0 is no field. ``cover`` ``H W`` indexes ``COVERS``.
    """

    image: NDArray[np.uint16]
    instances: NDArray[np.int32]
    cover: NDArray[np.uint8]
    polygons: gpd.GeoDataFrame
    geobox: GeoBox

    def save(self, folder: str | Path, overwrite: bool = False) -> dict[str, Path]:
        """Writes ``scene.tif`` (tiled, compressed, nodata 0) and ``fields.gpkg`` (the truth) into ``folder``, which is
        made if missing; returns their paths under ``"image"`` and ``"polygons"``.

        Raises UserError when a file exists and ``overwrite`` is false, or cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
        paths = {"image": folder / "scene.tif", "polygons": folder / "fields.gpkg"}
        with atomic_output(paths["image"], overwrite) as path:
            profile: dict[str, Any] = {
                "driver": "GTiff",
                "count": len(BANDS),
                "dtype": "uint16",
                "height": self.image.shape[1],
                "width": self.image.shape[2],
                "crs": str(self.geobox.crs),
                "transform": self.geobox.affine,
                "nodata": 0,
                "tiled": True,
                "blockxsize": 256,
                "blockysize": 256,
                "compress": "deflate",
                "predictor": 2,
                "zlevel": 1,
                "photometric": "minisblack",
            }
            with geotiff(path, **profile) as file:
                file.write(self.image)
                file.descriptions = BANDS
        with atomic_output(paths["polygons"], overwrite) as path:
            self.polygons.to_file(path, driver="GPKG", layer="fields")
        return paths


def field_scene(
    size: int | tuple[int, int] = 1024,
    seed: int = 0,
    *,
    pixel_m: float = 3.0,
    crs: str = "EPSG:32736",
    nodata: bool = False,
) -> FieldScene:
    """Draws a field landscape as a satellite sees it, with exact truth; equal arguments give equal pixels and polygons.

    Smallholder mosaics, middle-sized and large fields and pivots lie among woods, pasture, scrub, open ground, houses,
    water and roads. Fields cover about half of the scene; bare, harvested and resting fields are fields, and pasture
    is as green as crops: context and texture tell them apart, no single band does.

    Args:
        size: pixels, one number or ``(height, width)``, at least 64 each.
        seed: of every draw.
        pixel_m: metres a pixel. The landscape is drawn in pixels, so its fields grow with it.
        crs: a projected CRS in metres.
        nodata: leave the corners outside a slanted swath unobserved (a few percent of the pixels).

    Raises:
        UserError: the size is too small, ``pixel_m`` is not positive, or ``crs`` is not projected in metres.

    >>> scene = field_scene(128, seed=1)
    >>> scene.image.shape, scene.image.dtype, scene.geobox.resolution.x
    ((4, 128, 128), dtype('uint16'), 3.0)
    >>> bool(scene.polygons.is_valid.all()), int(scene.instances.max()) == len(scene.polygons)
    (True, True)
    """
    height, width = (size, size) if isinstance(size, int) else size
    shape = (int(height), int(width))
    if min(shape) < 64:
        raise UserError(f"size {size}: a scene has at least 64 pixels a side")
    geobox = _geobox(shape, pixel_m, crs)
    land = draw_landscape(shape, seed)
    rng = generator(seed, "scene", "looks")
    crops = draw_crops(land.regime, rng)
    polygons = gpd.GeoDataFrame({"crop": crops}, geometry=_to_metres(land.fields, geobox.affine), crs=str(geobox.crs))
    instances = _burn(polygons.geometry, geobox.affine, shape)

    patch = _burn(land.patches, Affine.identity(), shape, first=1 + len(crops))
    patch[instances > 0] = instances[instances > 0]
    kinds = [COVERS.index("scrub"), *[0] * len(crops), *(COVERS.index(name) for name in land.cover)]
    looks = draw_looks(land, crops, shape, rng)
    light = paint(patch, len(crops), looks, generator(seed, "scene", "light"))
    image = observe(light, generator(seed, "scene", "sensor"))
    if nodata:
        image[:, ~_swath(shape, generator(seed, "scene", "swath"))] = 0
    return FieldScene(image, instances, np.array(kinds, dtype=np.uint8)[patch], polygons, geobox)


def _geobox(shape: tuple[int, int], pixel_m: float, crs: str) -> GeoBox:
    if not pixel_m > 0:
        raise UserError(f"pixel_m {pixel_m}: give a positive number of metres")
    try:
        system = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise UserError(f"crs {crs!r}: not a coordinate reference system; try 'EPSG:32736'") from error
    if not system.is_projected or system.axis_info[0].unit_name != "metre":
        raise UserError(f"crs {crs!r}: scenes are laid out in metres; give a projected CRS such as 'EPSG:32736'")
    return GeoBox(shape, Affine(pixel_m, 0, _ORIGIN[0], 0, -pixel_m, _ORIGIN[1]), crs)


def _to_metres(geometry: NDArray[Any], affine: Affine) -> NDArray[Any]:
    scale, offset = np.array([affine.a, affine.e]), np.array([affine.c, affine.f])
    return shapely.transform(geometry, lambda xy: xy * scale + offset)


def _burn(geometry: Any, affine: Affine, shape: tuple[int, int], first: int = 1) -> NDArray[np.int32]:
    """Ids by pixel centre, counted from ``first``; later geometries over earlier ones."""
    if not len(geometry):
        return np.zeros(shape, dtype=np.int32)
    numbered = zip(geometry, range(first, first + len(geometry)), strict=True)
    return features.rasterize(numbered, out_shape=shape, transform=affine, fill=0, dtype="int32")


def _swath(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The inside of a slanted swath that cuts a small triangle off two opposite corners."""
    height, width = shape
    y, x = np.ogrid[0.5:height, 0.5:width]
    slant = rng.uniform(0.15, 0.35)
    place = x / width + slant * y / height
    cut = rng.uniform(0.05, 0.12)
    return np.asarray((place > cut * (slant + 0.5)) & (place < 1 + slant - cut * (slant + 0.5)))
