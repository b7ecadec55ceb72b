from __future__ import annotations

import sys

import numpy as np
import pytest

from segnoise.data.oct import heights_to_mask, read_vendor
from segnoise.data.oct.scan import Scan, scan_items
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.oct import oct_trees as trees

SCANS, ROWS, COLUMNS = 3, 32, 24
WHOLE = Window((0, 0), (ROWS, COLUMNS))


@pytest.fixture
def heights() -> np.ndarray:
    """Three boundaries, of which the last is missing in some columns of the middle scan."""
    heights = np.stack([trees.boundaries(3, COLUMNS, first=4 + k, gap=6) for k in range(SCANS)], axis=1)
    heights[2, 1, 5:9] = np.nan
    return heights


class TestHeidelbergVol:
    @pytest.fixture
    def path(self, tmp_path, heights):
        pytest.importorskip("eyepy", reason=".vol is read through eyepy")
        values = np.random.default_rng(0).random((SCANS, ROWS, COLUMNS)).astype(np.float32)
        values[1, 3, 4] = trees.MISSING
        given = np.full((17, SCANS, COLUMNS), trees.MISSING)
        given[[0, 2, 1]] = np.where(np.isnan(heights), trees.MISSING, heights)
        given[3] = 0
        return trees.write_vol(tmp_path / "1234.vol", values, given)

    def test_classes_lie_between_the_boundaries_the_file_has_from_top_to_bottom(self, path, heights):
        names, items = read_vendor(path)
        assert names == ["above ILM", "ILM to RNFL", "RNFL to BM", "below BM"]
        assert [(item.name, item.group) for item in items] == [(f"1234/{k}", "1234") for k in range(SCANS)]
        for k, item in enumerate(items):
            expected = heights_to_mask(heights[:, k].astype(np.float32), ROWS)
            assert np.array_equal(item.labels.read(WHOLE), expected)

    def test_heights_of_3_4e38_are_unknown(self, path):
        labels = read_vendor(path)[1][1].labels.read(WHOLE)
        assert (labels[-1, 5:9] == 255).all()
        assert (labels[0] == 0).all()

    def test_pixels_of_3_4e38_are_not_observed(self, path):
        source = read_vendor(path)[1][1].source
        values, observed = source.read(WHOLE)
        assert np.argwhere(~observed).tolist() == [[3, 4]]
        assert values[0, 3, 4] == 0
        assert values.max() > 200
        assert source.spacing == pytest.approx((0.0039, 0.0057))

    @pytest.mark.parametrize("size", [0, 1000, 5000])
    def test_a_file_cut_short_is_one_clear_line(self, path, size):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(UserError, match=r"1234\.vol: eyepy cannot read it"):
            read_vendor(path)

    def test_a_foreign_e2e_file_is_one_clear_line(self, tmp_path):
        pytest.importorskip("eyepy", reason=".e2e is read through eyepy")
        path = tmp_path / "a.e2e"
        path.write_bytes(bytes(range(256)) * 50)
        with pytest.raises(UserError, match=r"a\.e2e: eyepy cannot read it"):
            read_vendor(path)


def test_what_a_scan_lacks_is_unknown_and_what_it_never_segmented_is_left_out():
    values = np.zeros((1, 6, 3))
    values[0, 2, 1] = np.nan
    given = {"BM": [[4, 4, trees.MISSING]], "ILM": [[1, np.inf, 1]], "RNFL": [[0, 0, 0]], "GCL": [[trees.MISSING] * 3]}
    names, (item,) = scan_items(Scan("a", values, (1.0, 1.0), {k: np.array(v) for k, v in given.items()}))
    assert names == ["above ILM", "ILM to BM", "below BM"]
    assert item.labels.read(Window((0, 0), (6, 3))).T.tolist() == [
        [0, 1, 1, 1, 2, 2], [255, 255, 255, 255, 2, 2], [0, 255, 255, 255, 255, 255],
    ]  # fmt: skip
    assert np.argwhere(~item.source.read(Window((0, 0), (6, 3)))[1]).tolist() == [[2, 1]]


