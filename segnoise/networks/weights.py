"""Weights from a local file, for a whole network or for its encoder."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from segnoise.errors import UserError

State = dict[str, Tensor]


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Loads a ``.safetensors`` file or a torch checkpoint (``weights_only=True``) into a network or its encoder.

    The tensors may lie at any depth of the checkpoint and carry any prefix (``model.``, ``module.``). A file that
    names the parameters of the whole network must fit it exactly. A file that names those of the encoder must hold
    all of them and may hold more, such as a classifier's head; its first convolution over 3 bands is spread over C
    other bands as smp and timm do it: band i gets the weights of band ``i mod 3``, times ``3 / C``, and one band
    the sum.

    Raises:
        UserError: no such file, not a file of weights, or weights that do not fit; names the first that differ.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.pt"
    >>> torch.save({"state_dict": {"model.weight": torch.ones(1, 2), "model.bias": torch.zeros(1)}}, path)
    >>> network = nn.Linear(2, 1)
    >>> load_weights(network, path)
    >>> network.weight.tolist()
    [[1.0, 1.0]]
    """
    path = Path(path)
    content = _read(path)
    best = max(_candidates(network), key=lambda target: _coverage(target, content))
    target, whole = best, best is network
    own = target.state_dict()
    prefix = _prefix(own, content)
    state = {key.removeprefix(prefix): tensor for key, tensor in content.items() if key.startswith(prefix)}
    if not whole:
        state = {key: tensor for key, tensor in state.items() if key in own}
        _spread_bands(state, own)
    differing = _differing(state, own)
    if differing:
        kind = type(network).__name__
        raise UserError(
            f"{path}: these weights do not fit {kind}: {'; '.join(differing)}; take weights of this network"
        )
    target.load_state_dict(state, strict=False)


def _candidates(network: nn.Module) -> list[nn.Module]:
    """The network, its encoder, and the timm model inside the encoder: what a file may hold weights of."""
    encoder = getattr(network, "encoder", None)
    inside = getattr(encoder, "model", None)
    return [module for module in (network, encoder, inside) if isinstance(module, nn.Module)]


def _read(path: Path) -> State:
    if not path.is_file():
        raise UserError(f"{path}: no such file; check network.weights")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as weights; give a .safetensors file or a torch state_dict") from error
    state = _tensors(content)
    if not state:
        raise UserError(f"{path}: holds no named tensors; give a .safetensors file or a torch state_dict")
    return state


def _tensors(content: Any) -> State:
    """The largest mapping of names to tensors inside a checkpoint."""
    if not isinstance(content, Mapping):
        return {}
    own = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    return max([own, *(_tensors(value) for value in content.values())], key=len)


def _prefix(own: State, content: State) -> str:
    """What the file puts before the target's names: the shortest text that turns its first name into one there."""
    first = next(iter(own), "")
    prefixes = [key.removesuffix(first) for key in content if key.endswith(first)]
    return min((p for p in prefixes if p == "" or p.endswith(".")), key=len, default="")


def _coverage(target: nn.Module, content: State) -> float:
    """The share of the target's parameters that the file names."""
    own = target.state_dict()
    prefix = _prefix(own, content)
    return sum(prefix + key in content for key in own) / max(len(own), 1)


def _spread_bands(state: State, own: State) -> None:
    """Fits weights over 3 bands to the first convolution over other bands, in place."""
    for key, tensor in state.items():
        wanted = own[key].shape
        same_but_bands = len(wanted) > 2 and tensor.shape[:1] + tensor.shape[2:] == wanted[:1] + wanted[2:]
        if same_but_bands and tensor.shape[1] == 3 != wanted[1]:
            bands = wanted[1]
            state[key] = tensor.sum(1, keepdim=True) if bands == 1 else tensor[:, torch.arange(bands) % 3] * (3 / bands)
            return


def _differing(state: State, own: State, shown: int = 3) -> list[str]:
    """The first names that one side lacks or whose shapes differ; counters of batches may be missing."""
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    missing = [f"{key} is missing" for key in own if key not in state and key not in counters]
    other = [f"{key} is not part of the network" for key in state if key not in own]
    shapes = [
        f"{key} is {'x'.join(map(str, state[key].shape))}, needed {'x'.join(map(str, own[key].shape))}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    found = missing + other + shapes
    return [*found[:shown], f"and {len(found) - shown} more"] if len(found) > shown else found
