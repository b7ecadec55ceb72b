"""How labels go wrong: corruptions that are drawn, fitted to a level and applied purely, each with a record; the
expressions they are written in; and the noise card that measures how given labels differ from true ones.
"""

from segnoise.length import Length
from segnoise.noise.affine import Affine
from segnoise.noise.base import Corruption
from segnoise.noise.boundary import Boundary
from segnoise.noise.coarse import Coarse
from segnoise.noise.commission import Commission
from segnoise.noise.dilate import Dilate, Erode
from segnoise.noise.expression import NOISES, parse, replay
from segnoise.noise.jsrt import Jsrt
from segnoise.noise.kms import Kms
from segnoise.noise.like import noise_like, noise_like_on
from segnoise.noise.markov import Markov
from segnoise.noise.measure import noise_card, noise_card_of
from segnoise.noise.merge import Merge
from segnoise.noise.misregistration import Misregistration
from segnoise.noise.omission import Omission
from segnoise.noise.pair import Pair
from segnoise.noise.polygonise import Polygonise
from segnoise.noise.segments import Segments
from segnoise.noise.share import Share
from segnoise.noise.split import Split
from segnoise.noise.symmetric import Symmetric
from segnoise.noise.whu import Whu

__all__ = [
    "NOISES",
    "Affine",
    "Boundary",
    "Coarse",
    "Commission",
    "Corruption",
    "Dilate",
    "Erode",
    "Jsrt",
    "Kms",
    "Length",
    "Markov",
    "Merge",
    "Misregistration",
    "Omission",
    "Pair",
    "Polygonise",
    "Segments",
    "Share",
    "Split",
    "Symmetric",
    "Whu",
    "noise_card",
    "noise_card_of",
    "noise_like",
    "noise_like_on",
    "parse",
    "replay",
]
