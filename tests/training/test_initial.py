"""A first configuration: what is chosen of what is seen, how it is written, and that every line of it is true."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.config import KINDS, make_config
from segnoise.data import ArraySource, block_split, source_split
from segnoise.errors import UserError
from segnoise.training.initial.begin import DRAFTS
from segnoise.training.initial.brightness import look_at
from segnoise.training.initial.dealing import FRACTIONS, deal
from segnoise.training.initial.draft import Choice, Files
from segnoise.training.initial.effort import block_window, box_window, first_effort, square_window
from segnoise.training.initial.grouping import guess_group
from segnoise.training.initial.labelcount import see_classes
from segnoise.training.initial.writing import commented_yaml, values_of

COMMENTED = re.compile(r"^(\s*)# (\w+): ")
NEEDED = {
    "raster": {"images": Choice(["a.tif"], ""), "labels": Choice("b.tif", "")},
    "images": {"images": Choice(["a.png"], ""), "labels": Choice("b", ""), "classes": Choice(["a", "b"], "")},
    "volume": {"images": Choice(["a.nii"], ""), "labels": Choice("b", ""), "classes": Choice(["a", "b"], "")},
    "fundus": {"folder": Choice("a", "")},
    "oct": {"folder": Choice("a", "")},
    "video": {"folder": Choice("a", ""), "classes": Choice(["a", "b"], "")},
    "scenes": {},
}


def minimal(kind):
    """Choices with one key in every section, and nothing else that is not needed."""
    by = "block" if kind in ("raster", "scenes") else "source"
    sections = {"split": {"by": Choice(by, "why: so")}, "scaling": {"per": Choice("set", "")}}
    return {
        "data": {"kind": Choice(kind, ""), **NEEDED[kind], **sections},
        "network": {"name": Choice("BasicUNet", "")},
        "method": {"name": Choice("kms", "")},
        "training": {"epochs": Choice(50, "")},
    }


def uncommented(text, wanted=lambda line: True):
    return "\n".join(
        COMMENTED.sub(r"\1\2: ", line) if COMMENTED.match(line) and wanted(line) else line for line in text.splitlines()
    )


class TestWriting:
    def test_there_is_a_draft_for_every_kind_of_data(self):
        assert list(DRAFTS) == list(KINDS)

    @pytest.mark.parametrize("kind", KINDS)
    def test_each_commented_key_alone_and_all_together_change_nothing(self, kind):
        text = commented_yaml(minimal(kind), ["Seen:", "", "  - a: b"])
        body = text.split("\n\n", 1)[1]
        plain = make_config(yaml.safe_load(body))
        lines = [line for line in body.splitlines() if COMMENTED.match(line)]
        assert len(lines) > 20
        for line in lines:
            assert make_config(yaml.safe_load(uncommented(body, lambda one, line=line: one is line))) == plain, line
        assert make_config(yaml.safe_load(uncommented(body))) == plain
        assert make_config(yaml.safe_load(uncommented(text))) == plain  # the preface holds no line like a key

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_key_of_every_section_is_there_once(self, kind):
        body = yaml.safe_load(uncommented(commented_yaml(minimal(kind), [])))
        config = make_config(body)
        assert sorted(body) == sorted(type(config).model_fields)
        assert sorted(body["data"]) == sorted(type(config.data).model_fields)
        for section in ("split", "scaling"):
            assert sorted(body["data"][section]) == sorted(type(getattr(config.data, section)).model_fields)
        assert sorted(body["training"]) == sorted(type(config.training).model_fields)

    def test_what_is_chosen_is_what_is_read_and_its_reason_stands_beside_it(self):
        choices = minimal("raster")
        text = commented_yaml(choices, [])
        assert make_config(yaml.safe_load(text)) == make_config(values_of(choices))
        assert "    by: block   # why: so" in text.splitlines()

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1), min_size=1))
    def test_any_file_name_survives(self, names):
        choices = minimal("raster")
        choices["data"]["images"] = Choice(names, "seen")
        assert yaml.safe_load(commented_yaml(choices, []))["data"]["images"] == names

    def test_paths_are_written_from_where_the_configuration_lies(self, tmp_path, monkeypatch):
        (tmp_path / "runs").mkdir()
        monkeypatch.chdir(tmp_path)
        files = Files(tmp_path / "runs" / "a.yaml")
        assert files.written("imagery/**/*.tif") == "../imagery/**/*.tif"
        assert files.written("/data/a.tif") == "/data/a.tif"


class TestGroups:
    @pytest.mark.parametrize(
        ("names", "groups"),
        [
            (["Image_01L", "Image_01R", "Image_02L", "Image_02R", "Image_03L"], ["Image_01", "Image_02", "Image_03"]),
            (["patient1_slice1", "patient1_slice2", "patient2_slice1", "patient10_slice1"], ["1", "2", "10"]),
            (["a7-OD", "a7-OS", "a8-OD", "a9-OS"], ["a7", "a8", "a9"]),
            (["T33UUP_20200101", "T33UUP_20200702", "T33UVP_20200101", "T34ABC_20200101"], ["T33UUP", "T33UVP"]),
            (["sub-03_t1", "sub-03_t2", "sub-4_t1", "sub-51_t1"], ["sub-03", "sub-4", "sub-51"]),
        ],
    )
    def test_images_of_one_patient_stay_together(self, names, groups):
        pattern = guess_group(names).value
        found = {re.search(pattern, name)[1] for name in names}
        assert len(found) == 3
        assert all(any(one.endswith(group) for one in found) for group in groups)

    @pytest.mark.parametrize(
        "names",
        [
            [f"image_{k:03d}" for k in range(9)],  # one prefix for all
            [f"{k:02d}_training" for k in range(9)],  # every number its own
            ["00071198d059", "00ae65c1c663", "0121d6759c5a", "0287e7ee5b00"],
            ["p1_a", "p1_b", "p2_a", "p2_b"],  # too few patients to deal
            ["p1_a", "p2_b", "p3_c", "p3_d", "overview"],  # one is of nobody
        ],
    )
    def test_nothing_is_guessed_where_names_tell_nothing(self, names):
        assert guess_group(names) is None

    def test_the_guess_fits_the_names_of_slices(self):
        names = ["7L", "7R", "8L", "9L"]
        pattern = guess_group(names, sliced=True).value
        assert [re.search(pattern, f"{name}/012")[1] for name in names] == ["7", "7", "8", "9"]


class TestDealing:
    @given(st.integers(1, 30))
    def test_one_or_two_scenes_are_cut_and_more_are_dealt_whole(self, n):
        dealt = deal([f"s{k}" for k in range(n)], "scene", blocks=True)
        assert dealt.by == ("block" if n < 3 else "source")
        assert dealt.split["by"].value == dealt.by

    def test_two_volumes_leave_no_test_and_one_is_too_few(self):
        dealt = deal(["a", "b"], "volume", blocks=False)
        assert dealt.split["fractions"].value == {"train": 0.5, "val": 0.5, "test": 0.0}
        split = source_split(["a", "b"], dealt.split["fractions"].value, seed=0)
        assert sorted(map(len, split.values())) == [0, 1, 1]
        assert "nothing is left for a test" in dealt.warnings[0]
        with pytest.raises(UserError, match="only one volume"):
            deal(["a"], "volume", blocks=False)

    def test_parts_that_a_table_states_are_kept(self):
        assert deal(["a", "b"], "image", blocks=True, given=["train", "val"]).by == "table"
        assert deal(["a", "b"], "image", blocks=True, given=["train", None]).by == "block"
        assert deal(["a", "b", "c"], "image", blocks=True, given=["train", "test", "test"]).by == "source"

    def test_known_patients_count_and_not_their_images(self):
        with pytest.raises(UserError, match="only one"):
            deal(["a", "b", "c"], "B-scan", blocks=False, groups=["p", "p", "p"])
        assert deal(["a", "b", "c"], "B-scan", blocks=False, groups=["p", "q", "r"]).split.keys() == {"by"}


SHAPES = st.lists(st.tuples(st.integers(8, 2000), st.integers(8, 2000)), min_size=1, max_size=4)


class TestEffort:
    @given(SHAPES)
    def test_a_crop_fits_the_smallest_image(self, shapes):
        side = square_window(shapes).value
        smallest = min(min(shape) for shape in shapes)
        assert side % 16 == 0
        assert side <= max(16, smallest)

    @given(SHAPES, st.integers(0, 9))
    def test_blocks_can_always_be_dealt_or_it_is_said(self, shapes, seed):
        if sum(max(1, (a // 16) * (b // 16)) for a, b in shapes) < 3:
            with pytest.raises(UserError, match="cannot be split"):
                block_window(shapes, "scene")
            return
        side = block_window(shapes, "scene").value
        split = block_split(shapes, (side, side), FRACTIONS, seed)
        assert all(split[part] for part in FRACTIONS)

    @given(st.lists(st.tuples(*[st.integers(1, 600)] * 3), min_size=1, max_size=3))
    def test_a_box_fits_along_each_axis(self, shapes):
        value = box_window(shapes, 64).value
        box = [value] * 3 if isinstance(value, int) else value
        assert all(
            4 <= side <= 64 and side <= max(4, min(axis))
            for side, axis in zip(box, zip(*shapes, strict=True), strict=True)
        )

    @pytest.mark.parametrize(
        ("shapes", "window"),
        [([(256, 300)] * 24, 128), ([(20000, 20000)] * 3, 256), ([(512, 512, 300)] * 20, 64), ([(40, 40)], 16)],
    )
    def test_a_first_run_is_a_matter_of_minutes(self, shapes, window):
        effort = first_effort(shapes, window, 0.7, 0.15)
        samples = effort.samples.value if effort.samples else sum(
            np.prod([n // window for n in shape]) for shape in shapes
        )  # fmt: skip
        pixels = effort.epochs.value * samples * window ** len(shapes[0])
        seconds = pixels / (700_000 if len(shapes[0]) == 2 else 450_000)
        assert seconds < 600
        assert effort.epochs.value * samples / effort.batch_size.value >= 100  # steps

    def test_long_validation_is_warned_of(self):
        assert first_effort([(256, 256)] * 9, 128, 0.7, 0.15).warning is None
        assert "million pixels an epoch" in first_effort([(20000, 20000)] * 9, 256, 0.7, 0.15).warning


def counted(**counts):
    array = np.zeros(256, dtype=np.int64)
    for value, count in counts.items():
        array[int(value[1:])] = count
    return array


class TestClasses:
    def test_rare_and_absent_classes_are_warned_of(self):
        seen = see_classes(counted(_0=995, _1=4, _3=1), "masks")
        assert seen.names.value == ["background", "class_1", "class_2", "class_3"]
        assert "class_1 (0.4 %), class_3 (0.1 %)" in seen.warnings[0]
        assert "nowhere in the labels: class_2" in seen.warnings[1]
        assert "guess" in seen.names.why

    def test_names_that_a_file_has_are_taken(self):
        seen = see_classes(counted(_0=5, _1=5), "masks", ["sea", "land"], "a.tif")
        assert seen.names.value == ["sea", "land"]
        assert "names from a.tif" in seen.names.why
        with pytest.raises(UserError, match=r"value 2, but a\.tif names 2 classes"):
            see_classes(counted(_0=5, _2=5), "masks", ["sea", "land"], "a.tif")

    @pytest.mark.parametrize(
        ("counts", "message"),
        [
            (counted(_0=5), "only 0, so there is nothing to tell apart"),
            (counted(_255=5), "only 255"),
            (counted(_1=5, _255=5), "only 1, 255"),
            (counted(_0=5, _255=5), "only 0, 255.*; write 1"),
            (counted(_0=5, _64=1, _128=5, _254=5), "0, 64, 128, 254 look like grey values"),
        ],
    )
    def test_labels_that_teach_nothing_are_refused(self, counts, message):
        with pytest.raises(UserError, match=message):
            see_classes(counts, "masks", grey="write 1")

    def test_a_crowd_of_values_may_be_ids(self):
        assert "object ids" in see_classes(counted(**{f"_{k}": 5 for k in range(150)}), "masks").warnings[-1]


def test_statistics_are_those_of_numpy():
    rng = np.random.default_rng(0)
    images = rng.normal(50, 9, (3, 2, 40, 30)).astype(np.float32)
    seen = look_at([ArraySource(image) for image in images])
    assert seen.mean == pytest.approx(images.mean(axis=(0, 2, 3)), rel=1e-5)
    assert seen.deviation == pytest.approx(images.std(axis=(0, 2, 3)), rel=1e-5)
    assert (seen.low, seen.high) == (images.min(), images.max())
    assert seen.means == pytest.approx(images.mean(axis=(1, 2, 3)), rel=1e-5)
    assert look_at([ArraySource(np.full((1, 4, 4), np.nan))]) is None
