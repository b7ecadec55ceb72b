"""What a benchmark ran on, in a line."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory, system, Python and the libraries that compute.

    >>> "torch" in machine()
    True
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "monai"))
    return f"{hardware}, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {libraries}"


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
