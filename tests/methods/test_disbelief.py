"""Trust in labels from the network and from neighbouring frames: what is believed, and what is done about it."""

from __future__ import annotations

import math

import pytest
import torch

from segnoise.errors import UserError
from segnoise.methods import Context, Objective, Output
from segnoise.methods.frames import Frames

K, T, SIZE = 3, 4, (8, 12)


def clips(n=2, seed=0, sure=2.0):
    """Logits and features that know the class; a fifth of the labels is wrong, some are unknown."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, K, (n, T, *SIZE), generator=g)
    features = torch.eye(16)[:K][truth].movedim(-1, 1) + 0.2 * torch.randn(n, 16, T, *SIZE, generator=g)
    wrong = torch.rand(truth.shape, generator=g) < 0.2
    mask = torch.where(wrong, (truth + 1) % K, truth)
    mask[torch.rand(mask.shape, generator=g) < 0.1] = 255
    logits = sure * torch.nn.functional.one_hot(truth, K).movedim(-1, 1).float()
    return Output(logits, features=features), mask, wrong & (mask != 255)


def objective(videos=(0.5, 0.5), **options):
    made = Objective([{"name": "disbelief", "stride": 1, **options}], K)
    made.begin(len(videos))
    made.methods[0].videos[:] = torch.tensor([[1.0, v] for v in videos])
    return made


@pytest.mark.parametrize("vote", [0.0, 0.3, 1.0])
def test_its_score_is_what_network_and_neighbours_say_of_the_label(vote):
    output, mask, wrong = clips()
    result = objective(vote=vote)(output, {"mask": mask, "index": torch.tensor([0, 1])}, progress=0.0)
    known = mask != 255
    p = output.p
    if vote:
        frames = Frames.of(output.features, mask, 0, 1, "x")
        heard = (frames.vote([1, 0, 1, 2], K, 0.05) + frames.vote([1, 2, 3, 2], K, 0.05)) / 2
        p = p ** (1 - vote) * heard.movedim(1, 2).clamp_min(1e-3) ** vote
    expected = 1 - (p / p.sum(1, keepdim=True)).gather(1, mask.where(known, 0).unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(result.label_error[known], expected[known], atol=1e-5, rtol=1e-4)
    assert result.label_error[wrong].mean() > result.label_error[known & ~wrong].mean() + 0.4


def test_a_label_does_not_vouch_for_itself():
    output, mask, _ = clips(1)
    made = objective(vote=1.0, reference="previous")
    told = {"mask": mask, "index": torch.tensor([0])}
    before = made(output, told, progress=0.0).label_error[0, 3]
    told["mask"] = mask.clone()
    told["mask"][0, 3] = 0
    after = made(output, told, progress=0.0).label_error[0, 3]
    frames = Frames.of(output.features, mask, 0, 1, "x")
    vote = frames.vote([1, 0, 1, 2], K, 0.05)[0, 3]
    torch.testing.assert_close(after, 1 - (vote.clamp_min(1e-3) / vote.clamp_min(1e-3).sum(0))[0], atol=1e-5, rtol=1e-4)
    assert not torch.equal(before, after)


def test_in_the_worst_videos_labels_that_are_not_believed_are_replaced():
    output, mask, wrong = clips()
    made = objective((0.2, 0.9), vote=0.0, worst=0.5, stages=[0, 0, 0], scale=0.0)
    result = made(output, {"mask": mask, "index": torch.tensor([0, 1])}, progress=1.0)
    known = mask != 255
    given = torch.nn.functional.one_hot(mask.where(known, 0), K).movedim(-1, 1) * known.unsqueeze(1)
    changed = (result.target != given).any(1)
    assert torch.equal(changed[0], wrong[0])
    assert not changed[1].any()
    assert (result.target[0].argmax(0)[changed[0]] == output.logits[0].argmax(0)[changed[0]]).all()
    torch.testing.assert_close(result.weight[0][known[0]], torch.full((int(known[0].sum()),), 0.7))
    torch.testing.assert_close(result.weight[1][known[1]], torch.ones(int(known[1].sum())))


def test_means_of_videos_are_those_of_belief_in_the_labels():
    output, mask, _ = clips()
    made = objective()
    made.methods[0].videos.zero_()
    batch = {"mask": mask, "index": torch.tensor([1, 0])}
    result = made(output, batch, progress=0.0)
    made.observe([output], batch, result.supervision, Context())
    for clip, video in ((0, 1), (1, 0)):
        mean = (1 - result.label_error[clip])[mask[clip] != 255].mean()
        torch.testing.assert_close(made.methods[0].videos[video], torch.stack([torch.tensor(1.0), mean]))


def test_unknown_labels_change_nothing():
    output, mask, _ = clips()
    unknown = (mask == 255).unsqueeze(1)
    other = torch.where(unknown, torch.randn_like(output.logits), output.logits)
    told = {"mask": mask, "index": torch.tensor([0, 1])}
    results = [
        objective((0.2, 0.9), vote=0.0, stages=[0, 0, 0])(Output(z), told, progress=1.0) for z in (output.logits, other)
    ]
    assert torch.equal(results[0].target, results[1].target)
    assert torch.equal(results[0].weight, results[1].weight)
    torch.testing.assert_close(results[0].loss, results[1].loss)


def test_it_needs_what_it_uses_and_works_on_images_without_a_vote():
    assert not objective(vote=0.0).needs.features
    assert objective(vote=0.3).needs.features
    assert objective(decay=0.99).needs.teacher is not None
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    result = objective(vote=0.0)(torch.zeros(1, K, 8, 8), {"mask": mask, "index": torch.tensor([0])})
    assert math.isfinite(float(result.loss))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vote": 1.5}, r"method.vote: 1.5 is not in \[0, 1\]"),
        ({"least": -1.0}, r"method.least: -1.0 is not in \[0, 1\]"),
        ({"temperature": 0.0}, "method.temperature: 0.0 is not above 0"),
        ({"reference": "all"}, "method.reference: disbelief knows no reference 'all'"),
        ({"stages": [0.1, 0.2]}, "are not three fractions of training in order"),
        ({"stride": 0}, "method.stride: 0 is less than 1"),
    ],
)
def test_a_wrong_option_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        Objective([{"name": "disbelief", **options}], 2)
