"""A run's folder before training: made, taken up again, or refused."""

from __future__ import annotations

import shutil

from segnoise.config import Config, load_config
from segnoise.errors import UserError
from segnoise.training.run import Run


def open_folder(config: Config, run: Run, resume: bool, overwrite: bool) -> None:
    """Makes the run's folder, or checks that the one there is this run.

    Raises UserError for a folder that holds another run or other things, or that cannot be written.
    """
    if run.folder.exists() and not run.folder.is_dir():
        raise UserError(f"{run.folder}: is a file; give another folder for the run with -o")
    if run.config.is_file():
        if overwrite:
            shutil.rmtree(run.folder)
        elif not resume:
            raise UserError(f"{run.folder}: already holds a run; go on with --resume, or start anew with --overwrite")
        else:
            _check_same(config, run)
    elif run.folder.is_dir() and any(run.folder.iterdir()):
        raise UserError(f"{run.folder}: is not empty and holds no run; give another folder with -o")
    elif resume:
        raise UserError(f"{run.folder}: there is no run to resume; leave --resume out")
    try:
        (run.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        config.write(run.config)
    except OSError as error:
        raise UserError(f"{run.folder}: cannot be written ({error.strerror}); choose another folder with -o") from error


def _check_same(config: Config, run: Run) -> None:
    before = load_config(run.config)
    if before.fingerprint() != config.fingerprint():
        old, new = before.model_dump(), config.model_dump()
        changed = next((key for key in new if key != "name" and old[key] != new[key]), "configuration")
        raise UserError(
            f"{run.folder}: was trained with another configuration ({changed} differs); use another folder with -o, "
            "or --overwrite"
        )
