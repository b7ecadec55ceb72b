"""What the command line says and does: bad input gets one clear line and exit 1, and loses nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from rasterio.transform import from_origin

from segnoise.cli import app
from segnoise.config import make_config
from segnoise.training import train

TRANSFORM = from_origin(500000, 9000000, 3, 3)
NETWORK = {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]}
TRAINING = {"epochs": 1, "batch_size": 4, "accelerator": "cpu"}


def write_raster(path, array, crs="EPSG:32736", transform=TRANSFORM, nodata=None, **more):
    array = np.atleast_3d(array.T).T if array.ndim == 2 else array
    with rasterio.open(
        path, "w", driver="GTiff", count=array.shape[0], height=array.shape[1], width=array.shape[2],
        dtype=array.dtype, crs=crs, transform=transform, nodata=nodata, **more,
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def write_fields(path, boxes=((20, 20, 80, 80), (90, 20, 140, 140)), crs="EPSG:32736"):
    polygons = [
        shapely.box(500000 + 3 * x0, 9000000 - 3 * y1, 500000 + 3 * x1, 9000000 - 3 * y0) for y0, x0, y1, x1 in boxes
    ]
    gpd.GeoDataFrame({"name": [str(k) for k in range(len(boxes))]}, geometry=polygons, crs=crs).to_file(path)
    return path


@pytest.fixture
def place(tmp_path):
    """A folder with a good scene, good labels and a configuration of them."""
    rng = np.random.default_rng(0)
    image = rng.integers(1, 1000, (3, 160, 160), dtype=np.uint16)
    image[:, 20:80, 20:80] += 3000
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    write_fields(tmp_path / "fields.gpkg")
    config(tmp_path)
    return tmp_path


def config(folder, name="run.yaml", **data):
    content = {
        "name": "r",
        "data": {"kind": "raster", "images": ["scene.tif"], "labels": "fields.gpkg", "window": 32, **data},
        "network": NETWORK,
        "training": TRAINING,
    }
    (folder / name).write_text(yaml.safe_dump(content))
    return folder / name


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run trained for a few steps on a scene with three bands."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(1)
    write_raster(folder / "scene.tif", rng.integers(1, 1000, (3, 160, 160), dtype=np.uint16), nodata=0)
    write_fields(folder / "fields.gpkg")
    raw = yaml.safe_load(config(folder).read_text())
    return train(make_config(raw, base=folder), folder / "run", quiet=True)


def run(arguments, capsys, monkeypatch):
    """Exit code and stderr of the command line, in this process."""
    from segnoise import cli

    monkeypatch.setattr(sys, "argv", ["segnoise", *map(str, arguments)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def fails(capsys, monkeypatch):
    """Asserts that a command exits with 1 and one line on stderr that holds all the words."""

    def check(*arguments, words):
        code, _, err = run([*arguments, "--quiet"], capsys, monkeypatch)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 1, err
        assert len(lines) == 1, err
        assert "Traceback" not in err
        for word in words:
            assert word in lines[0], f"{word!r} not in {lines[0]!r}"
        return lines[0]

    return check


@pytest.fixture
def works(capsys, monkeypatch):
    def check(*arguments):
        code, out, err = run(arguments, capsys, monkeypatch)
        assert code == 0, err
        return out

    return check


class TestTrainRefuses:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"images": ["none.tif"]}, ["none.tif", "no such file"]),
            ({"images": ["*.jp2"]}, ["*.jp2", "matches no"]),
            ({"images": ["fields.gpkg"]}, ["fields.gpkg", "raster"]),
            ({"labels": "none.gpkg"}, ["none.gpkg", "no such file"]),
            ({"bands": [1, 9]}, ["scene.tif", "no band 9"]),
            ({"window": 64, "split": {"by": "source"}}, ["data.split", "give more scenes, or split by block"]),
            ({"split": {"by": "table"}}, ["data.split.by", "CSV"]),
            ({"classes": ["a", "b", "c", "d"]}, ["data.classes", "fields.gpkg"]),
        ],
    )
    def test_data_that_cannot_be_used(self, place, fails, data, words):
        fails("train", config(place, **data), "-o", place / "run", words=words)
        assert not (place / "run" / "checkpoints" / "last.ckpt").exists()

    def test_a_truncated_scene(self, place, fails):
        content = (place / "scene.tif").read_bytes()
        (place / "scene.tif").write_bytes(content[: len(content) // 2])
        fails("train", place / "run.yaml", "-o", place / "run", words=["scene.tif"])

    def test_a_scene_without_crs(self, place, fails):
        write_raster(place / "scene.tif", np.ones((3, 160, 160), np.uint8), crs=None)
        fails("train", place / "run.yaml", "-o", place / "run", words=["scene.tif", "no CRS"])

    def test_labels_without_crs(self, place, fails):
        gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]).to_parquet(place / "f.parquet")
        fails("train", config(place, labels="f.parquet"), "-o", place / "run", words=["f.parquet", "no CRS"])

    def test_labels_elsewhere(self, place, fails):
        gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326).to_file(place / "f.gpkg")
        fails("train", config(place, labels="f.gpkg"), "-o", place / "run", words=["f.gpkg", "overlap"])

    def test_only_points_as_labels(self, place, fails):
        gpd.GeoDataFrame(geometry=[shapely.Point(500050, 8999900)], crs=32736).to_file(place / "p.gpkg")
        fails("train", config(place, labels="p.gpkg"), "-o", place / "run", words=["p.gpkg", "polygon"])

    def test_a_class_value_outside_the_list(self, place, fails):
        labels = np.zeros((160, 160), np.uint8)
        labels[:50] = 7
        write_raster(place / "labels.tif", labels)
        fails("train", config(place, labels="labels.tif"), "-o", place / "run", words=["labels.tif", "7"])

    def test_labels_on_another_grid_state_both(self, place, fails):
        write_raster(place / "labels.tif", np.zeros((80, 80), np.uint8))
        line = fails("train", config(place, labels="labels.tif"), "-o", place / "run", words=["labels.tif", "80 x 80"])
        assert "160 x 160" in line

    def test_a_scene_without_valid_pixels(self, place, fails):
        write_raster(place / "scene.tif", np.zeros((3, 160, 160), np.uint16), nodata=0)
        fails("train", place / "run.yaml", "-o", place / "run", words=["scene.tif", "no valid pixel"])

    def test_scenes_with_different_bands_name_both(self, place, fails):
        write_raster(place / "other.tif", np.ones((4, 160, 160), np.uint16))
        fails(
            "train",
            config(place, images=["scene.tif", "other.tif"]),
            "-o",
            place / "run",
            words=["scene", "other", "4"],
        )

    @pytest.mark.parametrize(
        ("override", "words"),
        [
            ("network=Unett", ["Unett", "Unet"]),
            ("network={name: Unet, encoder: resnet43}", ["resnet43", "resnet"]),
            ("network.featurs=[4]", ["featurs", "features"]),
            ("method=kmss", ["kmss", "kms"]),
            ("method={name: kms, roh: 0.5}", ["roh", "rho"]),
            ("noise=kmss(0.4)", ["kmss", "kms"]),
            ("noise=kms(0.4", ["kms(0.4"]),
            ("noise=boundary(-3px)", ["boundary"]),
            ("training.epoch=3", ["training.epoch", "epochs"]),
            ("training.lr=fast", ["training.lr"]),
            ("training.devices=2.5", ["training.devices"]),
        ],
    )
    def test_names_and_values_that_do_not_exist(self, place, fails, override, words):
        fails("train", place / "run.yaml", override, "-o", place / "run", words=words)

    def test_a_yaml_that_is_no_mapping(self, place, fails):
        (place / "list.yaml").write_text("- a\n")
        fails("train", place / "list.yaml", words=["list.yaml", "not a mapping"])

    def test_an_unwritable_folder(self, place, fails):
        fails("train", place / "run.yaml", "-o", place / "scene.tif", words=["scene.tif"])
        assert (place / "scene.tif").stat().st_size > 1000

    def test_masks_of_another_size_state_both(self, place, fails):
        for name, size in [("a.png", 64), ("b.png", 64), ("c.png", 64)]:
            write_png(place / "images" / name, np.full((3, size, size), 9, np.uint8))
            write_png(place / "masks" / name, np.zeros((1, size - 4 * (name == "c.png"), size), np.uint8))
        content = {
            "data": {
                "kind": "images",
                "images": ["images/*.png"],
                "labels": "masks",
                "classes": ["a", "b"],
                "window": 32,
            },
            "network": NETWORK,
            "training": TRAINING,
        }
        (place / "i.yaml").write_text(yaml.safe_dump(content))
        fails("train", place / "i.yaml", "-o", place / "run", words=["c.png", "60", "64"])


def write_png(path, array):
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(
        path, "w", driver="PNG", count=array.shape[0], height=array.shape[1], width=array.shape[2], dtype="uint8"
    ) as dst:
        dst.write(array)


class TestTrainAccepts:
    @pytest.mark.parametrize("case", ["empty labels", "small scene", "nan and inf", "invalid and 3-D", "three classes"])
    def test_awkward_but_legal_data(self, place, works, case):
        data = {}
        if case == "empty labels":
            gpd.GeoDataFrame({"name": []}, geometry=[], crs=32736).to_file(place / "fields.gpkg")
        if case == "small scene":
            for k in range(3):
                write_raster(place / f"s{k}.tif", np.random.default_rng(k).integers(1, 99, (1, 20, 24), dtype=np.uint8))
            data = {"images": ["s[0-9].tif"], "split": {"by": "source"}}
            write_fields(place / "fields.gpkg", [(2, 2, 12, 14)])
        if case == "nan and inf":
            image = np.random.default_rng(0).normal(size=(2, 160, 160)).astype(np.float32)
            image[:, :30], image[:, 40:50] = np.nan, np.inf
            write_raster(place / "scene.tif", image)
        if case == "invalid and 3-D":
            x, y = 500000, 9000000
            bow = shapely.Polygon([(x + 9, y - 9), (x + 99, y - 99), (x + 99, y - 9), (x + 9, y - 99)])
            solid = shapely.force_3d(shapely.box(x + 150, y - 300, x + 300, y - 150), 7.0)
            mixed = shapely.GeometryCollection([shapely.box(x, y - 400, x + 90, y - 310), shapely.Point(x, y)])
            gpd.GeoDataFrame(geometry=[bow, solid, mixed], crs=32736).to_file(place / "fields.gpkg")
        if case == "three classes":
            data = {"classes": ["background", "field", "boundary"]}
        works("train", config(place, **data), "-o", place / "run", "--quiet")
        works("evaluate", place / "run", "--quiet")
        metrics = json.loads((place / "run" / "metrics.json").read_text())
        assert metrics["n_images"] > 0

    def test_plain_images_end_with_masks_of_their_size(self, place, works):
        rng = np.random.default_rng(0)
        for k in range(4):
            write_png(place / "images" / f"i{k}.png", rng.integers(0, 255, (3, 50, 70), dtype=np.uint8))
            write_png(place / "masks" / f"i{k}.png", rng.integers(0, 2, (1, 50, 70), dtype=np.uint8))
        content = {
            "data": {
                "kind": "images",
                "images": ["images/*.png"],
                "labels": "masks",
                "classes": ["a", "b"],
                "window": 32,
            },
            "network": NETWORK,
            "training": TRAINING,
            "noise": "kms(0.2)",
        }
        (place / "i.yaml").write_text(yaml.safe_dump(content))
        works("train", place / "i.yaml", "-o", place / "run", "--quiet")
        works("evaluate", place / "run", "--quiet")
        works("predict", place / "run", *sorted((place / "images").iterdir()), "-o", place / "out", "--quiet")
        for k in range(4):
            with rasterio.open(place / "out" / f"i{k}.png") as src:
                assert (src.shape, src.dtypes[0]) == ((50, 70), "uint8")
                assert src.read(1).max() <= 1


class TestUsingARun:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["predict", "nowhere", "scene.tif", "-o", "x.tif"], ["nowhere", "no such run"]),
            (["predict", "RUN", "none.tif", "-o", "x.tif"], ["none.tif", "no such file"]),
            (["predict", "RUN", "scene.tif", "-o", "scene.tif"], ["scene.tif", "already exists"]),
            (["predict", "RUN", "scene.tif", "-o", "missing/x.tif"], ["missing", "does not exist"]),
            (["predict", "RUN", "four.tif", "-o", "x.tif"], ["four", "4 bands", "3"]),
            (["predict", "RUN", "plain.tif", "-o", "x.tif"], ["plain.tif", "no CRS"]),
            (["predict", "RUN", "scene.tif", "-o", "x.tif", "--overlap", "32"], ["overlap"]),
            (["predict", "RUN", "scene.tif", "four.tif", "-o", "x.tif"], ["x.tif", "folder"]),
            (["predict", "RUN", "scene.tif", "-o", "x.tif", "--device", "tpu"], ["--device tpu"]),
            (["fields", "RUN", "scene.tif", "-o", "x.kml"], ["x.kml", ".geojson"]),
            (["fields", "RUN", "plain.tif", "-o", "x.geojson"], ["plain.tif", "no CRS"]),
            (["fields", "RUN", "scene.tif", "-o", "x.geojson", "--class", "feild"], ["feild", "field"]),
            (["fields", "RUN", "truncated.tif", "-o", "x.geojson"], ["truncated.tif"]),
            (["evaluate", "nowhere"], ["nowhere", "no such run"]),
            (["evaluate", "broken.ckpt"], ["broken.ckpt"]),
            (["polygons", "grey.tif", "-o", "x.geojson"], ["grey.tif", "CRS"]),
            (["polygons", "none.tif", "-o", "x.geojson"], ["none.tif"]),
            (["corrupt", "fields.gpkg", "-o", "n.gpkg", "--noise", "kms(0.4)"], ["--grid"]),
            (["corrupt", "fields.gpkg", "-o", "n.gpkg", "--noise", "kms(2)", "--grid", "scene.tif"], ["kms"]),
            (["corrupt", "fields.gpkg", "-o", "n.gpkg", "--noise", "fog(1)", "--grid", "scene.tif"], ["fog"]),
            (["corrupt", "none.gpkg", "-o", "n.gpkg", "--noise", "kms(0.4)", "--grid", "scene.tif"], ["none.gpkg"]),
        ],
    )
    def test_each_mistake_is_one_line(self, place, trained, fails, monkeypatch, arguments, words):
        write_raster(place / "four.tif", np.ones((4, 40, 40), np.uint16))
        write_raster(place / "plain.tif", np.ones((3, 40, 40), np.uint16), crs=None)
        write_raster(place / "grey.tif", np.ones((1, 40, 40), np.uint8), crs=None)
        (place / "truncated.tif").write_bytes((place / "scene.tif").read_bytes()[:20000])
        (place / "broken.ckpt").write_text("no")
        monkeypatch.chdir(place)
        before = sorted(p.name for p in place.iterdir())
        fails(*[str(trained) if a == "RUN" else a for a in arguments], words=words)
        assert sorted(p.name for p in place.iterdir()) == before

    def test_a_full_disk_leaves_nothing_under_the_name(self, place, trained, fails, monkeypatch):
        if not shutil.which("prlimit"):
            pytest.skip("prlimit, which makes writing fail, is not installed")
        write_raster(place / "big.tif", np.random.default_rng(0).integers(1, 999, (3, 700, 700), dtype=np.uint16))
        done = subprocess.run(
            ["prlimit", "--fsize=4096", sys.executable, "-m", "segnoise", "predict", str(trained),
             str(place / "big.tif"), "-o", str(place / "x.tif"), "--scores", "--quiet"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "x" in done.stderr
        assert "could not be written" in done.stderr
        assert not [p for p in place.iterdir() if p.name.startswith((".x", "x"))]

    def test_a_scene_smaller_than_the_window_is_padded(self, place, trained, works):
        write_raster(place / "small.tif", np.ones((3, 9, 13), np.uint16))
        works("predict", trained, place / "small.tif", "-o", place / "x.tif", "--quiet")
        with rasterio.open(place / "x.tif") as src:
            assert src.shape == (9, 13)
            assert src.read(1).max() <= 1

    def test_all_nodata_gives_unknown_and_no_fields(self, place, trained, works):
        write_raster(place / "dark.tif", np.zeros((3, 40, 40), np.uint16), nodata=0)
        works("predict", trained, place / "dark.tif", "-o", place / "x.tif", "--quiet")
        with rasterio.open(place / "x.tif") as src:
            assert (src.read(1) == 255).all()
        works("fields", trained, place / "dark.tif", "-o", place / "x.geojson", "--quiet")
        assert json.loads((place / "x.geojson").read_text())["features"] == []

    def test_several_scenes_go_into_one_file_with_their_names(self, place, trained, works):
        shutil.copy(place / "scene.tif", place / "second.tif")
        works(
            "fields",
            trained,
            place / "scene.tif",
            place / "second.tif",
            "-o",
            place / "x.gpkg",
            "--min-area",
            "0",
            "--quiet",
        )
        frame = gpd.read_file(place / "x.gpkg")
        assert set(frame["scene"]) == {"scene", "second"}
        assert frame["id"].is_unique


class TestCorrupt:
    def test_polygons_stay_polygons_and_the_record_replays(self, place, works):
        from segnoise.data import RasterSource, rasterize_instances, read_polygons
        from segnoise.noise import replay

        arguments = ["corrupt", place / "fields.gpkg", "--grid", place / "scene.tif", "--noise", "boundary(3px)"]
        works(*arguments, "-o", place / "n.gpkg", "--seed", "3", "--quiet")
        record = json.loads((place / "n.json").read_text())
        frame = gpd.read_file(place / "n.gpkg")
        assert set(frame["name"]) == {"0", "1"}
        geobox = RasterSource(place / "scene.tif").geobox
        clean = rasterize_instances(read_polygons(place / "fields.gpkg", geobox), geobox)
        noisy = rasterize_instances(read_polygons(place / "n.gpkg", geobox), geobox)
        assert ((replay(clean, record) > 0) == (noisy > 0)).all()
        assert record["card"]["flip_rate"]["overall"] == pytest.approx(((noisy > 0) != (clean > 0)).mean())

    def test_rasters_keep_their_grid_and_unknown_pixels(self, place, works):
        labels = np.zeros((160, 160), np.uint8)
        labels[40:100, 30:120] = 1
        labels[:20] = 255
        write_raster(place / "labels.tif", labels, nodata=255)
        works("corrupt", place / "labels.tif", "-o", place / "n.tif", "--noise", "kms(0.25)", "--quiet")
        with rasterio.open(place / "n.tif") as src:
            noisy = src.read(1)
            assert (src.crs, src.transform, src.nodata) == (rasterio.crs.CRS.from_epsg(32736), TRANSFORM, 255)
        assert (noisy[:20] == 255).all()
        assert (noisy != labels)[20:].mean() == pytest.approx(0.25, abs=1e-4)

    def test_a_name_and_a_level_are_an_expression(self, place, works):
        write_raster(place / "labels.tif", np.zeros((160, 160), np.uint8))
        common = ["corrupt", place / "labels.tif", "--quiet", "-o"]
        works(*common, place / "a.tif", "--noise", "kms", "--level", "0.1")
        works(*common, place / "b.tif", "--noise", "kms(0.1)")
        records = [json.loads((place / name).read_text()) for name in ("a.json", "b.json")]
        assert records[0] == records[1]
        assert (place / "a.card.png").stat().st_size > 10_000

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([], ["--noise", "--like CARD"]),
            (["--noise", "kms(0.1)", "--like", "card.json"], ["--noise", "either"]),
            (["--noise", "kms"], ["--noise kms", "needs a level", "--level 0.4"]),
            (["--noise", "kms(0.1)", "--level", "0.2"], ["--level 0.2", "the name of one noise"]),
            (["--noise", "kms", "--level", "2"], ["level 2", "from 0 to 1"]),
            (["--noise", "kmss", "--level", "0.1"], ["no noise is called 'kmss'", "kms"]),
            (["--noise", "boundary", "--level", "3"], ["3px"]),
            (["--like", "none.json"], ["none.json", "no such file"]),
            (["--like", "labels.tif"], ["labels.tif", "not a JSON"]),
            (["--like", "old.json"], ["old.json", "format None", "make the card again"]),
        ],
    )
    def test_refuses_a_noise_that_is_none(self, place, fails, monkeypatch, options, words):
        monkeypatch.chdir(place)
        write_raster(place / "labels.tif", np.zeros((160, 160), np.uint8))
        (place / "old.json").write_text(json.dumps({"card": {"flip_rate": {"overall": 0.1}}}))
        fails("corrupt", "labels.tif", "-o", "n.tif", *options, words=words)
        assert not (place / "n.tif").exists()


class TestCard:
    def test_polygons_and_noise_like_theirs(self, place, works):
        grid = ["--grid", place / "scene.tif"]
        write_fields(place / "old.gpkg", boxes=((22, 20, 82, 80),))
        said = works("card", place / "old.gpkg", place / "fields.gpkg", *grid, "-o", place / "card.json")
        assert "1 of 2 objects missed" in said
        card = json.loads((place / "card.json").read_text())["card"]
        assert card["objects"]["missed"] == 1
        assert (place / "card.png").is_file()
        said = works("corrupt", place / "fields.gpkg", *grid, "-o", place / "n.gpkg", "--like", place / "card.json")
        record = json.loads((place / "n.json").read_text())
        assert record["noise"] in said
        assert record["like"]["card"] == card

    def test_folders(self, place, works):
        labels = np.zeros((160, 160), np.uint8)
        labels[40:100, 30:120] = 1
        for folder in ("old", "new"):
            (place / folder).mkdir()
            for k in range(2):
                write_raster(place / folder / f"{k}.tif", np.roll(labels, k * (folder == "old"), 0))
        works("card", place / "old", place / "new", "-o", place / "card.json", "--quiet")
        written = json.loads((place / "card.json").read_text())
        assert [f["errors"] for f in written["files"]] == [0, 180]

    def test_refuses_what_cannot_be_compared(self, place, fails):
        write_raster(place / "a.tif", np.zeros((160, 160), np.uint8))
        write_raster(place / "b.tif", np.zeros((160, 150), np.uint8))
        out = ["-o", place / "card.json"]
        fails("card", place / "a.tif", place / "b.tif", *out, words=["160 x 160 px", "160 x 150 px", "same grid"])
        fails("card", place / "none", place / "b.tif", *out, words=["none", "no such file"])
        (place / "empty").mkdir()
        fails("card", place / "empty", place / "empty", *out, words=["empty", "0 label files"])
        fails("card", place / "scene.tif", place / "a.tif", *out, words=["scene.tif", "3 bands"])
        assert not (place / "card.json").exists()


def test_wrong_usage_exits_with_two(capsys, monkeypatch):
    for arguments in (["nonsense"], ["train"], ["polygons", "a.tif"], ["evaluate", "x", "--split", "all"]):
        code, _, _ = run(arguments, capsys, monkeypatch)
        assert code == 2, arguments


def test_every_command_has_help_with_an_example(capsys, monkeypatch):
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        code, out, _ = run([name, "--help"], capsys, monkeypatch)
        assert code == 0
        assert f"segnoise {name}" in out, name
        assert "Example" in out, name


def test_debug_shows_the_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "segnoise", "train", str(tmp_path / "none.yaml"), "--debug"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
