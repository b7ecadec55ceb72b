"""The Kac–Murdock–Szegő Gaussian field, the one model of spatial correlation in segnoise: its covariance as an
operator, draws from it, the posterior of an error field given evidence and how well it explains the labels, the field
learned from evidence, and ``error_map`` on any probabilities.
"""

from segnoise.kms.bound import kms_bound
from segnoise.kms.error_map import error_map, label_log_odds, soft_target
from segnoise.kms.estimate import FieldEstimate, FieldPriors, estimate_field, mean_logit
from segnoise.kms.field import correlation_length, rho_from_length, sample_field
from segnoise.kms.operator import KMSLinearOperator
from segnoise.kms.posterior import Posterior, kms_posterior
from segnoise.kms.published import published_log_odds, published_posterior

__all__ = [
    "FieldEstimate",
    "FieldPriors",
    "KMSLinearOperator",
    "Posterior",
    "correlation_length",
    "error_map",
    "estimate_field",
    "kms_bound",
    "kms_posterior",
    "label_log_odds",
    "mean_logit",
    "published_log_odds",
    "published_posterior",
    "rho_from_length",
    "sample_field",
    "soft_target",
]
