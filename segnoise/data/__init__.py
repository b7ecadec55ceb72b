"""Where samples come from: readers of imagery and labels by window, scaling, splits, augmentation, and
the sample dictionary every domain shares; ``scenes`` makes procedural landscapes with exact truth.
"""

from segnoise.data.sample import IGNORE_INDEX, Meta, Sample, collate
from segnoise.data.source import ArrayLabels, ArraySource, Labels, Source

__all__ = ["IGNORE_INDEX", "ArrayLabels", "ArraySource", "Labels", "Meta", "Sample", "Source", "collate"]
