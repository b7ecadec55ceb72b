"""The methods by name: known without importing torch, so that a typing mistake costs nothing."""

from __future__ import annotations

from segnoise.errors import UserError, nearest

METHODS: dict[str, str] = {
    "bootstrap_hard": "segnoise.methods.bootstrap:BootstrapHard",
    "bootstrap_soft": "segnoise.methods.bootstrap:BootstrapSoft",
    "co_teaching": "segnoise.methods.co_teaching:CoTeaching",
    "cross_entropy": "segnoise.methods.cross_entropy:CrossEntropy",
    "dice": "segnoise.methods.overlap:Dice",
    "disbelief": "segnoise.methods.disbelief:Disbelief",
    "elr": "segnoise.methods.elr:ELR",
    "forward": "segnoise.methods.forward:Forward",
    "gce": "segnoise.methods.gce:GCE",
    "image_labels": "segnoise.methods.image_labels:ImageLevelLabels",
    "jocor": "segnoise.methods.jocor:JoCoR",
    "kms": "segnoise.methods.kms:KMS",
    "mae": "segnoise.methods.mae:MAE",
    "ms_tfal": "segnoise.methods.ms_tfal:MSTFAL",
    "nce_mae": "segnoise.methods.nce:NCEMAE",
    "nce_rce": "segnoise.methods.nce:NCERCE",
    "nr_dice": "segnoise.methods.nr_dice:NoiseRobustDice",
    "rce": "segnoise.methods.mae:RCE",
    "sce": "segnoise.methods.sce:SCE",
    "tloss": "segnoise.methods.tloss:TLoss",
    "tversky": "segnoise.methods.overlap:Tversky",
}
"""Name of each method and where its class lives (``module:class``)."""


def check_method_name(name: str) -> None:
    """Raises UserError with the nearest name if there is no such method.

    >>> check_method_name("kms")
    """
    if name not in METHODS:
        raise UserError(f"method.name: there is no method {name!r}; {nearest(name, METHODS)}")
