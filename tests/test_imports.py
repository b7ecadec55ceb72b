"""The package and its command line start at once: no heavy library loads before it is needed."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "rasterio",
    "geopandas",
    "scipy",
    "pandas",
    "monai",
    "timm",
    "shapely",
    "pyogrio",
    "matplotlib",
    "nibabel",
)
BUDGET = 0.5  # CPU-seconds

HELP = """
import sys
from segnoise.cli import main
sys.argv = ['segnoise', '--help']
try:
    main()
except SystemExit:
    pass
"""
STARTS = {
    "import": "import segnoise",
    "help": HELP,
    "configuration": "import segnoise.config",
    "network names": "import segnoise.networks",
    "method names": "import segnoise.methods.names",
}


def cpu_seconds(command: list[str]) -> float:
    """The least CPU time of three runs: user and system, of the child and its children."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return min(once() for _ in range(3))


@pytest.mark.parametrize("start", STARTS)
def test_starting_loads_no_heavy_library(start):
    code = f"{STARTS[start]}\nimport sys; print('loaded:', *sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = output.rpartition("loaded:")[2].split()
    assert "segnoise" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-c", "import segnoise"],
        [sys.executable, "-c", "import segnoise.config"],
        [str(Path(sys.executable).with_name("segnoise")), "--help"],
        [str(Path(sys.executable).with_name("segnoise")), "train", "--help"],
    ],
    ids=["import", "configuration", "help", "help of a command"],
)
def test_starting_takes_less_than_half_a_second_of_processor(command):
    assert cpu_seconds(command) < BUDGET


def test_the_lazy_names_of_the_package_are_the_rooms_own():
    code = (
        "import segnoise\n"
        "for name in segnoise.__all__: assert getattr(segnoise, name) is not None, name\n"
        "assert set(segnoise.__all__) <= set(dir(segnoise))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
