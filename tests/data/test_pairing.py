from __future__ import annotations

from pathlib import Path

import pytest

from segnoise.data import Pair, find_images, pair_labels, read_table
from segnoise.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ["img/s1.tif", "img/s2.tif", "img/s10.tif", "lab/s1.tif", "lab/s2.gpkg", "lab/s10.tif", "all.gpkg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths):
    return [path.name for path in paths]


class TestFindImages:
    def test_matches_are_in_natural_order_and_patterns_in_their_own(self, folder):
        assert names(find_images(["img/s1*.tif", "img/*.tif"], folder)) == ["s1.tif", "s10.tif", "s2.tif"]
        assert names(find_images(["img/*.tif"], folder)) == ["s1.tif", "s2.tif", "s10.tif"]
        assert names(find_images([str(folder / "**/s2.tif")], "elsewhere")) == ["s2.tif"]

    def test_a_folder_named_like_a_pattern_is_searched_as_it_is(self, tmp_path):
        odd = tmp_path / "a[1]"
        odd.mkdir()
        (odd / "x.tif").touch()
        assert names(find_images(["*.tif"], odd)) == ["x.tif"]

    @pytest.mark.parametrize(
        ("patterns", "said"),
        [
            (["img/*.png"], r"img/\*\.png: the pattern matches no file"),
            (["img/s3.tif"], r"s3\.tif: no such file"),
            (["img"], r"img: is a folder; give a pattern such as img/\*\.tif"),
            ([], "list is empty"),
        ],
    )
    def test_what_finds_nothing_is_named(self, folder, patterns, said):
        with pytest.raises(UserError, match=said):
            find_images(patterns, folder)


class TestPairLabels:
    @pytest.fixture
    def images(self, folder):
        return find_images(["img/*.tif"], folder)

    @pytest.mark.parametrize("labels", ["lab", "lab/*", ["lab/*"], ["lab/s2.gpkg", "lab/s10.tif", "lab/s1.tif"]])
    def test_stems_decide_in_folders_patterns_and_lists(self, folder, images, labels):
        assert names(pair_labels(images, labels, folder)) == ["s1.tif", "s2.gpkg", "s10.tif"]

    @pytest.mark.parametrize("labels", ["all.gpkg", ["all.gpkg"]])
    def test_one_vector_file_serves_all(self, folder, images, labels):
        assert pair_labels(images, labels, folder) == [folder / "all.gpkg"] * 3

    def test_a_list_of_other_names_goes_by_order(self, folder, images):
        for name in "cab":
            (folder / f"{name}.tif").touch()
        assert names(pair_labels(images, ["c.tif", "a.tif", "b.tif"], folder)) == ["c.tif", "a.tif", "b.tif"]
        with pytest.raises(UserError, match=r"2 label files for 3 images; .*s10\.tif is the first without"):
            pair_labels(images, ["c.tif", "a.tif"], folder)

    def test_one_raster_cannot_serve_several_images(self, folder, images):
        assert pair_labels(images[:1], "lab/s1.tif", folder) == [folder / "lab/s1.tif"]
        with pytest.raises(UserError, match="1 label files for 3 images"):
            pair_labels(images, "lab/s1.tif", folder)

    def test_an_image_without_label_is_named(self, folder, images):
        (folder / "lab/s10.tif").unlink()
        for labels in ["lab", "lab/s*"]:
            with pytest.raises(UserError, match=r"no label for the image .*img/s10\.tif"):
                pair_labels(images, labels, folder)

    def test_two_labels_for_an_image_are_named(self, folder, images):
        (folder / "lab/s1.gpkg").touch()
        with pytest.raises(UserError, match=r"two labels for the image .*s1\.tif: s1\.\w+ and s1\.\w+"):
            pair_labels(images, "lab", folder)

    def test_files_beside_the_labels_do_not_count(self, folder, images):
        for suffix in [".tif.aux.xml", ".dbf", ".prj"]:
            (folder / f"lab/s1{suffix}").touch()
        assert names(pair_labels(images, "lab", folder)) == ["s1.tif", "s2.gpkg", "s10.tif"]

    def test_two_images_of_one_stem_do_not_share_a_label(self, folder, images):
        (folder / "more").mkdir()
        (folder / "more/s1.tif").touch()
        with pytest.raises(UserError, match="would share a label"):
            pair_labels([*images, folder / "more/s1.tif"], "lab", folder)

    @pytest.mark.parametrize("labels", ["absent.gpkg", "lab/*.png", ["absent.gpkg"]])
    def test_absent_labels_are_named(self, folder, images, labels):
        with pytest.raises(UserError, match=r"absent\.gpkg|lab/\*\.png"):
            pair_labels(images, labels, folder)


class TestTable:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "table.csv"
        path.write_text(text, encoding="utf-8-sig")
        return path

    def test_rows_are_relative_to_the_table_and_may_name_a_split(self, folder):
        path = self.write(folder, "label, image, split\nlab/s1.tif,img/s1.tif,val\nall.gpkg,img/s2.tif,\n")
        one, two = read_table(path)
        assert one == Pair(folder / "img/s1.tif", folder / "lab/s1.tif", "val")
        assert two.split is None
        images = find_images(["img/s2.tif", "img/s1.tif"], folder)
        assert names(pair_labels(images, "table.csv", folder)) == ["all.gpkg", "s1.tif"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("image;label\na;b\n", "no column 'image', only image;label"),
            ("", "no column 'image', only none"),
            ("image,label\n", "no rows"),
            ("image,label\nimg/s1.tif,\n", r"line 2: the image or the label is empty"),
            ("image,label\nimg/s7.tif,all.gpkg\n", r"line 2: .*s7\.tif: no such file"),
            ("image,label,split\nimg/s1.tif,all.gpkg,vall\n", r"unknown split 'vall'; did you mean 'val'"),
            ("image,label\nimg/s1.tif,all.gpkg\nimg/../img/s1.tif,all.gpkg\n", "line 3: .* given twice"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, folder, text, said):
        with pytest.raises(UserError, match=said):
            read_table(self.write(folder, text))

    def test_an_image_the_table_lacks_is_named(self, folder):
        self.write(folder, "image,label\nimg/s1.tif,all.gpkg\n")
        with pytest.raises(UserError, match=r"no row for the image .*s2\.tif"):
            pair_labels(find_images(["img/*.tif"], folder), "table.csv", folder)

    def test_a_binary_file_is_refused(self, folder):
        (folder / "table.csv").write_bytes(b"image,label\n\xff\xfe\x00")
        with pytest.raises(UserError, match="not a CSV table"):
            read_table(folder / "table.csv")
