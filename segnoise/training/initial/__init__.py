"""A first configuration from the user's own files: what is seen in them, what is chosen from it and why, and the
commented YAML that says both.
"""

from segnoise.training.initial.begin import begin
from segnoise.training.initial.draft import Choice, Draft, Files

__all__ = ["Choice", "Draft", "Files", "begin"]
