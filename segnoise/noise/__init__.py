"""How labels go wrong: corruptions that are drawn, fitted to a level and applied purely, each with a record; the
expressions they are written in; and the noise card that measures how given labels differ from true ones.
"""

from segnoise.noise.base import Corruption
from segnoise.noise.boundary import Boundary
from segnoise.noise.expression import NOISES, parse, replay
from segnoise.noise.kms import Kms
from segnoise.noise.length import Length
from segnoise.noise.measure import noise_card
from segnoise.noise.omission import Omission
from segnoise.noise.share import Share

__all__ = ["NOISES", "Boundary", "Corruption", "Kms", "Length", "Omission", "Share", "noise_card", "parse", "replay"]
