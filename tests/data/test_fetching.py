"""Downloads are checked before they are used, over a real connection; what is wrong is one line and leaves nothing."""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
import yaml

from segnoise.data.fetching import ARCHIVES, LOCK, checksum_of, fetch, verify
from segnoise.data.manifest import Manifest, manifests
from segnoise.errors import UserError

GOOD = {"images/1.png": b"one", "images/2.png": b"two", "masks/1.png": b"uno", "masks/2.png": b"dos"}


class Server:
    """Serves a folder on this machine and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path == "/breaks.zip":  # promises more than comes
                    self.send_response(200)
                    self.send_header("Content-Length", "100000")
                    self.end_headers()
                    self.wfile.write(b"x" * 1000)
                elif self.path == "/busy.zip":
                    self.send_error(503)
                else:
                    super().do_GET()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    started = Server(folder)
    yield started
    started.close()


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(*files: dict, **changes) -> Manifest:
    return Manifest.model_validate(
        {
            "name": "mine", "title": "Mine", "domain": "oct", "home": "https://example.org/mine", "licence": "CC0 1.0",
            "citation": "me", "layout": None, "contents": "2 images", "classes": [], "split": "none",
            "group": "image", "label_quality": "good", "files": list(files), **changes,
        }
    )  # fmt: skip


def published(url: str, path: Path, **changes) -> dict:
    return {"url": url, "sha256": sha256(path), "checksum_from": "me", **changes}


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def archive(server) -> Path:
    return write_zip(server.folder / "set.zip", GOOD)


@pytest.fixture
def described(server, archive) -> Manifest:
    return manifest(
        published(f"{server.url}/set.zip", archive),
        expected=[{"glob": "images/*.png", "count": 2}, {"glob": "masks/*"}],
    )


class TestFetch:
    def test_an_archive_with_its_published_checksum_is_unpacked(self, described, tmp_path):
        (path,) = fetch(described, tmp_path / "new" / "set")
        folder = tmp_path / "new" / "set"
        assert path == folder / ARCHIVES / "set.zip"
        assert files_in(folder) == {*GOOD, f"{ARCHIVES}/set.zip", LOCK}
        assert (folder / "masks" / "2.png").read_bytes() == b"dos"

    def test_md5_counts_as_well(self, server, archive, tmp_path):
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        fetch(manifest({"url": f"{server.url}/set.zip", "md5": md5, "checksum_from": "me"}), tmp_path / "set")
        assert (tmp_path / "set" / "images" / "1.png").is_file()

    @pytest.mark.parametrize("kind", ["sha256", "md5"])
    def test_another_file_than_the_published_one_is_neither_kept_nor_unpacked(self, server, archive, tmp_path, kind):
        wrong = hashlib.new(kind, b"another").hexdigest()
        described = manifest({"url": f"{server.url}/set.zip", kind: wrong, "checksum_from": "me"})
        with pytest.raises(UserError, match="is not the file that was published") as caught:
            fetch(described, tmp_path / "set", trust=True)
        assert wrong in str(caught.value)
        assert "\n" not in str(caught.value)
        assert files_in(tmp_path / "set") == {LOCK}

    def test_nothing_is_fetched_twice(self, described, server, tmp_path):
        for _ in range(3):
            fetch(described, tmp_path / "set")
        assert server.asked == ["/set.zip"]

    def test_unpacked_data_stand_without_the_archive(self, described, server, tmp_path):
        (path,) = fetch(described, tmp_path / "set")
        path.unlink()
        fetch(described, tmp_path / "set")
        assert server.asked == ["/set.zip"]

    def test_an_archive_damaged_on_the_disk_before_it_was_unpacked_is_fetched_again(self, described, server, tmp_path):
        place = tmp_path / "set" / ARCHIVES / "set.zip"
        place.parent.mkdir(parents=True)
        (tmp_path / "set" / LOCK).write_text("name: mine\nfiles: {}\n")
        place.write_bytes(b"half")
        fetch(described, tmp_path / "set")
        assert server.asked == ["/set.zip"]
        assert (tmp_path / "set" / "images" / "1.png").is_file()

    def test_a_plain_file_is_put_where_it_belongs_and_not_unpacked(self, server, archive, tmp_path):
        (server.folder / "table.csv").write_text("a,b\n")
        described = manifest(
            published(f"{server.url}/table.csv", server.folder / "table.csv", into="tables"),
            published(f"{server.url}/set.zip?x=1", archive, name="kept.zip", unpack=False),
        )
        fetch(described, tmp_path / "set")
        assert files_in(tmp_path / "set") == {"tables/table.csv", "kept.zip", LOCK}

    def test_archives_of_one_name_go_into_their_own_folders(self, server, tmp_path):
        for name in ("a", "b"):
            (server.folder / name).mkdir()
            write_zip(server.folder / name / "x.zip", {f"{name}.txt": b""})
        described = manifest(
            *[published(f"{server.url}/{n}/x.zip", server.folder / n / "x.zip", into=n) for n in ("a", "b")]
        )
        fetch(described, tmp_path / "set")
        assert {"a/a.txt", "b/b.txt"} <= files_in(tmp_path / "set")

    def test_a_part_of_a_set_can_be_had(self, server, tmp_path):
        names = ["austria.zip", "austria_2.zip", "brazil.zip"]
        paths = [write_zip(server.folder / name, {f"{name}.txt": b""}) for name in names]
        described = manifest(*[published(f"{server.url}/{p.name}", p) for p in paths])
        fetch(described, tmp_path / "set", only=["austria*"])
        assert server.asked == ["/austria.zip", "/austria_2.zip"]
        fetch(described, tmp_path / "set", only=["brazil.zip"])
        assert server.asked[2:] == ["/brazil.zip"]
        with pytest.raises(UserError, match=r"no file matches chile\*; its files: austria.zip, austria_2.zip"):
            fetch(described, tmp_path / "set", only=["chile*"])

    def test_a_mirror_on_a_disk_serves_as_well(self, tmp_path):
        path = tmp_path / "a disk" / "set.tar.gz"
        path.parent.mkdir()
        with tarfile.open(path, "w:gz") as opened:
            info = tarfile.TarInfo("deep/1.png")
            info.size = 3
            opened.addfile(info, io.BytesIO(b"one"))
        fetch(manifest(published(path.as_uri(), path)), tmp_path / "set")
        assert (tmp_path / "set" / "deep" / "1.png").read_bytes() == b"one"

    def test_progress_reaches_the_size_of_each_file(self, described, archive, tmp_path):
        told = []
        fetch(described, tmp_path / "set", progress=lambda done, total: told.append((done, total)))
        size = archive.stat().st_size
        assert told[-1] == (size, size)
        assert all(0 <= done <= total == size for done, total in told)

    def test_it_says_nothing_by_itself(self, described, tmp_path, capfd, caplog):
        level = pooch.get_logger().level
        with caplog.at_level(logging.INFO):
            fetch(described, tmp_path / "set")
        assert capfd.readouterr() == ("", "")
        assert pooch.get_logger().level == level


class TestTrust:
    @pytest.fixture
    def unchecked(self, server, archive) -> Manifest:
        return manifest({"url": f"{server.url}/set.zip"})

    def test_without_a_published_checksum_nothing_is_asked_for(self, unchecked, server, tmp_path):
        with pytest.raises(UserError, match=r"nobody publishes a checksum of set.zip; look at https.* --trust"):
            fetch(unchecked, tmp_path / "set")
        assert server.asked == []
        assert not (tmp_path / "set").exists()

    def test_trust_records_what_was_seen(self, unchecked, server, archive, tmp_path):
        fetch(unchecked, tmp_path / "set", trust=True)
        lock = yaml.safe_load((tmp_path / "set" / LOCK).read_text())
        assert lock == {
            "name": "mine",
            "files": {
                "set.zip": {
                    "url": f"{server.url}/set.zip", "checksum": f"sha256:{sha256(archive)}", "published": False
                }
            },
        }  # fmt: skip
        assert (tmp_path / "set" / "images" / "1.png").is_file()

    def test_what_was_recorded_is_asked_for_from_then_on(self, unchecked, server, archive, tmp_path):
        (path,) = fetch(unchecked, tmp_path / "set", trust=True)
        fetch(unchecked, tmp_path / "set")  # needs no trust again
        assert server.asked == ["/set.zip"]
        path.unlink()
        write_zip(archive, {"images/1.png": b"changed since"})
        packed = manifest({"url": f"{server.url}/set.zip", "unpack": False})
        with pytest.raises(UserError, match="is not the file that was published or seen before"):
            fetch(packed, tmp_path / "set")

    def test_a_published_checksum_is_recorded_as_such(self, described, tmp_path):
        fetch(described, tmp_path / "set")
        assert yaml.safe_load((tmp_path / "set" / LOCK).read_text())["files"]["set.zip"]["published"] is True


class TestRefuses:
    @pytest.mark.parametrize("name", [n for n, m in manifests().items() if m.registration.kind != "none"])
    def test_a_set_with_a_registration_says_what_to_do(self, tmp_path, name):
        with pytest.raises(UserError) as caught:
            fetch(manifests()[name], tmp_path / "set")
        assert manifests()[name].registration.how in str(caught.value)
        assert f"segnoise data verify {name}" in str(caught.value)
        assert not (tmp_path / "set").exists()

    def test_a_set_without_a_direct_address_says_where_to_look(self, tmp_path):
        with pytest.raises(UserError, match=r"by hand \(https://zenodo.org/records/7105232, images and label tables"):
            fetch(manifests()["olives"], tmp_path / "set")
        with pytest.raises(UserError, match=r"by hand \(the University of La Laguna"):
            fetch(manifests()["rim_one_r3"], tmp_path / "set")

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("nothing.zip", "answers 404; the file may have moved"),
            ("busy.zip", "answers 503"),
            ("breaks.zip", "cannot be reached or broke off"),
        ],
    )
    def test_an_address_that_fails_is_one_line_and_leaves_no_half_file(self, server, tmp_path, path, words):
        described = manifest({"url": f"{server.url}/{path}"})
        with pytest.raises(UserError, match=words) as caught:
            fetch(described, tmp_path / "set", trust=True)
        assert f"{server.url}/{path}" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert files_in(tmp_path / "set") == {LOCK}

    def test_without_a_connection_it_asks_whether_one_is_there(self, server, tmp_path):
        server.close()
        with pytest.raises(UserError, match="are you offline") as caught:
            fetch(manifest({"url": f"{server.url}/set.zip"}), tmp_path / "set", trust=True)
        assert "\n" not in str(caught.value)

    def test_a_mirror_that_is_gone_is_told(self, tmp_path):
        gone = (tmp_path / "gone.zip").as_uri()
        with pytest.raises(UserError, match=f"{gone}: could not be brought to .*No such file"):
            fetch(manifest({"url": gone}), tmp_path / "set", trust=True)

    def test_a_malicious_archive_leaves_nothing_but_itself(self, server, tmp_path):
        path = write_zip(server.folder / "set.zip", {"good.txt": b"", "../../escaped.txt": b"bad"})
        with pytest.raises(UserError, match="a path that leaves the folder"):
            fetch(manifest(published(f"{server.url}/set.zip", path)), tmp_path / "a" / "set")
        assert files_in(tmp_path / "a") == {f"set/{ARCHIVES}/set.zip", f"set/{LOCK}"}
        assert not (tmp_path / "escaped.txt").exists()
        assert "set.zip" not in yaml.safe_load((tmp_path / "a" / "set" / LOCK).read_text())["files"]

    def test_a_folder_with_other_things_is_left_alone(self, described, server, tmp_path):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "images").write_text("mine")
        with pytest.raises(UserError, match="holds other things; give a new folder for mine"):
            fetch(described, tmp_path / "set")
        assert server.asked == []

    def test_a_folder_of_another_set_is_left_alone(self, described, tmp_path):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / LOCK).write_text("name: drive\nfiles: {}\n")
        with pytest.raises(UserError, match="holds drive; give another folder"):
            fetch(described, tmp_path / "set")

    @pytest.mark.parametrize("text", ["name: [", "name: mine\nfils: {}\n", "[]", "name: mine\nfiles: {a: 1}\n"])
    def test_a_record_that_is_none_is_told(self, described, tmp_path, text):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / LOCK).write_text(text)
        with pytest.raises(UserError, match="is not what data fetch has written"):
            fetch(described, tmp_path / "set")

    def test_a_file_where_the_folder_should_be_is_told(self, described, tmp_path):
        (tmp_path / "set").write_text("")
        with pytest.raises(UserError, match="is a file; give a folder"):
            fetch(described, tmp_path / "set")
        with pytest.raises(UserError, match="cannot be made"):
            fetch(described, tmp_path / "set" / "deeper")

    def test_without_pooch_it_says_how_to_get_it(self, described, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        with pytest.raises(UserError, match="needs pooch; pip install pooch"):
            fetch(described, tmp_path / "set")


class TestVerify:
    def test_what_was_fetched_is_whole(self, described, tmp_path):
        fetch(described, tmp_path / "set")
        checks = verify(described, tmp_path / "set")
        assert [(check.what, check.found, check.ok) for check in checks] == [
            ("images/*.png", "2 of 2", True),
            ("masks/*", "2 of at least 1", True),
            ("set.zip", "its checksum", True),
        ]

    def test_what_is_missing_or_too_much_is_named(self, described, tmp_path):
        fetch(described, tmp_path / "set")
        (tmp_path / "set" / "images" / "1.png").unlink()
        for path in (tmp_path / "set" / "masks").iterdir():
            path.unlink()
        assert [check.found for check in verify(described, tmp_path / "set") if not check.ok] == [
            "1 of 2",
            "0 of at least 1",
        ]
        for name in ("3", "4"):
            (tmp_path / "set" / "images" / f"{name}.png").touch()
        assert verify(described, tmp_path / "set")[0].found == "3 of 2"

    def test_hidden_files_and_those_of_a_mac_do_not_count(self, described, tmp_path):
        folder = tmp_path / "copy"
        for name in (*GOOD, "images/._1.png", "__MACOSX/images/1.png", ".hidden/images/x.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        anywhere = manifest(expected=[{"glob": "**/images/*.png", "count": 2}])
        assert all(check.ok for check in [*verify(described, folder), *verify(anywhere, folder)])

    def test_an_archive_that_was_changed_is_named(self, described, archive, tmp_path):
        (path,) = fetch(described, tmp_path / "set")
        path.write_bytes(path.read_bytes() + b"x")
        (wrong,) = [check for check in verify(described, tmp_path / "set") if not check.ok]
        assert (wrong.what, wrong.found) == ("set.zip", f"not sha256:{sha256(archive)}")

    def test_an_archive_downloaded_by_hand_is_compared(self, described, archive, tmp_path):
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / "set.zip").write_bytes(archive.read_bytes())
        assert verify(described, tmp_path / "copy")[-1].ok

    def test_what_was_trusted_is_held_against_its_record(self, server, archive, tmp_path):
        unchecked = manifest({"url": f"{server.url}/set.zip", "unpack": False})
        (path,) = fetch(unchecked, tmp_path / "set", trust=True)
        assert [check.ok for check in verify(unchecked, tmp_path / "set")] == [True]
        path.write_bytes(b"other")
        assert [check.ok for check in verify(unchecked, tmp_path / "set")] == [False]
        path.unlink()
        assert [(check.found, check.ok) for check in verify(unchecked, tmp_path / "set")] == [("0 of 1", False)]

    def test_a_folder_that_is_not_there_and_a_manifest_that_knows_nothing_are_told(self, described, tmp_path):
        with pytest.raises(UserError, match="no such folder; give the one that holds Mine"):
            verify(described, tmp_path / "nowhere")
        with pytest.raises(UserError, match="neither files nor checksums to look for"):
            verify(manifest(), tmp_path)

    def test_a_drive_tree_as_published_is_whole(self, tmp_path):
        for folder, names in {
            "training/images": "{}_training.tif", "training/1st_manual": "{}_manual1.gif",
            "training/mask": "{}_training_mask.gif", "test/images": "{:02}_test.tif", "test/mask": "{:02}_test_mask.gif",
        }.items():  # fmt: skip
            (tmp_path / folder).mkdir(parents=True)
            for k in range(20):
                (tmp_path / folder / names.format(k + 21 if "training" in folder else k + 1)).touch()
        assert all(check.ok for check in verify(manifests()["drive"], tmp_path))


def test_a_checksum_is_that_of_the_system_tools(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert checksum_of(path, "md5") == "md5:900150983cd24fb0d6963f7d28e17f72"
    assert checksum_of(path, "sha256").startswith("sha256:ba7816bf8f01cfea414140de5dae2223b00361a3")
