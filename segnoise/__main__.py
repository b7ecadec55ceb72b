"""``python -m segnoise`` is the command line."""

from segnoise.cli import main

main()
