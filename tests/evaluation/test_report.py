"""The report holds what the runs hold, needs nothing else, and is written however far a run has come."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

from segnoise.config import make_config
from segnoise.errors import UserError
from segnoise.evaluation import wording, write_report
from segnoise.evaluation.examples import label_error
from segnoise.evaluation.figures import curve_panels
from segnoise.evaluation.pictures import overview, shown_bands
from segnoise.evaluation.polygonmap import polygon_map
from segnoise.evaluation.runrecord import read_run
from segnoise.training import Run, load, prepare, train

VOID = {"meta", "link", "img", "input", "path"}


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = re.sub(r"[ \n]+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    def images(self, alt):
        return [a["src"] for tag, a in self.tags if tag == "img" and re.search(alt, a["alt"])]


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


@pytest.fixture(scope="module")
def page(demo):
    return Page(demo.report)


def copy_of(run, tmp_path):
    return shutil.copytree(run, tmp_path / run.name)


class TestThePage:
    def test_refers_to_nothing_outside_itself(self, page):
        for _, attributes in page.tags:
            for key in ("src", "href", "srcset", "data", "xlink:href"):
                assert attributes.get(key, "data:").startswith(("data:", "#"))
        assert "url(http" not in page.source
        assert "@import" not in page.source

    def test_lets_no_script_run_but_its_own(self, page):
        policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'")
        assert re.search(r"script-src 'sha256-[\w+/]{43}='$", policy)

    def test_closes_every_tag(self, page):
        assert page.open == []

    def test_has_one_first_heading_and_no_picture_without_words(self, page):
        assert [tag for tag, _ in page.tags].count("h1") == 1
        assert all("alt" in a for tag, a in page.tags if tag == "img")

    def test_of_a_demo_is_below_five_megabytes(self, demo):
        assert demo.report.stat().st_size < 5e6

    def test_escapes_what_it_is_given(self, demo, tmp_path):
        frame = gpd.read_file(demo.polygons)
        frame["id"] = "</script><b class=evil>"
        frame.to_file(tmp_path / "fields.gpkg")
        out = write_report(
            [demo.runs["robust"]], path=tmp_path / "r.html", title="<b class=evil>&", scene=demo.scene,
            polygons=tmp_path / "fields.gpkg",
        )  # fmt: skip
        page = Page(out)
        assert "<b class=evil>&" in page.text
        assert not [a for _, a in page.tags if a.get("class") == "evil"]

    def test_is_the_same_bytes_again(self, demo, tmp_path):
        once = write_report([demo.runs["robust"]], path=tmp_path / "a.html").read_bytes()
        assert write_report([demo.runs["robust"]], path=tmp_path / "b.html").read_bytes() == once

    def test_lies_in_the_run_or_beside_the_runs(self, demo, tmp_path):
        one, two = (copy_of(demo.runs[name], tmp_path) for name in ("clean", "plain"))
        assert write_report([one]) == one / "report.html"
        assert write_report([one, two]) == tmp_path / "report.html"


class TestWhatItSays:
    def test_names_data_network_methods_steps_and_noise_with_its_measured_rate(self, demo, page):
        card = json.loads((demo.runs["plain"] / "prepared.json").read_text())["noise"]["train"][0]["card"]
        for words in (
            "scene.tif",
            "4 bands",
            "background, field",
            "BasicUNet",
            "cross-entropy",
            "kms",
            " 4 ",
            "kms(0.4)",
        ):
            assert words in page.text
        assert f"{wording.percent(card['flip_rate']['overall'])} of the pixels wrong" in page.text

    def test_shows_the_scores_of_metrics_json_and_dashes_for_the_run_without(self, demo, page):
        metrics = json.loads((demo.runs["robust"] / "metrics.json").read_text())
        for value in (metrics["iou"]["per_class"]["field"], metrics["ece"], metrics["label_error_auroc"]):
            assert f"{value:.3f}" in page.text
        assert "plain – – – – – – –" in page.text
        assert "Not evaluated yet: plain" in page.text

    def test_shows_the_summary_of_the_demo(self, page):
        assert "wins back 75\u202f% of that" in page.text
        assert "91\u202f% of cases" in page.text
        assert "1 min 40 s" in page.text

    def test_shows_each_configuration(self, demo, page):
        for run in demo.runs.values():
            assert re.sub(r"[ \n]+", " ", (run / "config.yaml").read_text()).strip() in page.text

    def test_draws_each_run_in_its_own_colour_of_the_page(self, demo):
        runs = [(name, f"var(--{name})", read_run(run)) for name, run in demo.runs.items()]
        loss, iou = curve_panels(runs)
        for name in demo.runs:
            assert f"stroke: var(--{name})" in loss.svg
            assert f"stroke: var(--{name})" in iou.svg
            assert f"{name}: from" in iou.description
        assert not re.search(r"#0102[0-9a-f]{2}", loss.svg + iou.svg)

    @pytest.mark.parametrize(
        ("robust", "gap", "words"),
        [
            (0.80, 0.5, "wins back 50\u202f% of that"),
            (0.95, 1.25, "wins all of that back and more"),
            (0.702, 0.01, "does not help here"),
            (0.65, -0.25, "makes it worse here"),
            (0.80, None, "no gap to close"),
        ],
    )
    def test_is_plain_about_what_the_method_did(self, robust, gap, words):
        summary = {"noise": "kms(0.4)", "clean": 0.9, "plain": 0.7, "robust": robust, "gap_closed": gap}
        assert words in wording.verdict(summary, "kms")


class TestExamples:
    def test_label_pictures_are_the_labels_pixel_for_pixel(self, demo, page):
        run = Run(demo.runs["robust"])
        prepared = prepare(read_run(run.folder).config, run)
        alts = [a["alt"] for tag, a in page.tags if tag == "img" and a["alt"].startswith(("given label", "true label"))]
        assert len(alts) == 4 + 4 + 3
        for alt in alts:
            row, column = (int(n) for n in re.search(r"row (\d+), column (\d+)", alt).groups())
            labels = prepared.given[0] if alt.startswith("given") else prepared.clean[0]
            whole = labels.read(type(prepared.regions["train"][0].window)((row, column), (32, 32)))
            assert (np.asarray(decoded(page.images(f"^{re.escape(alt)}$")[0])) == whole).all()

    def test_predictions_of_every_run_stand_beside_the_labels(self, demo, page):
        for name in demo.runs:
            assert len(page.images(f"^prediction of {name} ")) == 7

    def test_training_windows_go_from_few_to_many_wrong_labels(self, page):
        shares = [float(n) for n in re.findall(r"(\d+)\u202f% of the given labels are wrong", page.text)]
        assert len(shares) == 4
        assert shares == sorted(shares)
        assert shares[-1] > 0

    def test_label_errors_ignore_what_lies_under_unknown_labels(self, demo):
        model = load(demo.runs["robust"], "last")
        rng = np.random.default_rng(0)
        raw, seen = rng.normal(500, 50, (4, 32, 32)).astype("float32"), np.ones((32, 32), bool)
        given = rng.integers(0, 2, (32, 32))
        given[:5] = 255
        p, calibrated = label_error(model, raw, seen, given)
        assert calibrated
        assert (p[:5] == 0).all()
        assert ((p >= 0) & (p <= 1)).all()

    def test_a_method_without_estimates_shows_a_score_and_says_so(self, demo, tmp_path):
        page = Page(write_report([demo.runs["plain"]], path=tmp_path / "r.html"))
        assert "a score, not a probability" in page.text


class TestHoweverFarARunHasCome:
    def test_interrupted_in_its_first_epoch(self, demo, tmp_path):
        run = copy_of(demo.runs["robust"], tmp_path)
        shutil.rmtree(run / "checkpoints")
        (run / "metrics.json").unlink()
        (run / "log.csv").write_text("epoch,step\n")
        text = Page(write_report([run])).text
        assert "not yet through its first epoch" in text
        assert "No epoch is finished yet" in text
        assert "Not evaluated yet" in text
        assert "no checkpoint yet" in text

    def test_stopped_before_anything_was_prepared(self, demo, tmp_path):
        (tmp_path / "run").mkdir()
        shutil.copy(demo.runs["robust"] / "config.yaml", tmp_path / "run")
        assert "no checkpoint yet" in Page(write_report([tmp_path / "run"])).text

    def test_with_data_that_has_moved(self, demo, tmp_path):
        demo.scene.rename(tmp_path / "aside.tif")
        try:
            text = Page(write_report([demo.runs["robust"]], path=tmp_path / "r.html")).text
        finally:
            shutil.move(tmp_path / "aside.tif", demo.scene)
        assert re.search(r"None, for the run cannot be used as it was: \S+scene.tif", text)
        assert "Mean IoU against the true labels" in text

    def test_with_three_classes_of_plain_images(self, tmp_path):
        rng = np.random.default_rng(1)
        for k in range(6):
            labels = (np.add.outer(np.arange(40), np.arange(48)) // 30 + k) % 3
            image = (labels[..., None] * 80 + rng.integers(0, 40, (40, 48, 3))).astype(np.uint8)
            for folder, array in (("images", image), ("masks", labels.astype(np.uint8))):
                (tmp_path / folder).mkdir(exist_ok=True)
                Image.fromarray(array).save(tmp_path / folder / f"{k}.png")
        raw = {
            "name": "cells",
            "data": {"kind": "images", "images": ["images/*.png"], "labels": "masks", "window": 32,
                     "classes": ["ground", "cell", "rim"]},
            "network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]},
            "training": {"epochs": 1, "batch_size": 4, "accelerator": "cpu"},
        }  # fmt: skip
        page = Page(write_report([train(make_config(raw, base=tmp_path), tmp_path / "run", quiet=True)]))
        assert "6 images (0.png, 1.png, 2.png, …), 3 bands" in page.text
        assert "on the labels as given" in page.text
        assert page.images("^given label at") != []
        assert page.images("^true label at") == []

    def test_a_folder_without_a_run_is_refused_in_one_line(self, tmp_path):
        with pytest.raises(UserError, match=r"is not a run \(no config.yaml\)"):
            write_report([tmp_path])

    def test_a_damaged_log_is_refused_in_one_line(self, demo, tmp_path):
        run = copy_of(demo.runs["robust"], tmp_path)
        (run / "log.csv").write_text("epoch,step\n1,two\n")
        with pytest.raises(UserError, match=r"log.csv: is damaged"):
            write_report([run])

    def test_polygons_and_scene_come_together(self, demo):
        with pytest.raises(ValueError, match="belong together"):
            write_report([demo.runs["robust"]], polygons=demo.polygons)


def unpack(data):
    """The outlines of a polygon map in picture pixels, rings as arrays in a list a polygon."""

    def numbers(key, dtype):
        return np.frombuffer(base64.b64decode(data[key]), dtype)

    xy = np.array(data["origin"]) + data["step"] * numbers("xy", "<u2").reshape(-1, 2)
    rings = np.split(xy, np.cumsum(numbers("rings", "<u4"))[:-1])
    parts = numbers("parts", "<u4")
    return [rings[end - n : end] for end, n in zip(np.cumsum(parts), parts, strict=True)]


class TestPolygonMap:
    @pytest.fixture
    def scene(self, tmp_path):
        """A rotated scene of 2400 x 1200 pixels whose picture has 1600 x 800."""
        affine = Affine.translation(500_000, 8_000_000) @ Affine.rotation(20) @ Affine.scale(10, -10)
        path = tmp_path / "scene.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=2400, height=1200, count=1, dtype="uint8", crs="EPSG:32736", nodata=0,
            transform=affine, compress="deflate",
        ) as dst:  # fmt: skip
            dst.write(np.full((1, 1200, 2400), 7, np.uint8))
        return path, affine

    def write(self, path, affine, pixels, crs="EPSG:32736"):
        world = [shapely.transform(p, lambda xy: np.column_stack(affine @ (xy[:, 0], xy[:, 1]))) for p in pixels]
        frame = gpd.GeoDataFrame({"id": [f"f{k}" for k in range(len(world))]}, geometry=world, crs="EPSG:32736")
        frame.to_crs(crs).to_file(path)

    @pytest.mark.parametrize("crs", ["EPSG:32736", "EPSG:4326"])
    def test_places_outlines_in_the_picture_within_half_a_step(self, scene, tmp_path, crs):
        path, affine = scene
        holed = shapely.box(300, 600, 900, 1200).difference(shapely.box(450, 750, 600, 900))
        self.write(tmp_path / "p.gpkg", affine, [shapely.box(30, 60, 150, 90), holed], crs)
        data = polygon_map(tmp_path / "p.gpkg", path).data
        first, second = unpack(data)
        assert data["size"] == [1600, 800]
        assert data["metres"] == pytest.approx(15, rel=2e-3)
        assert [len(first), len(second)] == [1, 2]
        tolerance = data["step"] / 2 + (1e-3 if crs == "EPSG:32736" else 2e-2)
        for ring, box in (
            (first[0], (20, 40, 100, 60)),
            (second[0], (200, 400, 600, 800)),
            (second[1], (300, 500, 400, 600)),
        ):
            assert len(ring) == 4
            assert np.allclose([*ring.min(axis=0), *ring.max(axis=0)], box, atol=tolerance)

    def test_leaves_out_what_does_not_reach_the_scene(self, scene, tmp_path):
        path, affine = scene
        inside, beyond = shapely.box(-60, 30, 60, 90), shapely.box(-600, 30, -300, 90)
        self.write(tmp_path / "p.gpkg", affine, [beyond, inside])
        made = polygon_map(tmp_path / "p.gpkg", path)
        assert made.count == 1
        assert made.data["id"] == ["f1"]
        assert np.allclose(unpack(made.data)[0][0].min(axis=0), [-40, 20], atol=made.data["step"])

    def test_without_attributes_has_none(self, scene, tmp_path):
        path, affine = scene
        self.write(tmp_path / "p.gpkg", affine, [shapely.box(0, 0, 50, 50)])
        made = polygon_map(tmp_path / "p.gpkg", path)
        assert made.area_ha is None
        assert made.data["confidence"] is None

    def test_an_empty_file_gives_the_scene_alone(self, scene, tmp_path):
        path, _ = scene
        gpd.GeoDataFrame({"id": []}, geometry=[], crs="EPSG:32736").to_file(tmp_path / "p.gpkg")
        made = polygon_map(tmp_path / "p.gpkg", path)
        assert made.count == 0
        assert unpack(made.data) == []


class TestPictures:
    def raster(self, path, array, **profile):
        count, height, width = array.shape
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, **profile
        ) as dst:
            dst.write(array)
        return path

    def test_nodata_is_transparent(self, tmp_path):
        array = np.ones((1, 20, 30), np.uint16) + np.arange(30, dtype=np.uint16)
        array[:, :5] = 0
        rgba, ratio = overview(self.raster(tmp_path / "a.tif", array, nodata=0), 100)
        assert ratio == 1
        assert (rgba[:5, :, 3] == 0).all()
        assert (rgba[5:, :, 3] == 255).all()

    def test_bands_follow_the_files_own_colours_else_blue_comes_first(self, tmp_path):
        rgb = self.raster(tmp_path / "rgb.tif", np.ones((3, 4, 4), np.uint8), photometric="rgb")
        four = self.raster(tmp_path / "four.tif", np.ones((4, 4, 4), np.uint16), photometric="minisblack")
        one = self.raster(tmp_path / "one.tif", np.ones((1, 4, 4), np.float32))
        assert shown_bands(rgb) == ([1, 2, 3], [1, 2, 3])
        assert shown_bands(four) == ([1, 2, 3, 4], [3, 2, 1])
        assert shown_bands(four, [4, 2]) == ([4, 2], [4])
        assert shown_bands(one) == ([1], [1])
