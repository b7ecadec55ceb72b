from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segnoise.data import (
    PhotometricDraw,
    apply_photometric,
    draw_orientation,
    draw_photometric,
    orient,
    unorient,
)
from segnoise.draws import generator

D4 = [tuple(a * s for a, s in zip(axes, signs, strict=True))
      for axes in itertools.permutations((1, 2)) for signs in itertools.product((1, -1), repeat=2)]  # fmt: skip


@st.composite
def orientations(draw, n):
    axes = draw(st.permutations(range(1, n + 1)))
    return tuple(a * draw(st.sampled_from((1, -1))) for a in axes)


@given(st.integers(1, 3).flatmap(orientations), st.integers(0, 2))
def test_unorient_undoes_orient_behind_any_leading_axes(orientation, leading):
    shape = (2, 3)[:leading] + (4, 5, 6)[: len(orientation)]
    array = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(unorient(orient(array, orientation), orientation), array)
    assert np.array_equal(orient(unorient(array, orientation), orientation), array)


@given(st.integers(1, 3).flatmap(orientations))
def test_numpy_and_torch_turn_alike(orientation):
    array = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    turned = orient(torch.from_numpy(array), torch.tensor(orientation))
    assert np.array_equal(turned.numpy(), orient(array, orientation))


@given(orientations(2))
def test_axis_i_shows_source_axis_o_i_reversed_where_negative(orientation):
    row, column = np.indices((4, 5))
    for i, o in enumerate(orientation):
        shown = np.take(orient((row, column)[abs(o) - 1], orientation), 0, axis=1 - i)
        along = np.arange((4, 5)[abs(o) - 1])
        assert np.array_equal(shown, along if o > 0 else along[::-1])


def test_the_eight_orientations_are_the_flips_and_quarter_turns():
    array = np.arange(9).reshape(3, 3)
    ours = {orient(array, o).tobytes() for o in D4}
    rotations = {np.rot90(a, k).tobytes() for a in (array, array.T) for k in range(4)}
    assert ours == rotations
    assert len(ours) == 8


def test_the_eight_orientations_are_closed_under_composition():
    array = np.arange(9).reshape(3, 3)
    ours = {orient(array, o).tobytes() for o in D4}
    assert {orient(orient(array, a), b).tobytes() for a in D4 for b in D4} == ours


def test_draws_are_even_over_the_eight():
    rng = generator(0)
    draws = [draw_orientation(rng) for _ in range(8000)]
    counts = [draws.count(o) for o in D4]
    assert sum(counts) == 8000
    assert min(counts) > 850
    assert max(counts) < 1150


class TestPhotometric:
    image = torch.from_numpy(np.random.default_rng(0).normal(0.4, 2, (3, 20, 30)).astype(np.float32))
    observed = torch.from_numpy(np.random.default_rng(1).random((20, 30)) < 0.8)
    image = torch.where(observed, image, 0)
    nothing = PhotometricDraw(0.0, 1.0, (1.0, 1.0, 1.0), 0.0, 0)

    def test_the_empty_draw_changes_nothing(self):
        assert torch.allclose(apply_photometric(self.image, self.observed, self.nothing), self.image, atol=1e-6)

    def test_strength_0_is_the_empty_draw(self):
        draw = draw_photometric(generator(0), 3, strength=0.0)
        assert (draw.brightness, draw.contrast, draw.gain, draw.noise) == (0, 1, (1, 1, 1), 0)

    @pytest.mark.parametrize("seed", range(5))
    def test_unobserved_pixels_stay_0_and_count_for_nothing(self, seed):
        draw = draw_photometric(generator(seed), 3, strength=2.0)
        changed = apply_photometric(self.image, self.observed, draw)
        assert (changed[:, ~self.observed] == 0).all()
        spoilt = torch.where(self.observed, self.image, 1e6)
        assert torch.equal(apply_photometric(spoilt, self.observed, draw), changed)

    def test_each_part_does_what_it_says(self):
        seen = self.observed
        means = self.image[:, seen].mean(dim=1)
        deviation = (self.image[:, seen] - means[:, None]).square().mean().sqrt()

        def change(**parts):
            return apply_photometric(self.image, seen, PhotometricDraw(**{**vars(self.nothing), **parts}))[:, seen]

        given_pixels = self.image[:, seen]
        assert torch.allclose(change(brightness=0.5), given_pixels + 0.5 * deviation, atol=1e-5)
        assert torch.allclose(change(contrast=2.0), 2 * given_pixels - means[:, None], atol=1e-4)
        gain = torch.tensor([1.0, 2.0, 0.5])
        assert torch.allclose(change(gain=(1.0, 2.0, 0.5)), gain[:, None] * given_pixels, atol=1e-5)
        noise = change(noise=0.1, noise_seed=3) - given_pixels
        assert noise.std() / deviation == pytest.approx(0.1, rel=0.1)
        assert torch.equal(change(noise=0.1, noise_seed=3), change(noise=0.1, noise_seed=3))
        assert not torch.equal(change(noise=0.1, noise_seed=3), change(noise=0.1, noise_seed=4))

    def test_the_result_does_not_depend_on_the_number_of_threads(self):
        image = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 300, 300)).astype(np.float32))
        observed = torch.ones(300, 300, dtype=torch.bool)
        draw, threads = draw_photometric(generator(0), 4), torch.get_num_threads()
        results = []
        try:
            for n in (1, 2):
                torch.set_num_threads(n)
                results.append(apply_photometric(image, observed, draw))
        finally:
            torch.set_num_threads(threads)
        assert torch.equal(*results)

    def test_nothing_observed_is_nothing_changed(self):
        blank = torch.zeros(3, 4, 5)
        draw = draw_photometric(generator(0), 3)
        assert torch.equal(apply_photometric(blank, torch.zeros(4, 5, dtype=torch.bool), draw), blank)