@pytest.mark.parametrize("suffix", [".vol", ".e2e", ".E2E"])
def test_without_eyepy_the_extra_is_named(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(sys.modules, "eyepy", None)
    path = tmp_path / f"a{suffix}"
    path.touch()
    with pytest.raises(UserError, match=r"need eyepy; pip install segnoise\[oct\]"):
        read_vendor(path)


class TestTopcon:
    @pytest.fixture
    def values(self):
        return np.random.default_rng(1).integers(0, 256, (SCANS, ROWS, COLUMNS)).astype(np.uint8)

    @pytest.fixture
    def path(self, tmp_path, values, heights):
        whole = np.round(np.nan_to_num(heights, nan=ROWS))
        names = ("MULTILAYERS_7", "MULTILAYERS_1", "CUSTOM")
        return trees.write_fda(tmp_path / "eye.fda", values, dict(zip(names, whole[[2, 0, 1]], strict=True)))

    def test_images_and_boundaries_are_those_written(self, path, values, heights):
        names, items = read_vendor(path)
        assert names == ["above ILM", "ILM to CUSTOM", "CUSTOM to BM", "below BM"]
        for k, item in enumerate(items):
            assert np.array_equal(item.source.read(WHOLE)[0][0], values[k])
            expected = heights_to_mask(np.round(np.nan_to_num(heights[:, k], nan=ROWS)), ROWS)
            assert np.array_equal(item.labels.read(WHOLE), expected)
            assert item.source.spacing == pytest.approx((0.0026, 6 / COLUMNS))

    def test_a_scan_without_boundaries_has_no_classes_and_no_labels(self, tmp_path, values):
        names, items = read_vendor(trees.write_fda(tmp_path / "bare.fda", values, {}))
        assert names == []
        assert {item.labels for item in items} == {None}

    @pytest.mark.parametrize("size", [0, 3, 20, 700, -60])
    def test_a_file_cut_short_is_one_clear_line(self, path, size):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(UserError, match=r"eye\.fda: not a Topcon"):
            read_vendor(path)

    def test_a_file_without_jpeg_scans_is_told(self, path):
        path.write_bytes(path.read_bytes().replace(b"@IMG_JPEG", b"@IMG_JPEX"))
        with pytest.raises(UserError, match="no B-scans as @IMG_JPEG"):
            read_vendor(path)


class TestCirrus:
    def test_the_shape_comes_from_the_name_and_scans_are_turned_upright(self, tmp_path):
        cube = np.random.default_rng(2).integers(0, 256, (SCANS, ROWS, COLUMNS)).astype(np.uint8)
        path = tmp_path / f"P1_Macular Cube {COLUMNS}x{SCANS}_1-1-2011_14-42-18_OS_sn44088_cube_z.img"
        path.write_bytes(cube.tobytes())
        names, items = read_vendor(path)
        assert names == []
        assert len(items) == SCANS
        for k, item in enumerate(items):
            assert np.array_equal(item.source.read(WHOLE)[0][0], np.rot90(cube[k], 2))
        assert items[0].source.spacing == pytest.approx((2 / (ROWS - 1), 6 / (COLUMNS - 1)))

    def test_a_name_without_shape_and_a_size_that_does_not_fit_are_told(self, tmp_path):
        path = tmp_path / "cube.img"
        path.write_bytes(bytes(100))
        with pytest.raises(UserError, match=r"cube\.img: the name does not say"):
            read_vendor(path)
        path = path.rename(tmp_path / "Cube 24x3.img")
        with pytest.raises(UserError, match="100 bytes are no 24 x 3 A-scans"):
            read_vendor(path)


def test_another_suffix_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(UserError, match=r"no device file that can be read; give one of .vol"):
        read_vendor(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.vol: no such file"):
        read_vendor(tmp_path / "a.vol")
