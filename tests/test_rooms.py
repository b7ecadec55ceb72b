"""The house keeps its order: data flows one way, every room says what it holds, every file is one concept."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "segnoise"
ROOMS = (
    "errors", "yamlfile", "draws", "length", "windows", "data", "vector", "kms", "noise", "annotators", "metrics", "networks", "methods",
    "config", "training", "inference", "evaluation", "demos", "cli", "__main__",
)  # fmt: skip
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})


def room_of(file: Path) -> str:
    return file.parts[0] if len(file.parts) > 1 else file.stem


def imports(file: Path) -> set[str]:
    """The modules of segnoise that a file imports, in its functions too, as dotted names after ``segnoise.``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["segnoise", *file.parts[:-1]][: len(file.parts) - node.level + 1] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            # From the package itself, the names that are imported are the rooms.
            names = [f"segnoise.{alias.name}" for alias in node.names] if base == "segnoise" else [base]
        else:
            continue
        found |= {name.removeprefix("segnoise.") for name in names if name.startswith("segnoise.")}
    return found


def test_every_module_and_folder_is_a_known_room():
    assert {room_of(file) for file in FILES} - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("file", [f for f in FILES if f != Path("__init__.py")], ids=str)
def test_a_room_imports_only_itself_and_earlier_rooms(file):
    allowed = set(ROOMS[: ROOMS.index(room_of(file)) + 1])
    later = {name for name in imports(file) if name.split(".")[0] in ROOMS and name.split(".")[0] not in allowed}
    assert not later, f"{file} imports {sorted(later)}, which comes after {room_of(file)}"


def test_nothing_but_the_start_of_the_program_reads_the_command_line():
    readers = [file for file in FILES if room_of(file) not in ("cli", "__main__")]
    assert [file for file in readers if any(name.split(".")[0] == "cli" for name in imports(file))] == []


def test_the_configuration_reads_errors_yaml_and_lists_of_names_only():
    read = {name for file in FILES if room_of(file) == "config" for name in imports(file)}
    assert {name for name in read if name not in ("errors", "yamlfile") and not name.endswith(".names")} == {
        name for name in read if name.split(".")[0] == "config"
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_folder_says_in_a_few_lines_what_lives_there(folder):
    start = PACKAGE / folder / "__init__.py"
    assert start.is_file()
    text = ast.get_docstring(ast.parse(start.read_text()))
    assert text
    assert len(text.splitlines()) <= 4


def test_every_file_begins_by_saying_what_it_is():
    assert [file for file in FILES if not ast.get_docstring(ast.parse((PACKAGE / file).read_text()))] == []


def test_no_file_is_named_after_nothing():
    assert [file for file in FILES if file.stem.strip("_") in {"utils", "util", "helpers", "common", "misc"}] == []


def test_no_file_is_two_concepts_long():
    lengths = {file: len((PACKAGE / file).read_text().splitlines()) for file in FILES}
    assert {file: n for file, n in lengths.items() if n > 450} == {}


def test_the_import_reader_sees_every_kind_of_import(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    source = (
        "import segnoise.kms.posterior\n"
        "from segnoise import metrics, cli as program\n"
        "from segnoise.noise.base import Corruption\n"
        "from . import sample\n"
        "from ..windows import plan\n"
        "def late():\n    from segnoise.training import load\n"
    )
    (tmp_path / "data" / "probe.py").write_text(source)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    expected = {"kms.posterior", "metrics", "cli", "noise.base", "data", "windows", "training"}
    assert imports(Path("data/probe.py")) == expected
