"""Where to look and how to write safely: the pure plan of windows, the blend that joins overlapping
windows without seams, and outputs that appear under their name only when whole.
"""

from segnoise.windows.atomic import atomic_output, refuse_existing
from segnoise.windows.blend import Blend
from segnoise.windows.plan import Window, plan, sides

__all__ = ["Blend", "Window", "atomic_output", "plan", "refuse_existing", "sides"]
