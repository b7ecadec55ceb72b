"""How labels go wrong: corruptions that are drawn, fitted to a level and applied purely, each with a record; the
expressions they are written in; and the noise card that measures how given labels differ from true ones.
"""

from segnoise.noise.base import Corruption
from segnoise.noise.boundary import Boundary
from segnoise.noise.commission import Commission
from segnoise.noise.expression import NOISES, parse, replay
from segnoise.noise.jsrt import Jsrt
from segnoise.noise.kms import Kms
from segnoise.noise.length import Length
from segnoise.noise.markov import Markov
from segnoise.noise.measure import noise_card
from segnoise.noise.merge import Merge
from segnoise.noise.omission import Omission
from segnoise.noise.polygonise import Polygonise
from segnoise.noise.share import Share
from segnoise.noise.split import Split
from segnoise.noise.whu import Whu

__all__ = [
    "NOISES",
    "Boundary",
    "Commission",
    "Corruption",
    "Jsrt",
    "Kms",
    "Length",
    "Markov",
    "Merge",
    "Omission",
    "Polygonise",
    "Share",
    "Split",
    "Whu",
    "noise_card",
    "parse",
    "replay",
]
