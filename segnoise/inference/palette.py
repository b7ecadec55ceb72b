"""The colours of classes, in reports and in overlay videos."""

from __future__ import annotations

CLASS_COLOURS = ("#ddd6c7", "#5b9a6f", "#a8452f", "#4f7cac", "#d9a441", "#8d6a9f", "#6f7d8c", "#c98b9b", "#3f5d4c")
"""Colours of label maps: a quiet ground for class 0, then the classes; longer lists of classes start anew at 1."""


def class_colour(index: int) -> str:
    """The colour of a class wherever it is drawn.

    >>> class_colour(0), class_colour(1), class_colour(9) == class_colour(1)
    ('#ddd6c7', '#5b9a6f', True)
    """
    return CLASS_COLOURS[0] if index == 0 else CLASS_COLOURS[1 + (index - 1) % (len(CLASS_COLOURS) - 1)]
