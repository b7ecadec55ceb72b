"""The noise card: how given labels differ from true ones, in numbers that say what kind of noise it is, for one pair
of maps or pooled over a set.
"""

from segnoise.noise.measure.card import FORMAT, noise_card, noise_card_of

__all__ = ["FORMAT", "noise_card", "noise_card_of"]
