"""Opens a demo's scene and fields in QGIS, checks what QGIS sees, and draws its map. Needs QGIS's own Python.

    apt-get install -y --no-install-recommends qgis python3-qgis
    QT_QPA_PLATFORM=offscreen /usr/bin/python3 tools/check_qgis.py demo --picture demo-in-qgis.png

Fails if a layer does not open, a polygon is invalid to QGIS or lies outside the scene, or the map stays empty.
"""

import argparse
import sys
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateTransform,
    QgsFillSymbol,
    QgsGeometry,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsRasterLayer,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize

OUTLINES = {".geojson": "255,230,0", ".gpkg": "255,0,0"}


def check(folder, picture):
    scene = QgsRasterLayer(str(folder / "drawn" / "scene.tif"), "scene")
    if not scene.isValid():
        sys.exit(f"{folder}/drawn/scene.tif: QGIS cannot open it")
    around = scene.extent().buffered(1)
    layers = []
    for suffix, colour in OUTLINES.items():
        layer = QgsVectorLayer(str(folder / f"fields{suffix}"), f"fields{suffix}", "ogr")
        if not layer.isValid():
            sys.exit(f"{folder}/fields{suffix}: QGIS cannot open it")
        to_scene = QgsCoordinateTransform(layer.crs(), scene.crs(), QgsProject.instance())
        invalid = outside = 0
        for feature in layer.getFeatures():
            geometry = QgsGeometry(feature.geometry())
            invalid += not geometry.isGeosValid()
            geometry.transform(to_scene)
            outside += not around.contains(geometry.boundingBox())
        names = ", ".join(field.name() for field in layer.fields())
        print(f"fields{suffix}: {layer.featureCount()} features, {layer.crs().authid()}, {names}")
        if invalid or outside or not layer.featureCount():
            sys.exit(f"{folder}/fields{suffix}: {invalid} invalid polygons, {outside} outside the scene")
        symbol = {"color": "0,0,0,0", "outline_color": colour, "outline_width": "0.4"}
        layer.setRenderer(QgsSingleSymbolRenderer(QgsFillSymbol.createSimple(symbol)))
        layers.append(layer)
    settings = QgsMapSettings()
    settings.setLayers([*layers, scene])
    settings.setDestinationCrs(scene.crs())
    settings.setExtent(scene.extent())
    settings.setOutputSize(QSize(1000, 1000))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    if job.errors() or not job.renderedImage().save(str(picture)):
        sys.exit(f"{picture}: the map could not be drawn")
    print(f"QGIS {Qgis.QGIS_VERSION}: {picture} drawn")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--picture", type=Path, default=Path("demo-in-qgis.png"))
    arguments = parser.parse_args()
    application = QgsApplication([], True)
    application.initQgis()
    check(arguments.demo, arguments.picture)
    application.exitQgis()
