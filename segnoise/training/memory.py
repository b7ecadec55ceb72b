"""What methods remember per pixel of the training sources: one memory-mapped file beside the run for each memory."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from segnoise.data.augment import Orientation, orient, unorient
from segnoise.errors import UserError
from segnoise.windows import Window, atomic_output

_DTYPE = np.dtype(np.float16)
_CHUNK = 2**24


class FileMemory:
    """``channels`` values of half precision for every pixel of sources of the given shapes, 0 until written.

    The file ``path`` holds the sources one after the other, each ``channels *S`` in its own geometry. Ranks read it
    together; the first rank writes for all, in the order of ranks and samples, so what is kept does not depend on
    which rank is quicker. ``save`` puts a copy beside the file that ``open`` goes on from: a resumed run finds exactly
    what the checkpoint of that step had seen, wherever the run was killed.

    >>> import tempfile
    >>> memory = FileMemory(Path(tempfile.mkdtemp()) / "votes", [(4, 6)], 1, Fabric(accelerator="cpu", devices=1))
    >>> memory.open()
    >>> at = {"index": torch.tensor([0]), "window": torch.tensor([[2, 3, 2, 2]]), "orientation": torch.tensor([[2, 1]])}
    >>> memory.write(at, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> memory.read(at | {"orientation": torch.tensor([[1, 2]])})
    tensor([[[[1., 3.],
              [2., 4.]]]])
    """

    def __init__(self, path: Path, shapes: Sequence[tuple[int, ...]], channels: int, fabric: Fabric) -> None:
        self.path, self.shapes, self.channels, self.fabric = path, list(shapes), channels, fabric
        self.written = False
        self._values: list[NDArray[np.float16]] = []

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return _DTYPE.itemsize * self.channels * sum(math.prod(shape) for shape in self.shapes)

    def open(self, step: int | None = None) -> None:
        """Makes the file, empty or as it was saved at a step.

        Raises:
            UserError: no room for it, or nothing was saved at that step.
        """
        if self.fabric.is_global_zero:
            self._make(step)
        self.fabric.barrier()
        flat = np.memmap(self.path, _DTYPE, "r+" if self.fabric.is_global_zero else "r")
        ends = np.cumsum([self.channels * math.prod(shape) for shape in self.shapes])
        self._values = [
            part.reshape(self.channels, *shape)
            for part, shape in zip(np.split(flat, ends[:-1]), self.shapes, strict=True)
        ]
        self.written = step is not None

    def _make(self, step: int | None) -> None:
        saved = None if step is None else self._saved(step)
        if saved is not None and not (saved.is_file() and saved.stat().st_size == self.size):
            raise UserError(f"{saved}: is missing or truncated, so the run cannot go on; start anew with --overwrite")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            if saved is not None:
                shutil.copyfile(saved, self.path)
            else:
                with open(self.path, "wb") as file:
                    # Written now, not left sparse: a disk that is full under a memory map kills the process.
                    for start in range(0, self.size, _CHUNK):
                        file.write(bytes(min(_CHUNK, self.size - start)))
        except OSError as error:
            raise UserError(
                f"{self.path}: {self.size / 1e9:.1f} GB could not be written ({error.strerror}); free space, or choose "
                "another folder with -o"
            ) from error

    def read(self, batch: dict[str, Any]) -> Float[Tensor, " B K *S"]:
        """The values of the batch's crops; 0 outside the sources."""
        rows = []
        for index, window, orientation in _places(batch):
            values = np.zeros((self.channels, *window.size), dtype=_DTYPE)
            if index >= 0:
                inside = window.clip(self.shapes[index])
                values[(slice(None), *inside.within(window))] = self._values[index][(slice(None), *inside.slices)]
            rows.append(torch.from_numpy(orient(values, orientation)))
        return torch.stack(rows).to(batch["index"].device).float()

    def write(self, batch: dict[str, Any], values: Float[Tensor, " B K *S"]) -> None:
        """Replaces the values of the batch's crops; what lies outside the sources is dropped."""
        told = {key: batch[key] for key in ("index", "window", "orientation")} | {"values": values.to(torch.float16)}
        if self.fabric.world_size > 1:
            # No rank reads while the first writes: gathering waits for all to have read, the barrier for the writing.
            told = {key: self.fabric.all_gather(value).flatten(0, 1) for key, value in told.items()}
        if self.fabric.is_global_zero:
            for (index, window, orientation), crop in zip(_places(told), told["values"].cpu().numpy(), strict=True):
                if index >= 0:
                    inside = window.clip(self.shapes[index])
                    upright = unorient(crop, orientation)
                    self._values[index][(slice(None), *inside.slices)] = upright[(slice(None), *inside.within(window))]
        self.written = True
        self.fabric.barrier()

    def save(self, step: int) -> None:
        """Keeps a copy of what is known after a step."""
        with atomic_output(self._saved(step), overwrite=True) as temporary:
            shutil.copyfile(self.path, temporary)

    def forget(self, step: int) -> None:
        """Drops every copy but that of a step."""
        for saved in self.path.parent.glob(f"{self.path.name}-*"):
            if saved != self._saved(step):
                saved.unlink()

    def _saved(self, step: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{step:08d}")


def _places(batch: dict[str, Any]) -> Iterator[tuple[int, Window, Orientation]]:
    rows = zip(batch["index"].tolist(), batch["window"].tolist(), batch["orientation"].tolist(), strict=True)
    for index, box, orientation in rows:
        n = len(orientation)
        yield index, Window(tuple(box[:n]), tuple(box[n:])), tuple(orientation)
