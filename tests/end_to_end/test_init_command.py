"""segnoise init: from real files of every kind to a configuration that trains as it is, or one line that says why not."""

from __future__ import annotations

import re
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from PIL import Image
from rasterio.transform import from_origin

from segnoise.config import load_config
from segnoise.data.volume import write_volume
from segnoise.training import train
from tests.data import fundus_trees
from tests.data.oct import oct_trees

TINY = ["network.name=BasicUNet", "network.features=[4,4,8,8,8,4]", "training.epochs=1", "data.samples_per_epoch=8"]
AFFINE = np.diag([-1.0, 1.5, 3.0, 1.0])


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs ``segnoise init`` in an empty folder: exit code, stdout, stderr."""
    from segnoise import cli

    monkeypatch.chdir(tmp_path)

    def init(*arguments):
        monkeypatch.setattr(sys, "argv", ["segnoise", "init", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return init


@pytest.fixture
def config(run, tmp_path):
    """The configuration that init writes, its text, and what it said."""

    def init(*arguments):
        code, out, err = run(*arguments, "-o", "c.yaml")
        assert code == 0, err
        text = (tmp_path / "c.yaml").read_text()
        return load_config(tmp_path / "c.yaml"), text, out

    return init


@pytest.fixture
def refused(run, tmp_path):
    """One line, exit 1, and nothing written."""

    def init(*arguments):
        code, _, err = run(*arguments, "-o", "c.yaml")
        lines = [line for line in err.splitlines() if line.strip()]
        assert (code, len(lines)) == (1, 1), err
        assert lines[0].startswith("error: ")
        assert not (tmp_path / "c.yaml").exists()
        return lines[0]

    return init


def raster(path, array, crs="EPSG:32736", pixel=3.0, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = array if array.ndim == 3 else array[None]
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=array.shape[1], width=array.shape[2], dtype=array.dtype,
        crs=crs, transform=from_origin(500000, 9000000, pixel, pixel), **more,
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def scene(seed, bands=3, size=96):
    return np.random.default_rng(seed).integers(1, 900, (bands, size, size), dtype=np.uint16)


def mask(seed, shape=(96, 96), classes=2):
    return np.random.default_rng(seed).integers(0, classes, shape, dtype=np.uint8)


def pictures(root, names, shape=(40, 48), value=1):
    for k, name in enumerate(names):
        picture(root / "imgs" / f"{name}.png", np.random.default_rng(k).integers(0, 255, (*shape, 3), dtype=np.uint8))
        picture(root / "masks" / f"{name}.png", mask(k, shape) * np.uint8(value))


def volumes(root, count=4, shape=(20, 18, 12), affine=AFFINE, offset=0.0, first=0):
    for k in range(first, first + count):
        rng = np.random.default_rng(k)
        labels = np.zeros(shape, np.uint8)
        labels[4:9, 4:9, 2:5] = 1
        for name in ("images", "labels"):
            (root / name).mkdir(parents=True, exist_ok=True)
        values = (10.0 ** (k - first) * rng.normal(1, 0.2, shape) + offset).astype(np.float32)
        write_volume(root / "images" / f"v{k}.nii.gz", values, affine)
        write_volume(root / "labels" / f"v{k}.nii.gz", labels, affine)


def trains(tmp_path, *overrides):
    described = load_config(tmp_path / "c.yaml", [*TINY, "training.accelerator=cpu", *overrides])
    folder = train(described, tmp_path / "run", quiet=True)
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    return folder


class TestRaster:
    def test_one_scene_with_polygons_is_cut_into_blocks_and_trains(self, config, tmp_path):
        raster(tmp_path / "s.tif", scene(0, 4), nodata=0)
        x, y = 500000, 9000000
        boxes = [
            shapely.box(x + 30 * i, y - 30 * (j + 1), x + 30 * (i + 1), y - 30 * j) for i, j in ((0, 0), (1, 0), (3, 3))
        ]
        gpd.GeoDataFrame(geometry=boxes, crs="EPSG:32736").to_file(tmp_path / "f.gpkg")
        found, text, out = config("raster", "--images", "s.tif", "--labels", "f.gpkg")
        assert found.data.split.by == "block"
        assert found.data.window == 16
        assert found.data.bands == [1, 2, 3, 4]
        assert found.data.classes == ["background", "field", "boundary"]  # two of three touch
        assert found.method[0].name == "kms"
        assert "1 scene of 96 x 96 px, EPSG:32736, pixels of 3 x 3 m" in out
        assert "nodata 0" in out
        assert "  images: [s.tif]" in text
        trains(tmp_path)

    def test_several_scenes_with_named_classes_and_rare_ones(self, config, tmp_path):
        labels = np.zeros((96, 96), np.uint8)
        labels[0, :9] = 1
        for k in range(4):
            raster(tmp_path / "img" / f"s{k}.tif", scene(k))
            path = raster(tmp_path / "lab" / f"s{k}.tif", labels)
            with rasterio.open(path, "r+") as dst:
                dst.update_tags(class_names="sea, land")
        found, text, out = config("raster", "--images", "img/*.tif", "--labels", "lab")
        assert found.data.classes == ["sea", "land"]
        assert found.data.split.by == "source"
        assert found.data.window == 96
        assert "warning: classes with less than 1 % of the labels: land (0.098 %)" in out
        assert "#   - classes with less than 1 %" in text

    def test_categories_beside_a_raster_name_its_classes(self, config, tmp_path):
        raster(tmp_path / "s.tif", scene(0))
        raster(tmp_path / "l.tif", mask(0))
        (tmp_path / "l.tif.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>forest</Category><Category>clear cut'
            "</Category></CategoryNames></PAMRasterBand></PAMDataset>"
        )
        found, _, _ = config("raster", "--images", "s.tif", "--labels", "l.tif")
        assert found.data.classes == ["forest", "clear cut"]

    def test_mixed_bands_crs_and_pixels_are_warned_of_and_common_bands_taken(self, config, tmp_path):
        for k, (bands, crs, pixel) in enumerate([(4, "EPSG:32736", 3), (3, "EPSG:32735", 10), (4, "EPSG:32736", 3)]):
            raster(tmp_path / "img" / f"s{k}.tif", scene(k, bands), crs, pixel)
            raster(tmp_path / "lab" / f"s{k}.tif", mask(k), crs, pixel)
        found, _, out = config("raster", "--images", "img/*.tif", "--labels", "lab/*.tif")
        assert found.data.bands == [1, 2, 3]
        assert "different numbers of bands (4 bands (2), 3 bands (1); s1.tif has 3)" in out
        assert "different CRS: EPSG:32736 (2), EPSG:32735 (1)" in out
        assert "pixels are of different sizes, 3 to 10 m" in out

    def test_labels_on_another_grid_are_named_all(self, refused, tmp_path):
        for k in range(4):
            raster(tmp_path / "img" / f"s{k}.tif", scene(k))
            raster(tmp_path / "lab" / f"s{k}.tif", mask(k), pixel=3.0 if k == 1 else 3.5)
        line = refused("raster", "--images", "img/*.tif", "--labels", "lab")
        assert "s0.tif: not on the grid of its scene" in line
        assert "and 2 more: s2.tif, s3.tif" in line

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--images", "s.tif"], "--labels: is missing"),
            (["--labels", "l.tif"], "--images: is missing"),
            (["--images", "s.tif", "--labels", "none"], "--labels none: no such file"),
            (["--images", "none/*.tif", "--labels", "l.tif"], "the pattern matches no file"),
            (["--images", "s.tif", "--labels", "none/*.tif"], "the pattern matches nothing"),
            (["--images", "bad.tif", "--labels", "l.tif"], "not a raster"),
            (["--images", "plain.tif", "--labels", "l.tif"], "has no CRS"),
            (["--folder", "."], "no images/ with labels/ or masks/"),
            (["--folder", "none"], "--folder none: no such folder"),
            (["s.tif", "--labels", "l.tif"], "images are given with --images"),
            (["--images", "s.tif", "--labels", "grey.tif"], "255 means unknown"),
        ],
    )
    def test_what_cannot_train_is_one_line(self, refused, tmp_path, arguments, words):
        raster(tmp_path / "s.tif", scene(0))
        raster(tmp_path / "l.tif", mask(0))
        raster(tmp_path / "grey.tif", mask(0) * np.uint8(255))
        raster(tmp_path / "plain.tif", scene(0), crs=None)
        (tmp_path / "bad.tif").write_bytes(b"II*\0 nothing")
        assert words in refused("raster", *arguments)


class TestImages:
    def test_slices_of_patients_stay_together_and_it_trains(self, config, tmp_path):
        names = [f"p{p}_z{z}" for p in range(4) for z in range(2)]
        pictures(tmp_path, names)
        found, text, out = config("images", "--images", "imgs/*.png", "--labels", "masks")
        assert re.search(found.data.split.group, "p3_z1")[1] == "p3"
        assert "a guess: 8 names share 4 beginnings" in text
        assert found.data.window == 32
        assert "8 images of 40 x 48 px, 3 channels of uint8" in out
        regions = yaml.safe_load((trains(tmp_path) / "prepared.json").read_text())
        parts = {
            part: {regions["sources"][r[0]].rpartition("_")[0] for r in boxes}
            for part, boxes in regions["regions"].items()
        }
        assert not parts["train"] & parts["val"]

    def test_images_without_labels_are_left_out_and_the_rest_trains(self, config, tmp_path):
        pictures(tmp_path, [f"i{k}" for k in range(5)])
        (tmp_path / "masks" / "i2.png").unlink()
        found, _, out = config("images", "--images", "imgs/*.png", "--labels", "masks/*.png")
        assert "warning: 1 images without labels are left out: i2.png" in out
        assert [path.rpartition("/")[2] for path in found.data.images] == ["i0.png", "i1.png", "i3.png", "i4.png"]
        trains(tmp_path)

    def test_a_pattern_that_the_shell_expanded_becomes_one_again(self, config, tmp_path):
        pictures(tmp_path, [f"i{k}" for k in range(4)])
        files = [f"imgs/i{k}.png" for k in range(4)]
        _, text, _ = config("images", "--images", *files, "--labels", "masks")
        assert "  images: [imgs/*.png]" in text
        (tmp_path / "c.yaml").unlink()
        _, text, _ = config("images", "--images", *files[:3], "--labels", "masks")
        assert "  images: [imgs/i0.png, imgs/i1.png, imgs/i2.png]" in text

    def test_a_table_gives_images_and_parts(self, config, tmp_path):
        pictures(tmp_path, [f"i{k}" for k in range(4)])
        rows = [f"imgs/i{k}.png,masks/i{k}.png,{part}" for k, part in enumerate(["train", "train", "val", "test"])]
        (tmp_path / "t.csv").write_text("\n".join(["image,label,split", *rows]))
        found, text, _ = config("images", "--labels", "t.csv")
        assert found.data.split.by == "table"
        assert "  images: [imgs/*.png]" in text
        assert "train 2, val 1, test 1" in text

    def test_brackets_in_a_name_are_no_pattern(self, config, tmp_path):
        pictures(tmp_path, ["a[1]", "a1", "b", "c"])
        (tmp_path / "masks" / "a1.png").unlink()
        found, _, _ = config("images", "--images", "imgs/*.png", "--labels", "masks")
        assert len(found.data.images) == 3

    def test_grey_masks_are_refused_with_what_to_do(self, refused, tmp_path):
        pictures(tmp_path, ["a", "b", "c"], value=255)
        line = refused("images", "--images", "imgs/*.png", "--labels", "masks")
        assert "labels hold only 0, 255" in line
        assert "segnoise init fundus --folder" in line

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda root: picture(root / "masks" / "a.png", mask(0, (40, 40))), "the mask is 40 x 40 px but its image"),
            (lambda root: picture(root / "imgs" / "b.png", mask(0, (40, 48))), "bands"),
            (lambda root: picture(root / "masks" / "a.png", np.zeros((40, 48, 3), np.uint8)), "a mask with 3 bands"),
            (lambda root: (root / "imgs" / "a.png").write_bytes(b"no"), "not a raster"),
            (lambda root: [path.unlink() for path in (root / "masks").iterdir()], "none of the 4 images has labels"),
        ],
    )
    def test_what_cannot_train_is_one_line(self, refused, tmp_path, spoil, words):
        pictures(tmp_path, "abcd")
        spoil(tmp_path)
        assert words in refused("images", "--images", "imgs/*.png", "--labels", "masks")


class TestVolume:
    def test_mr_like_volumes_are_scaled_each_and_train(self, config, tmp_path):
        volumes(tmp_path)
        found, text, out = config("volume", "--folder", ".")
        assert found.data.window == (16, 16, 12)
        assert found.data.scaling.per == "image"
        assert "a guess: no common unit, as in MR; means of volumes 0.9" in text
        assert found.data.spacing is None
        assert found.data.split.by == "source"
        assert "4 volumes of 20 x 18 x 12 voxels, axes LAS, voxels of 1 x 1.5 x 3 mm" in out
        trains(tmp_path)

    def test_hounsfield_units_are_scaled_together(self, config, tmp_path):
        volumes(tmp_path, 3, offset=-1000.0)
        found, _, _ = config("volume", "--images", "images/*.nii.gz", "--labels", "labels")
        assert found.data.scaling.per == "set"

    def test_mixed_spacing_and_orientation_are_told_and_settled(self, config, tmp_path):
        volumes(tmp_path, 3)
        volumes(tmp_path, 2, affine=np.diag([2.0, 1.5, 3.0, 1.0]), first=5)
        found, _, out = config("volume", "--folder", ".")
        assert found.data.spacing == (1.0, 1.5, 3.0)
        assert "voxels are of different sizes, 1 to 2 x 1.5 x 3 mm" in out
        assert "different orientations: LAS (3), RAS (2); all are turned to RAS" in out

    def test_thin_volumes_are_cut_into_slices(self, config, tmp_path):
        volumes(tmp_path, shape=(30, 33, 6))
        found, _, _ = config("volume", "--folder", ".")
        assert found.data.slices.axis == 2
        assert found.data.window == (24, 32)
        trains(tmp_path)

    def test_an_nnunet_folder_brings_classes_and_names(self, config, tmp_path):
        root = tmp_path / "Dataset001_X"
        volumes(root)
        for name in ("images", "labels"):
            (root / name).rename(root / f"{name}Tr")
        for path in (root / "imagesTr").iterdir():
            path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))
        (root / "dataset.json").write_text(
            '{"channel_names": {"0": "MR"}, "labels": {"nothing": 0, "liver": 1}, "file_ending": ".nii.gz"}'
        )
        found, text, _ = config("volume", "--folder", "Dataset001_X")
        assert "  images: [Dataset001_X/dataset.json]" in text
        assert found.data.classes == ["nothing", "liver"]
        assert found.data.labels is None
        trains(tmp_path)

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda root: [path.unlink() for k in (1, 2, 3) for path in (root / "images").glob(f"v{k}*")], "only one volume"),
            (
                lambda root: write_volume(root / "labels" / "v1.nii.gz", np.ones((20, 18, 12)), np.eye(4), overwrite=True),
                "v1.nii.gz: not on the grid of its image",
            ),
            (lambda root: (root / "images" / "v2.nii.gz").write_bytes(b"no"), "v2.nii.gz"),
        ],
    )  # fmt: skip
    def test_what_cannot_train_is_one_line(self, refused, tmp_path, spoil, words):
        volumes(tmp_path)
        spoil(tmp_path)
        assert words in refused("volume", "--images", "images/*.nii.gz", "--labels", "labels")


class TestFundus:
    @pytest.mark.parametrize(
        ("write", "layout", "classes"),
        [
            (fundus_trees.write_chase, "chase", ["background", "vessel"]),
            (fundus_trees.write_refuge, "refuge", ["background", "rim", "cup"]),
            (fundus_trees.write_drive, "drive", ["background", "vessel"]),
        ],
    )
    def test_public_layouts_are_known(self, config, tmp_path, write, layout, classes):
        write(tmp_path / "set")
        found, _, out = config("fundus", "--folder", "set")
        assert (found.data.layout, found.data.classes) == (layout, classes)
        assert found.data.derive_fov == (layout != "drive")
        if layout == "refuge":
            assert found.data.split.by == "table"
            assert "1 images without labels are left out" in out

    def test_black_and_white_masks_get_a_table_and_train(self, config, tmp_path):
        fundus_trees.write_plain(tmp_path / "set", black_and_white=True)
        found, text, out = config("fundus", "--folder", "set")
        assert found.data.layout == "plain"
        assert found.data.values == {0: 0, 255: 1}
        assert "a guess: the grey values of the masks" in text
        assert "grey values 0, 255; see data.values" in out
        trains(tmp_path)

    def test_class_indices_need_no_table(self, config, tmp_path):
        fundus_trees.write_plain(tmp_path / "set", fov=True)
        found, _, _ = config("fundus", "--folder", "set")
        assert found.data.values is None
        assert found.data.derive_fov is False

    def test_what_is_no_set_is_one_line(self, refused, tmp_path):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "a.txt").write_text("")
        assert "it holds 1 .txt" in refused("fundus", "--folder", "set")
        assert "--folder: is missing" in refused("fundus")
        assert "given as its folder" in refused("fundus", "--images", "a.png", "--folder", "set")


class TestOct:
    def test_duke(self, config, tmp_path):
        oct_trees.write_duke(tmp_path)
        found, _, out = config("oct", "--folder", ".")
        assert (found.data.layout, found.data.classes) == ("duke", ["background", "fluid"])
        assert found.data.window == (40, 24)
        assert "6 labelled B-scans of 40 x 24 px from 3 volumes" in out
        trains(tmp_path)

    def test_retouch(self, config, tmp_path):
        for k in range(3):
            oct_trees.write_retouch(tmp_path / "set", "Cirrus", f"TRAIN00{k}", (3, 32, 24), "uint8")
        oct_trees.write_retouch(tmp_path / "set", "Cirrus", "TEST001", (2, 32, 24), "uint8", reference=False)
        found, _, out = config("oct", "--folder", "set")
        assert found.data.layout == "retouch"
        assert found.data.classes[0] == "background"
        assert len(found.data.classes) == 4
        assert "warning: 2 images without labels are left out" in out

    def test_bscans(self, config, refused, tmp_path):
        for v in "abc":
            for k in range(2):
                picture(tmp_path / "set" / "images" / v / f"{k}.png", mask(k, (32, 40), 255))
                picture(tmp_path / "set" / "masks" / v / f"{k}.png", mask(k, (32, 40), 3))
        found, _, _ = config("oct", "--folder", "set")
        assert (found.data.layout, found.data.classes) == ("bscans", ["background", "class_1", "class_2"])
        (tmp_path / "c.yaml").unlink()
        for path in (tmp_path / "set" / "masks").rglob("*.png"):
            picture(path, mask(0, (32, 40)) * np.uint8(255))
        assert "255 means unknown" in refused("oct", "--folder", "set")

    def test_olives_learns_from_labels_of_images_in_whole_bscans(self, config, tmp_path):
        oct_trees.write_olives(tmp_path / "set")
        found, _, out = config("oct", "--folder", "set")
        assert found.data.layout == "olives"
        assert found.data.classes == ["background", "IR HRF", "Fluid (IRF)"]
        assert found.data.window == 16 or found.data.window == (16, 16)
        assert found.method[0].name == "image_labels"
        assert "no pixel is labelled" in out

    def test_what_is_no_set_is_one_line(self, refused, tmp_path):
        (tmp_path / "set").mkdir()
        assert "no Subject_*.mat (Duke)" in refused("oct", "--folder", "set")


def test_what_readers_say_of_a_file_is_shown_once(tmp_path):
    raster(tmp_path / "s.tif", scene(0))
    raster(tmp_path / "l.tif", mask(0, classes=3), nodata=0)
    command = [sys.executable, "-m", "segnoise", "init", "raster", "--images", "s.tif", "--labels", "l.tif"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.count("declares 0 as nodata") == 1
    assert "nowhere in the labels: background" in done.stdout
    assert (tmp_path / "raster.yaml").is_file()


class TestScenes:
    def test_generated_scenes_get_noise(self, config, refused, tmp_path):
        found, _, _ = config("scenes")
        assert found.noise.spec == "kms(0.3)"
        assert found.data.split.by == "block"
        (tmp_path / "c.yaml").unlink()
        assert "take none" in refused("scenes", "--labels", "a.gpkg")


class TestOutput:
    def test_an_existing_output_is_refused_unless_asked(self, run, tmp_path):
        assert run("scenes")[0] == 0
        (tmp_path / "scenes.yaml").write_text("mine")
        code, _, err = run("scenes")
        assert code == 1
        assert "scenes.yaml: already exists" in err
        assert (tmp_path / "scenes.yaml").read_text() == "mine"
        assert run("scenes", "--overwrite")[0] == 0
        assert (tmp_path / "scenes.yaml").read_text().startswith("# Written by `segnoise init scenes`")

    def test_paths_hold_when_the_configuration_lies_elsewhere(self, run, tmp_path):
        pictures(tmp_path, "abcd")
        (tmp_path / "conf").mkdir()
        code, out, err = run("images", "--images", "imgs/*.png", "--labels", "masks", "-o", "conf/x.yaml", "--quiet")
        assert (code, out, err.strip()) == (0, "", "")
        data = load_config(tmp_path / "conf" / "x.yaml").data
        assert "../imgs/*.png" in (tmp_path / "conf" / "x.yaml").read_text()
        assert data.images[0].endswith("conf/../imgs/*.png")

    def test_every_commented_line_of_a_real_file_can_be_taken_in(self, config, tmp_path):
        volumes(tmp_path)
        plain, text, _ = config("volume", "--folder", ".")
        pattern = re.compile(r"^(\s*)# (\w+): ", re.MULTILINE)
        (tmp_path / "all.yaml").write_text(pattern.sub(r"\1\2: ", text))
        assert len(pattern.findall(text)) > 20
        assert load_config(tmp_path / "all.yaml") == plain


def test_help_is_quick_and_loads_no_heavy_library():
    code = (
        "import sys\nfrom segnoise.cli import main\nsys.argv = ['segnoise', 'init', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('loaded:', *sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    text, _, loaded = output.rpartition("loaded:")
    assert "Example: segnoise init raster" in text
    heavy = ("torch", "rasterio", "geopandas", "pandas", "scipy", "nibabel", "monai")
    assert [name for name in heavy if name in loaded.split()] == []


def test_real_volumes_are_seen_as_their_description_says(config, shared_data):
    found, _, out = config("volume", "--folder", shared_data / "hippocampus")
    assert found.data.scaling.per == "image"
    assert len(found.data.classes) == 3
    assert "100 volumes" in out
