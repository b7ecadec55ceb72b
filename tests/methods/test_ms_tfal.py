"""MS-TFAL: which weights and labels change when, the means of videos over steps and ranks, and the rules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.errors import UserError
from segnoise.methods import Context, Objective, Output
from segnoise.methods.frames import Frames
from segnoise.methods.mixture import upper_of_two
from segnoise.methods.ms_tfal import MSTFAL, _hardest

K, T, SIZE = 3, 4, (8, 12)
TABLE = [0.4] * 5 + [0.5, 0.6, 0.7, 0.8, 0.9] + [1.0] * 5


def clips(n=2, seed=0, frames=T, unknown=0.1):
    """Features that know the class, labels of which some are wrong."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, K, (n, frames, *SIZE), generator=g)
    code = torch.eye(16)[:K]
    features = code[truth].movedim(-1, 1) + 0.3 * torch.randn(n, 16, frames, *SIZE, generator=g)
    wrong = torch.rand(truth.shape, generator=g) < 0.2
    mask = torch.where(wrong, (truth + 1) % K, truth)
    mask[torch.rand(mask.shape, generator=g) < unknown] = 255
    logits = 2 * torch.nn.functional.one_hot(truth, K).movedim(-1, 1).float()
    return logits, features, mask, wrong & (mask != 255)


def objective(videos=None, **options):
    made = Objective([{"name": "ms_tfal", "stride": 1, **options}], K)
    made.begin(15 if videos is None else len(videos))
    method = made.methods[0]
    if videos is not None:
        method.videos[:, 0] = 1
        method.videos[:, 1] = torch.tensor(videos)
    return made


def asked(made, progress, index, seed=0):
    logits, features, mask, _ = clips(len(index), seed)
    batch = {"mask": mask, "index": torch.tensor(index)}
    return made(Output(logits, teacher=logits.softmax(1), features=features), batch, progress=progress), mask


def test_scales_set_in_one_after_another_and_each_does_its_part_alone():
    """A5 of the specification."""
    made = objective([0.1 * k for k in range(15)], worst=0.2)
    every = list(range(15))
    valid = None
    for progress, stage in [(0.0, 0), (0.119, 0), (0.12, 1), (0.19, 1), (0.2, 2), (0.27, 2), (0.28, 3), (1.0, 3)]:
        result, mask = asked(made, progress, every)
        valid = mask != 255
        weights = [result.weight[k][valid[k]] for k in every]
        assert all((w == w[0]).all() for w in weights), "a clip has one weight"
        weight = torch.stack([w[0] for w in weights])
        given = torch.nn.functional.one_hot(mask.where(valid, 0), K).movedim(-1, 1) * valid.unsqueeze(1)
        changed = (result.target != given).flatten(1).any(1)
        if stage == 0:
            assert (weight == 1).all()
        if stage == 1:
            torch.testing.assert_close(weight, torch.tensor(TABLE))
        if stage >= 2:
            assert not torch.isclose(weight[3:], torch.tensor(TABLE[3:])).any()
        if stage == 3:
            torch.testing.assert_close(weight[:3], torch.full((3,), 0.7))
            assert changed[:3].all()
        assert not changed[3 if stage == 3 else 0 :].any()


def test_the_weight_of_a_clip_is_the_exponential_of_what_its_confidence_exceeds_that_of_all():
    made = objective([0.5] * 15, stages=[0, 0.1, 1], lowest=1.0, scale=3.0)
    result, mask = asked(made, 0.5, [4, 9])
    _, features, _, _ = clips(2)
    frames = Frames.of(features, mask, 0, 1, "x")
    found = frames.affinity([1, 0, 1, 2], K)
    for k in range(2):
        mean = found.confidence[k][found.valid[k]].mean()
        got = result.weight[k][mask[k] != 255]
        torch.testing.assert_close(got, torch.full_like(got, math.exp(3 * (mean - 0.5))))


def test_an_unknown_video_counts_as_good():
    made = objective([0.1, 0.2, 0.3], stages=[0, 1, 1])
    made.methods[0].videos[2, 0] = 0
    result, mask = asked(made, 0.5, [2])
    assert (result.weight[mask != 255] == 1).all()


