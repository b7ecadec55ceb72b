"""The Kac–Murdock–Szegő Gaussian field, the one model of spatial correlation in segnoise: its covariance as an
operator, draws from it, the posterior of an error field given evidence, and ``error_map`` on any probabilities.
"""

from segnoise.kms.error_map import error_map, label_log_odds, soft_target
from segnoise.kms.field import correlation_length, rho_from_length, sample_field
from segnoise.kms.operator import KMSLinearOperator
from segnoise.kms.posterior import Posterior, kms_posterior

__all__ = [
    "KMSLinearOperator",
    "Posterior",
    "correlation_length",
    "error_map",
    "kms_posterior",
    "label_log_odds",
    "rho_from_length",
    "sample_field",
    "soft_target",
]
