"""The command line: thin commands over the rooms, a file for each part of a job. Heavy imports happen inside the
commands.
"""

from segnoise.cli.program import app, main

__all__ = ["app", "main"]
