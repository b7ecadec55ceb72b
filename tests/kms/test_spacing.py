"""The KMS field on voxels that are not cubes: correlations by their size, on crops of files, turned and resampled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import fsolve
from torch import Tensor

from segnoise.config import make_config
from segnoise.data import WindowDataset, collate
from segnoise.data.volume import write_volume
from segnoise.kms import error_map, kms_posterior
from segnoise.methods import Objective, Output
from segnoise.training import Run, prepare

SPACING = (1.0, 1.0, 3.0)
LENGTH = 3.0


def correlations(spacing) -> tuple[float, ...]:
    return tuple(np.exp(-np.asarray(spacing, dtype=np.float64) / LENGTH).tolist())


def dense(shape, rho) -> np.ndarray:
    """``R(rho_0) kron R(rho_1) kron R(rho_2)`` with ``R(rho)_ij = rho^|i-j|``, entry by entry."""
    total = np.ones((1, 1))
    for n, r in zip(shape, rho, strict=True):
        total = np.kron(total, np.array([[r ** abs(i - j) for j in range(n)] for i in range(n)]))
    return total


def solved_densely(evidence, rho, mu=-2.0, sigma=1.3133) -> np.ndarray:
    """P(wrong) of the model: for a curvature w the mean by a general solver, then w anew, until neither changes."""
    shape, A = evidence.shape, np.clip(evidence.ravel(), -8, 8)
    K = dense(shape, rho)
    precision = np.linalg.inv(K) / sigma**2
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    mean, w = np.full(A.size, mu), 0.1
    for _ in range(60):
        deviation = np.sqrt(np.linalg.inv(precision + w * np.eye(A.size)).diagonal().mean())

        def expected(m, d=deviation):
            return 1 / (1 + np.exp(-(m[:, None] + d * nodes)))

        def gap(m, expected=expected):
            return m - mu - sigma**2 * (K @ ((expected(m + A) - expected(m)) @ weights))

        mean = fsolve(gap, mean, xtol=1e-12)
        r, p = expected(mean), expected(mean + A)
        w = float(np.clip(((r * (1 - r) - p * (1 - p) / 2) @ weights).mean(), 0.02, 0.25))
    return (expected(mean + A) @ weights).reshape(shape)


@pytest.mark.parametrize("spacing", [SPACING, (3.0, 1.0, 0.5), (2.0, 2.0, 2.0)])
def test_the_posterior_on_a_volume_is_that_of_the_dense_kronecker_product(spacing) -> None:
    rho = correlations(spacing)
    evidence = 3 * torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    reference = solved_densely(evidence[0].numpy(), rho)
    found = kms_posterior(evidence, rho, steps=400).p_wrong[0].numpy()
    np.testing.assert_allclose(found, reference, atol=1e-6)
    # The order of axes is told apart, and so is one correlation for all.
    for other in (rho[::-1], (float(np.mean(rho)),) * 3):
        if other != pytest.approx(rho):
            assert np.abs(solved_densely(evidence[0].numpy(), other) - reference).max() > 1e-3


@pytest.fixture
def scan(tmp_path):
    """Two volumes with voxels of 1, 1 and 3 mm, stored with axes towards left, front and feet."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    affine = np.diag([-1.0, 1.0, -3.0, 1.0])
    for k in range(2):
        values = np.random.default_rng(k).normal(size=(12, 10, 8)).astype(np.float32)
        write_volume(tmp_path / "images" / f"{k}.nii.gz", values, affine)
        write_volume(tmp_path / "labels" / f"{k}.nii.gz", (values > 0.5).astype(np.uint8), affine)
    return tmp_path


def crops(folder, augment, **data) -> dict:
    """A batch of 16 training crops of 6 x 6 x 6 voxels, as ``train`` makes them."""
    described = {
        "kind": "volume", "images": ["images/*.nii.gz"], "labels": "labels", "classes": ["none", "some"], "window": 6,
        "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.5, "test": 0}}, **data,
    }  # fmt: skip
    prepared = prepare(make_config({"data": described}, base=folder), Run(folder / "run"))
    dataset = WindowDataset(
        prepared.sources, prepared.given, prepared.regions["train"], (6, 6, 6), prepared.scaling, seed=3,
        augment=augment, samples_per_epoch=16,
    )  # fmt: skip
    return collate([dataset[0, k] for k in range(16)])


def label_error(batch, **method) -> tuple[Tensor, Tensor]:
    """What the method ``kms`` says of the crops with a teacher that knows only their values, and the teacher's word."""
    objective = Objective([{"name": "kms", "ensemble": 0, **method}], 2)
    teacher = torch.cat([-batch["image"], batch["image"]], 1).softmax(1)
    return objective(Output(torch.zeros_like(teacher), teacher=teacher), batch).label_error, teacher


@pytest.mark.parametrize(
    ("data", "upright"),
    [
        ({"orientation": None}, (1.0, 1.0, 3.0)),
        ({"orientation": "RAS"}, (1.0, 1.0, 3.0)),
        ({"orientation": "SAR"}, (3.0, 1.0, 1.0)),
        ({"orientation": "PIR"}, (1.0, 3.0, 1.0)),
        ({"orientation": "SAR", "spacing": [1.5, 1.0, 0.5]}, (1.5, 1.0, 0.5)),
        ({"orientation": None, "spacing": [1.0, 1.0, 1.5]}, (1.0, 1.0, 1.5)),
    ],
)  # fmt: skip
def test_a_length_in_millimetres_follows_the_size_of_voxels_into_every_turned_crop(scan, data, upright) -> None:
    batch = crops(scan, True, **data)
    told, teacher = label_error(batch, length="3mm")
    orders = {tuple(abs(o) for o in orientation) for orientation in batch["orientation"].tolist()}
    assert len(orders) > 3
    for k, orientation in enumerate(batch["orientation"].tolist()):
        rho = correlations([upright[abs(o) - 1] for o in orientation])
        expected = error_map(teacher[k : k + 1], batch["mask"][k : k + 1], rho=rho)
        torch.testing.assert_close(told[k : k + 1], expected)


def test_a_length_is_the_correlations_that_it_stands_for(scan) -> None:
    """``length: 3mm`` on voxels of 1, 1 and 3 mm is ``rho: [0.717, 0.717, 0.368]``, in turned crops as well."""
    batch = crops(scan, True)
    by_length, _ = label_error(batch, length="3mm")
    by_rho, _ = label_error(batch, rho=[float(np.exp(-1 / 3)), float(np.exp(-1 / 3)), float(np.exp(-1))])
    torch.testing.assert_close(by_length, by_rho)
    backwards, _ = label_error(batch, rho=[float(np.exp(-1)), float(np.exp(-1 / 3)), float(np.exp(-1 / 3))])
    assert (by_length - backwards).abs().max() > 1e-3


def test_a_turned_crop_has_the_error_map_of_the_upright_one_turned(scan) -> None:
    batch = crops(scan, False)
    upright, _ = label_error(batch, length="3mm")
    turned = {
        "image": batch["image"].permute(0, 1, 4, 2, 3).flip(2),
        "mask": batch["mask"].permute(0, 3, 1, 2).flip(1),
        "spacing": batch["spacing"][:, [2, 0, 1]],
        "orientation": torch.tensor([-3, 1, 2]).expand(16, 3),
    }
    found, _ = label_error(turned, length="3mm")
    torch.testing.assert_close(found, upright.permute(0, 3, 1, 2).flip(1))
