"""Packaged manifests are valid, say where they come from and invent nothing; a mistake in one is told in one line."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from segnoise.data import manifest as module
from segnoise.data.manifest import LAYOUTS, DataFile, find_manifest, manifests, read_manifest
from segnoise.errors import UserError

FOLDER = Path(module.__file__).parents[1] / "data_manifests"
NAMED_IN_THE_SPECIFICATIONS = set(
    """
africa_field_boundaries ai4boundaries aroi chase_db1 cvc_clinicvideodb deepseagrass dfc2020 drive dsb2018 duke_dme
dynamic_world_expert endovis_2017 endovis_2018 fields_of_the_world g1020 global_wetlands isic_2017 jsrt kvasir_seg
msd_hippocampus noldo_s12 oct5k octdl olives polypgen refuge retouch rim_one_dl ssl4eo_s12 stare sun_seg whu_buildings
""".split()  # noqa: SIM905
)
GOOD = {
    "name": "mine", "title": "Mine", "domain": "oct", "home": "https://example.org/mine", "licence": "CC0 1.0",
    "citation": "me", "layout": None, "contents": "1 image", "classes": ["background", "thing"], "split": "none",
    "group": "image", "label_quality": "good",
}  # fmt: skip

ALONE = f"""
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("alone", {module.__file__!r})
alone = importlib.util.module_from_spec(spec)
sys.modules["alone"] = alone
spec.loader.exec_module(alone)
start = time.process_time()
count = len(alone.manifests())
print(count, time.process_time() - start, "torch" in sys.modules or "numpy" in sys.modules)
"""


@pytest.fixture
def write(tmp_path):
    """Writes a good manifest with some keys changed or, by None as a whole, text as it is."""

    def write(text: str | None = None, drop: str = "", **changes) -> Path:
        path = tmp_path / "mine.yaml"
        content = {key: value for key, value in {**GOOD, **changes}.items() if key != drop}
        path.write_text(text if text is not None else yaml.safe_dump(content))
        return path

    return write


class TestPackaged:
    def test_every_file_is_a_manifest_under_its_own_name(self):
        files = sorted(FOLDER.glob("*.yaml"))
        assert [path.stem for path in files] == list(manifests())
        assert all(name == manifest.name for name, manifest in manifests().items())
        assert sorted(path.name for path in FOLDER.iterdir()) == [path.name for path in files]

    def test_all_sets_of_the_specifications_are_there(self):
        assert set(manifests()) >= NAMED_IN_THE_SPECIFICATIONS

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_a_layout_names_a_reader_that_exists(self, layout):
        path, _, reader = LAYOUTS[layout].partition(":")
        assert callable(getattr(importlib.import_module(path), reader))

    @pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if "/" in layout])
    def test_every_layout_of_a_reader_is_one_that_the_reader_knows(self, layout):
        kind, _, name = layout.partition("/")
        reader = importlib.import_module(LAYOUTS[layout].partition(":")[0])
        if kind == "fundus":
            with pytest.raises(UserError, match="holds"):  # not "no such layout"
                reader.read_fundus(FOLDER, layout=name)
        else:
            assert LAYOUTS[layout].endswith(f"read_{name}")

    def test_every_layout_is_used(self):
        assert {manifest.layout for manifest in manifests().values()} - {None} == set(LAYOUTS)

    def test_addresses_have_a_host_and_are_encrypted(self):
        for manifest in manifests().values():
            for url in [manifest.home, *(file.url for file in manifest.files)]:
                if url is not None:
                    parts = urlsplit(url)
                    assert parts.scheme == "https", url
                    assert "." in (parts.hostname or ""), url
                    assert not (parts.hostname or "").startswith("example."), url

    def test_no_address_is_of_two_sets(self):
        urls = [file.url for manifest in manifests().values() for file in manifest.files]
        assert len(set(urls)) == len(urls)
        homes = [manifest.home for manifest in manifests().values() if manifest.home is not None]
        assert sorted(home for home in homes if homes.count(home) > 1) == [
            manifests()[name].home for name in ("montgomery", "shenzhen")
        ]

    def test_an_unknown_licence_says_to_ask(self):
        for manifest in manifests().values():
            assert "unknown" not in manifest.licence or manifest.licence == "unknown, ask", manifest.name

    def test_only_a_set_at_hand_counts_as_tried_on_real_files(self, shared_data):
        tried = [name for name, manifest in manifests().items() if manifest.verified_on_real_files]
        assert tried == ["msd_hippocampus"]
        assert "Medical Segmentation Decathlon" in (shared_data / "hippocampus" / "SOURCE.md").read_text()

    def test_the_real_hippocampus_has_the_layout_its_manifest_names(self, shared_data):
        from segnoise.data.volume import open_volume

        manifest = manifests()["msd_hippocampus"]
        path = min((shared_data / "hippocampus" / "images").glob("*.nii.gz"))
        assert path.match(manifest.expected[0].glob.rpartition("/")[2])
        assert manifest.layout == "volume"
        assert 20 < min(open_volume(path).grid.shape) < max(open_volume(path).grid.shape) < 80

    def test_traps_of_splits_are_told(self):
        assert "4 patients" in manifests()["olives"].split
        assert "patient" in manifests()["olives"].group.lower()
        assert "no labels for the test" in manifests()["drive"].split

    def test_reading_all_takes_a_moment_and_no_library_of_arrays(self):
        done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
        count, seconds, heavy = done.stdout.split()
        assert int(count) == len(manifests())
        assert float(seconds) < 0.3
        assert heavy == "False"


class TestFind:
    def test_an_unknown_name_is_told_with_the_nearest(self):
        with pytest.raises(UserError, match="'chase': there is no such data set; did you mean 'chase_db1'"):
            find_manifest("chase")
        with pytest.raises(UserError, match="see `segnoise data list`"):
            find_manifest("qqqqqq")

    def test_a_file_of_ones_own_is_a_manifest(self, write):
        assert find_manifest(str(write())).title == "Mine"
        with pytest.raises(UserError, match="no such file"):
            find_manifest("nowhere.yaml")

    def test_the_mapping_given_out_is_a_copy(self):
        manifests().clear()
        assert "drive" in manifests()


class TestMistakes:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"licens": "x"}, "licens: unknown key; did you mean 'licence'"),
            ({"files": [{"url": "https://example.org/a.zip", "sha": "x"}]}, "files.0.sha: unknown key; did you mean"),
            ({"drop": "citation"}, "citation: this key is needed"),
            ({"drop": "home"}, "home: this key is needed"),
            ({"domain": "eyes"}, "domain: input should be 'land'"),
            ({"home": "http://example.org"}, "home: string should match"),
            ({"home": "https://localhost"}, "home: string should match"),
            ({"home": None}, "without a home, where must say where to look"),
            ({"name": "My Set"}, "name: string should match"),
            ({"layout": "fundus/drives"}, "layout: there is no layout 'fundus/drives'; did you mean 'fundus/drive'"),
            ({"verified_on_real_files": True}, "needs a layout"),
            ({"expected": [{"glob": "../*.png"}]}, "expected.0.glob: '../*.png' does not stay inside"),
            ({"expected": [{"glob": "/etc/*"}]}, "does not stay inside"),
            ({"expected": [{"glob": "*", "count": 0}]}, "expected.0.count: input should be greater"),
            ({"registration": {"kind": "form"}}, "registration: registration form needs to say how"),
            (
                {"registration": {"kind": "form", "how": "ask"}, "files": [{"url": "https://example.org/a.zip"}]},
                "files are for sets that need no registration",
            ),
            ({"files": [{"url": "https://example.org/a.zip"}] * 2}, "two files have the same name"),
            ({"files": [{"url": "ftp://example.org/a.zip"}]}, "files.0.url: string should match"),
            ({"files": [{"url": "https://example.org/"}]}, "'' is no file name"),
            ({"files": [{"url": "https://example.org/a", "name": "../b"}]}, "'../b' is no file name"),
            ({"files": [{"url": "https://example.org/a%2Fb"}]}, "is no file name"),
            ({"files": [{"url": "https://example.org/.bashrc"}]}, "is no file name"),
            ({"files": [{"url": "https://example.org/a", "into": "C:\\x"}]}, "does not stay inside"),
            ({"files": [{"url": "https://example.org/a", "md5": "x"}]}, "files.0.md5: string should match"),
            ({"files": [{"url": "https://example.org/a", "md5": "0" * 32}]}, "checksum_from goes with sha256 or md5"),
        ],
    )
    def test_a_mistake_is_one_line_with_the_key(self, write, changes, words):
        path = write(**changes)
        with pytest.raises(UserError) as caught:
            read_manifest(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert words in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: 1\nb: [1", "line [23]: not valid YAML"),
            ("- 1\n", "holds a list, not a mapping"),
            ("", "holds a NoneType"),
        ],
    )
    def test_what_is_no_mapping_is_told(self, write, text, words):
        with pytest.raises(UserError, match=words):
            read_manifest(write(text))


class TestFiles:
    def test_the_name_is_the_end_of_the_address(self):
        assert DataFile(url="https://example.org/data/TREX%20DME.zip?download=1").name == "TREX DME.zip"

    def test_sha256_goes_before_md5(self):
        file = DataFile(url="https://example.org/a", md5="0" * 32, sha256="1" * 64, checksum_from="me")
        assert file.checksum == "sha256:" + "1" * 64

    @pytest.mark.parametrize(
        ("files", "access"),
        [
            ([], "by hand"),
            ([{"url": "https://example.org/a"}], "direct, --trust"),
            ([{"url": "https://example.org/a", "md5": "0" * 32, "checksum_from": "me"}], "direct"),
        ],
    )
    def test_how_a_set_is_had_follows_from_its_files(self, write, files, access):
        assert read_manifest(write(files=files)).access == access
