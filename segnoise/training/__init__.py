"""From a configuration to a run: data made ready, the system (network, teacher, objective), the loop, checkpoints
and exact resume.
"""

from segnoise.training.channel import ChannelFit
from segnoise.training.loop import train
from segnoise.training.prepare import Prepared, prepare
from segnoise.training.run import Model, Run, checkpoint_path, load
from segnoise.training.sidebyside import train_side_by_side
from segnoise.training.signals import Interrupted
from segnoise.training.system import System, build_system

__all__ = [
    "ChannelFit",
    "Interrupted",
    "Model",
    "Prepared",
    "Run",
    "System",
    "build_system",
    "checkpoint_path",
    "load",
    "prepare",
    "train",
    "train_side_by_side",
]
