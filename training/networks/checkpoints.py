"""Save a training on its way, and continue it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.errors import NotResumable
from training.writing import aside


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write weights, optimiser and the steps taken into one safetensors file, as a whole."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside(path) as part:
        save_file(tensors, part, {"history": json.dumps([{"step": step}])})


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Read what `save_checkpoint` wrote into the network and the optimiser; returns the steps.

    Raises:
        NotResumable: the file is damaged or of another network.
    """
    try:
        with safe_open(path, "pt") as file:
            step = int(json.loads(file.metadata()["history"])[0]["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no iterator
        weights = {n.removeprefix("network."): t for n, t in tensors.items() if n[0] == "n"}
        network.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise NotResumable(
            f"{path.name} cannot be resumed from; delete it and run again"
        ) from error
    return step