@pytest.mark.parametrize("rule", ["quantile", "mean", "mixture"])
@pytest.mark.parametrize("normalise", ["class", "raw"])
def test_relabelled_pixels_are_mostly_the_wrong_ones_and_get_what_is_seen(rule, normalise):
    made = objective([0.0], worst=1.0, rule=rule, normalise=normalise, stages=[0, 0, 0])
    made.methods[0].videos.zero_()
    logits, features, mask, wrong = clips(1, unknown=0.0)
    batch = {"mask": mask, "index": torch.tensor([0])}
    output = Output(logits, teacher=logits.softmax(1), features=features)
    made.observe([output], batch, [], Context())
    result = made(output, batch, progress=0.5)
    given = torch.nn.functional.one_hot(mask, K).movedim(-1, 1)
    changed = (result.target != given).any(1)
    assert (result.target.argmax(1)[changed] == logits.argmax(1)[changed]).all()
    precision = float((changed & wrong).sum() / changed.sum())
    recall = float((changed & wrong).sum() / wrong.sum())
    assert precision > 0.9
    assert recall > (0.3 if rule == "quantile" else 0.8)


def test_what_looks_wrong_is_what_the_network_does_not_believe():
    logits, features, mask, _ = clips(2)
    output = Output(logits, teacher=lambda: logits.softmax(1), features=features)
    result = objective()(output, {"mask": mask, "index": torch.tensor([0, 1])})
    known = mask != 255
    p = logits.softmax(1).gather(1, mask.where(known, 0).unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(result.label_error, torch.where(known, 1 - p, 0.0))
    assert not result.calibrated


def test_means_of_videos_are_the_same_over_ranks_and_batches_of_any_order():
    logits, features, mask, _ = clips(4)
    index = torch.tensor([2, 0, 2, 5])

    def observed(parts):
        made = [objective([0.0] * 6) for _ in parts]
        for m in made:
            m.methods[0].videos.zero_()
        sums = []
        for m, part in zip(made, parts, strict=True):
            output = Output(logits[part], teacher=logits[part], features=features[part])
            batch = {"mask": mask[part], "index": index[part]}
            m.observe([output], batch, [], Context(over_ranks=lambda x: sums.append(x.clone()) or x))
        total = sum(sums)
        for m, part in zip(made, parts, strict=True):
            m.methods[0].videos.zero_()
            output = Output(logits[part], teacher=logits[part], features=features[part])
            m.observe([output], {"mask": mask[part], "index": index[part]}, [], Context(over_ranks=lambda _: total))
        return [m.methods[0].videos for m in made]

    (whole,) = observed([[0, 1, 2, 3]])
    for rank in [*observed([[0, 1], [2, 3]]), *observed([[3, 2, 1, 0]])]:
        torch.testing.assert_close(rank, whole)
    assert whole[:, 0].tolist() == [1, 0, 2, 0, 0, 1]
    assert not whole[1].any()


def test_a_mean_over_many_visits_forgets_the_first_ones():
    made = objective([0.0])
    logits, features, mask, _ = clips(1)
    method, batch = made.methods[0], {"mask": mask, "index": torch.tensor([0])}
    output = Output(logits, features=features)
    for _ in range(3):
        made.observe([output], batch, [], Context())
    now = method.videos[0, 1].clone()
    made.observe([output], batch, [], Context())
    torch.testing.assert_close(method.videos[0, 1], now * 3 / 4 + (now * 4 / 3) / 4, atol=0.2, rtol=0.2)


def test_weights_are_saved_and_read_by_an_objective_that_was_told_nothing():
    made = objective([0.3, 0.1])
    other = Objective([{"name": "ms_tfal"}], K)
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.methods[0].videos, made.methods[0].videos)
    other.begin(2)
    assert torch.equal(other.methods[0].videos, made.methods[0].videos), "a resumed run keeps them"


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.05, 1.0))
def test_the_published_loss_is_the_mean_of_the_hard_pixels(seed, known):
    g = torch.Generator().manual_seed(seed)
    loss, valid = torch.rand(2, 6, 8, generator=g) ** 2, torch.rand(2, 6, 8, generator=g) < known
    weight = _hardest(loss, valid)
    values = loss[valid].sort(descending=True).values
    if len(values):
        kept = values[: max(int((values >= -math.log(0.7)).sum()), len(values) // 16, 1)]
        torch.testing.assert_close((weight * loss)[valid].mean(), kept.mean())
    assert not weight[~valid].any()


def test_labels_that_are_unknown_change_nothing():
    logits, features, mask, _ = clips(2, unknown=0.3)
    unknown = (mask == 255).unsqueeze(1)
    results = []
    for f in (features, torch.where(unknown, torch.randn_like(features), features)):
        made = objective([0.2, 0.1], stages=[0, 0, 0], worst=1.0, rule="mean")
        output = Output(logits, teacher=logits.softmax(1), features=f)
        batch = {"mask": mask, "index": torch.tensor([0, 1])}
        made.observe([output], batch, [], Context())
        results.append((made(output, batch), made.methods[0].videos))
    (a, videos), (b, others) = results
    assert torch.equal(a.target, b.target)
    assert torch.equal(a.weight, b.weight)
    torch.testing.assert_close(videos, others)


@pytest.mark.parametrize("reference", ["previous", "next", "both", "same", "random"])
@pytest.mark.parametrize("axis", [0, 2])
def test_time_may_be_any_axis(reference, axis):
    logits, features, mask, _ = clips(2)
    told = {"reference": reference, "stages": [0, 0, 0], "worst": 0.5, "rule": "mean"}
    first = objective([0.2, 0.1], **told)(
        Output(logits, teacher=logits.softmax(1), features=features), {"mask": mask, "index": torch.tensor([0, 1])}
    )
    moved = [x.movedim(2, 2 + axis) for x in (logits, features)]
    second = objective([0.2, 0.1], axis=axis, **told)(
        Output(moved[0], teacher=moved[0].softmax(1), features=moved[1]),
        {"mask": mask.movedim(1, 1 + axis), "index": torch.tensor([0, 1])},
    )
    torch.testing.assert_close(first.weight.movedim(1, 1 + axis), second.weight)
    torch.testing.assert_close(first.target.movedim(2, 2 + axis), second.target)
    given = torch.nn.functional.one_hot(mask.where(mask != 255, 0), K).movedim(-1, 1) * (mask != 255).unsqueeze(1)
    assert (first.target != given).any()


def test_coarse_features_look_at_labels_in_the_middle_of_their_cells():
    mask = torch.arange(4 * 8 * 12).view(1, 4, 8, 12)
    frames = Frames.of(torch.rand(1, 5, 4, 4, 6), mask, 0, 1, "x")
    assert torch.equal(frames.labels, mask[:, :, 1::2, 1::2])
    pooled = Frames.of(torch.rand(1, 5, 4, 8, 12), mask, 0, 4, "x")
    assert pooled.features.shape == (1, 4, 5, 2, 3)
    spread = frames.on_image(torch.full((1, 4, 2, 4, 6), 0.25))
    assert torch.equal(spread, torch.full((1, 2, 4, 8, 12), 0.25))


@pytest.mark.parametrize(("step", "expected"), [(1, [1, 0, 1, 2]), (2, [2, 3, 0, 1])])
def test_at_the_first_frame_the_neighbour_on_the_other_side_is_taken(step, expected):
    frames = Frames.of(torch.rand(1, 5, 4, 4, 6), torch.zeros(1, 4, 4, 6, dtype=torch.long), 0, 1, "x")
    assert frames.references("previous", step, 0) == [expected]
    assert frames.references("random", step, 3) == frames.references("random", step, 3)


def test_two_normal_distributions_are_told_apart():
    g = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(400, generator=g), torch.randn(600, generator=g) + 4])
    p = upper_of_two(x, torch.ones(1000, dtype=torch.bool))
    assert abs(float(p.mean()) - 0.6) < 0.05
    assert ((p > 0.5) == (torch.arange(1000) >= 400)).float().mean() > 0.95
    order = x.argsort()
    assert (p[order].diff() >= -1e-6).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "before"}, "method.reference: ms_tfal knows no reference 'before'"),
        ({"rule": "median"}, "method.rule: ms_tfal knows no 'median'"),
        ({"stages": [0.3, 0.2, 0.4]}, r"method.stages: \[0.3, 0.2, 0.4\] are not three fractions of training in order"),
        ({"worst": 1.5}, r"method.worst: 1.5 is not in \[0, 1\]"),
        ({"stride": 0}, "method.stride: 0 is less than 1"),
    ],
)
def test_a_wrong_option_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        MSTFAL(3, **options)


def test_images_single_frames_and_missing_features_are_refused():
    mask = torch.zeros(1, 8, 12, dtype=torch.long)
    made = objective()
    with pytest.raises(UserError, match="method ms_tfal: is for clips and volumes, but the images have 2 axes"):
        made(Output(torch.zeros(1, 3, 8, 12), features=torch.zeros(1, 4, 8, 12)), {"mask": mask})
    with pytest.raises(UserError, match=r"a clip has one; set data\.frames to 2"):
        made(Output(torch.zeros(1, 3, 1, 8, 12), features=torch.zeros(1, 4, 1, 8, 12)), {"mask": mask.unsqueeze(1)})
    with pytest.raises(UserError, match="method ms_tfal: looks at the network's features; give Output"):
        made(torch.zeros(1, 3, 2, 8, 12), {"mask": mask.expand(2, 8, 12)[None]})
