"""How to learn anyway: one file per method, one interface (``base``), composition (``objective``).
``names`` lists the methods without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segnoise.methods.affinity import Affinity, soft_vote, temporal_affinity, within_class
    from segnoise.methods.base import Channel, Context, Memory, Method, Needs, Output, Supervision, Teacher
    from segnoise.methods.bootstrap import BootstrapHard, BootstrapSoft
    from segnoise.methods.co_teaching import CoTeaching
    from segnoise.methods.cross_entropy import CrossEntropy
    from segnoise.methods.disbelief import Disbelief
    from segnoise.methods.elr import ELR
    from segnoise.methods.forward import Forward
    from segnoise.methods.gce import GCE
    from segnoise.methods.image_labels import ImageLevelLabels
    from segnoise.methods.jocor import JoCoR
    from segnoise.methods.kms import KMS
    from segnoise.methods.mae import MAE, RCE
    from segnoise.methods.ms_tfal import MSTFAL
    from segnoise.methods.nce import NCEMAE, NCERCE
    from segnoise.methods.nr_dice import NoiseRobustDice
    from segnoise.methods.objective import Objective, Result, build_method
    from segnoise.methods.overlap import Dice, Tversky
    from segnoise.methods.sce import SCE
    from segnoise.methods.tloss import TLoss

__all__ = [
    "ELR",
    "GCE",
    "KMS",
    "MAE",
    "MSTFAL",
    "NCEMAE",
    "NCERCE",
    "RCE",
    "SCE",
    "Affinity",
    "BootstrapHard",
    "BootstrapSoft",
    "Channel",
    "CoTeaching",
    "Context",
    "CrossEntropy",
    "Dice",
    "Disbelief",
    "Forward",
    "ImageLevelLabels",
    "JoCoR",
    "Memory",
    "Method",
    "Needs",
    "NoiseRobustDice",
    "Objective",
    "Output",
    "Result",
    "Supervision",
    "TLoss",
    "Teacher",
    "Tversky",
    "build_method",
    "soft_vote",
    "temporal_affinity",
    "within_class",
]

_HOME = {
    "Affinity": "affinity",
    "soft_vote": "affinity",
    "temporal_affinity": "affinity",
    "within_class": "affinity",
    "MSTFAL": "ms_tfal",
    "CoTeaching": "co_teaching",
    "JoCoR": "jocor",
    "BootstrapHard": "bootstrap",
    "BootstrapSoft": "bootstrap",
    "CrossEntropy": "cross_entropy",
    "Dice": "overlap",
    "Disbelief": "disbelief",
    "ELR": "elr",
    "Forward": "forward",
    "GCE": "gce",
    "ImageLevelLabels": "image_labels",
    "KMS": "kms",
    "MAE": "mae",
    "NCEMAE": "nce",
    "NCERCE": "nce",
    "NoiseRobustDice": "nr_dice",
    "RCE": "mae",
    "SCE": "sce",
    "TLoss": "tloss",
    "Tversky": "overlap",
    "Objective": "objective",
    "Result": "objective",
    "build_method": "objective",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"segnoise.methods.{_HOME.get(name, 'base')}"), name)
