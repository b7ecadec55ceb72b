"""Archives from outside: what they hold arrives whole, and nothing ever leaves the folder or stays by halves."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from segnoise.data.unpacking import unpack
from segnoise.errors import UserError

CONTENT = {"images/a.png": b"a" * 3000, "images/deep/b.png": b"", "readme.txt": b"hello\n"}
TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "set"
    made.mkdir()
    return made


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class TestWhole:
    @pytest.mark.parametrize("suffix", [".zip", *TARS])
    def test_every_file_arrives_as_it_was(self, tmp_path, folder, suffix):
        path = tmp_path / f"a{suffix}"
        if suffix == ".zip":
            write_zip(path, CONTENT)
        else:
            write_tar(path, [special("images", tarfile.DIRTYPE), *CONTENT.items()], TARS[suffix])
        assert unpack(path, folder) == 3
        assert files_in(folder) == CONTENT
        assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []

    def test_a_folder_that_is_empty_but_for_folders_is_no_mistake(self, tmp_path, folder):
        assert unpack(write_zip(tmp_path / "a.zip", {"empty/": b""}), folder) == 0

    def test_a_second_archive_joins_the_first_and_the_same_one_changes_nothing(self, tmp_path, folder):
        unpack(write_zip(tmp_path / "a.zip", CONTENT), folder)
        unpack(write_zip(tmp_path / "b.zip", {"images/c.png": b"c"}), folder)
        unpack(tmp_path / "a.zip", folder)
        assert files_in(folder) == {**CONTENT, "images/c.png": b"c"}

    def test_what_a_killed_run_has_left_is_cleared(self, tmp_path, folder):
        (folder / ".a.zip.partial").mkdir()
        (folder / ".a.zip.partial" / "old").write_text("old")
        unpack(write_zip(tmp_path / "a.zip", CONTENT), folder)
        assert files_in(folder) == CONTENT

    def test_a_zip_inside_a_tar_is_only_a_file(self, tmp_path, folder):
        inner = write_zip(tmp_path / "inner.zip", {"x": b"x"}).read_bytes()
        assert unpack(write_tar(tmp_path / "a.tar", [("inner.zip", inner)]), folder) == 1
        assert files_in(folder) == {"inner.zip": inner}


class TestMalicious:
    @pytest.mark.parametrize(
        "name", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:out.txt", ".."]
    )
    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_a_path_that_leaves_is_refused_and_nothing_stays(self, tmp_path, folder, name, kind):
        (folder / "kept.txt").write_text("kept")
        content = {"good.txt": b"good", name: b"bad"}
        path = tmp_path / f"a.{kind}"
        path = write_zip(path, content) if kind == "zip" else write_tar(path, list(content.items()))
        with pytest.raises(UserError, match="a path that leaves the folder; nothing was unpacked"):
            unpack(path, folder)
        assert files_in(folder) == {"kept.txt": b"kept"}
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "set"])

    @pytest.mark.parametrize(
        "member",
        [
            special("link", tarfile.SYMTYPE, "/etc/passwd"),
            special("link", tarfile.SYMTYPE, "good.txt"),
            special("link", tarfile.LNKTYPE, "good.txt"),
            special("pipe", tarfile.FIFOTYPE),
            special("device", tarfile.CHRTYPE),
        ],
        ids=lambda member: f"{member.name}-{member.type.decode()}-{member.linkname}",
    )
    def test_links_and_devices_of_a_tar_are_refused(self, tmp_path, folder, member):
        path = write_tar(tmp_path / "a.tar.gz", [("good.txt", b"good"), member], "w:gz")
        with pytest.raises(UserError, match=f"holds '{member.name}', a link or device; nothing was unpacked"):
            unpack(path, folder)
        assert list(folder.iterdir()) == []

    def test_a_link_of_a_zip_is_refused(self, tmp_path, folder):
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("good.txt", b"good")
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(UserError, match="holds 'link', a link or device"):
            unpack(tmp_path / "a.zip", folder)
        assert list(folder.iterdir()) == []


class TestDamaged:
    @pytest.mark.parametrize("suffix", [".zip", *TARS])
    @pytest.mark.parametrize("keep", [0, 0.4, 0.9])
    def test_an_archive_that_is_cut_short_leaves_nothing(self, tmp_path, folder, suffix, keep):
        path = tmp_path / f"a{suffix}"
        data = {"a.bin": bytes(range(256)) * 200}
        if suffix == ".zip":
            write_zip(path, data)
        else:
            write_tar(path, list(data.items()), TARS[suffix])
        whole = path.read_bytes()
        # A plain tar ends with empty blocks: cutting those loses nothing, so the file is cut.
        size = 52_000 if suffix == ".tar" else len(whole)
        path.write_bytes(whole[: int(size * keep)])
        with pytest.raises(UserError, match=r"cannot be unpacked \(.*\); delete it and fetch it again"):
            unpack(path, folder)
        assert list(folder.iterdir()) == []

    def test_a_changed_byte_is_found(self, tmp_path, folder):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:  # stored
            archive.writestr("a.txt", b"x" * 100)
        path.write_bytes(path.read_bytes().replace(b"xxx", b"xyx", 1))
        with pytest.raises(UserError, match="cannot be unpacked"):
            unpack(path, folder)

    def test_an_encrypted_zip_is_told(self, tmp_path, folder):
        path = write_zip(tmp_path / "a.zip", {"a.txt": b"x"})
        raw = bytearray(path.read_bytes())
        raw[6] |= 1  # the flag of the local header
        raw[raw.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
        path.write_bytes(bytes(raw))
        with pytest.raises(UserError, match="encrypted"):
            unpack(path, folder)

    def test_a_file_in_the_way_of_a_folder_is_told(self, tmp_path, folder):
        (folder / "images").write_text("a file")
        with pytest.raises(UserError, match="could not be unpacked into"):
            unpack(write_zip(tmp_path / "a.zip", {"images/a.png": b"a"}), folder)
        assert files_in(folder) == {"images": b"a file"}
