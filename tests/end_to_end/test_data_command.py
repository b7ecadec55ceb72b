"""The commands about public data sets as a user meets them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile

import pytest
import yaml

from segnoise.cli.datasets import data
from segnoise.data.manifest import manifests


@pytest.fixture
def run(capsys, monkeypatch):
    """Exit code, stdout and stderr of `segnoise data ...`, in this process."""
    from segnoise import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["segnoise", "data", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def fails(run):
    def check(*arguments, words):
        code, _, err = run(*arguments)
        lines = err.splitlines()
        assert (code, len(lines)) == (1, 1), err
        assert lines[0].startswith("error: ")
        for word in words:
            assert word in lines[0]

    return check


@pytest.fixture
def mine(tmp_path):
    """A manifest of one's own, of an archive on this disk."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("images/1.png", b"one")
    content = {
        "name": "mine", "title": "My set", "domain": "oct", "home": "https://example.org/mine", "licence": "CC0 1.0",
        "citation": "Me (2026)", "layout": None, "contents": "1 image", "classes": ["background", "thing"],
        "split": "none", "group": "image", "label_quality": "good",
        "files": [{
            "url": (tmp_path / "set.zip").as_uri(), "checksum_from": "me",
            "sha256": hashlib.sha256((tmp_path / "set.zip").read_bytes()).hexdigest(),
        }],
        "expected": [{"glob": "images/*.png", "count": 1}],
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


class TestList:
    def test_every_set_has_a_line_of_its_own(self, run):
        code, out, err = run("list")
        head, *lines = out.splitlines()
        assert (code, err) == (0, "")
        assert head.split() == ["name", "domain", "to", "be", "had", "licence", "read", "by", "title"]
        assert [line.split()[0] for line in lines] == list(manifests())
        assert len({line.index(manifests()[line.split()[0]].domain, len(line.split()[0])) for line in lines}) == 1

    def test_a_domain_narrows_it(self, run, fails):
        _, out, _ = run("list", "--domain", "oct")
        assert {line.split()[0] for line in out.splitlines()[1:]} == {
            name for name, manifest in manifests().items() if manifest.domain == "oct"
        }
        fails("list", "--domain", "octt", words=["--domain octt", "did you mean 'oct'"])


class TestShow:
    def test_it_tells_terms_split_and_traps(self, run):
        code, out, _ = run("show", "olives")
        shown = dict(line.split(": ", 1) for line in out.splitlines() if not line.startswith("expected"))
        assert code == 0
        assert shown["licence"].startswith("unknown, ask")
        assert "4 patients on both sides" in shown["split"]
        assert shown["read by"] == "oct/olives (tested on trees made from its description only)"

    @pytest.mark.parametrize("name", manifests())
    def test_every_set_can_be_shown_and_nothing_is_empty(self, run, name):
        code, out, _ = run("show", name)
        assert code == 0
        assert manifests()[name].citation in out
        assert all(line.split(": ", 1)[1].strip() for line in out.splitlines())
        assert "None" not in out

    def test_a_wrong_name_is_one_line(self, fails):
        fails("show", "refug", words=["'refug'", "did you mean 'refuge'"])
        fails("show", "nowhere.yaml", words=["nowhere.yaml: no such file"])


class TestFetchAndVerify:
    def test_a_set_of_ones_own_comes_and_is_whole(self, run, mine, tmp_path):
        code, out, _ = run("fetch", mine, "-o", tmp_path / "set")
        assert code == 0
        assert out.splitlines()[0] == "My set; licence: CC0 1.0"
        assert out.splitlines()[-1] == f"{tmp_path / 'set'}: 1 files of 1; cite: Me (2026)"
        code, out, err = run("verify", mine, tmp_path / "set")
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "ok    images/*.png: 1 of 1",
            "ok    set.zip: its checksum",
            f"{tmp_path / 'set'}: as its manifest describes mine",
        ]

    def test_what_is_missing_is_said_with_exit_1(self, run, mine, tmp_path):
        run("fetch", mine, "-o", tmp_path / "set", "--quiet")
        (tmp_path / "set" / "images" / "1.png").unlink()
        code, out, err = run("verify", mine, tmp_path / "set")
        assert code == 1
        assert out.splitlines()[0] == "WRONG images/*.png: 0 of 1"
        assert err.splitlines() == [
            f"error: {tmp_path / 'set'}: 1 of 2 checks of mine fail (images/*.png: 0 of 1); "
            "compare with `segnoise data show mine`"
        ]

    def test_quiet_says_nothing(self, run, mine, tmp_path):
        assert run("fetch", mine, "-o", tmp_path / "set", "--quiet") == (0, "", "")
        assert run("verify", mine, tmp_path / "set", "--quiet") == (0, "", "")

    def test_a_set_behind_a_form_says_what_to_do(self, fails, tmp_path):
        words = ["drive: make an account", "https://drive.grand-challenge.org/", "segnoise data verify drive"]
        fails("fetch", "drive", "-o", tmp_path / "set", "--quiet", words=words)

    def test_a_file_without_checksum_needs_trust(self, fails, mine, tmp_path):
        content = yaml.safe_load(mine.read_text())
        content["files"] = [{"url": content["files"][0]["url"]}]
        mine.write_text(yaml.safe_dump(content))
        fails("fetch", mine, "-o", tmp_path / "set", "--quiet", words=["nobody publishes a checksum", "--trust"])
        assert not (tmp_path / "set").exists()

    def test_the_terms_are_shown_before_anything_is_fetched(self, run, tmp_path):
        code, out, _ = run("fetch", "africa_field_boundaries", "-o", tmp_path / "set")
        assert code == 1  # nobody publishes a checksum
        assert "Planet NICFI participant licence" in out
        assert "never mirror them" in out


@pytest.mark.parametrize("command", [command.name for command in data.registered_commands])
def test_every_command_has_help_with_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Example:" in out
    assert f"segnoise data {command}" in " ".join(out.replace("│", " ").split())


def test_the_group_shows_its_commands(run):
    _, out, _ = run("--help")
    assert all(word in out for word in ("list", "show", "fetch", "verify"))


def test_listing_loads_no_heavy_library():
    code = (
        "import sys\nfrom segnoise.cli import main\nsys.argv = ['segnoise', 'data', 'list']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('loaded:', *sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = output.rpartition("loaded:")[2].split()
    assert "segnoise.data.manifest" in loaded
    assert [name for name in ("torch", "rasterio", "pandas", "scipy", "pooch") if name in loaded] == []
