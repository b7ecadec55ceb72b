"""What the method pages say in words: the idea, the equation, and what a picture shows. Numbers come from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A page: of one method or of a family.

    ``pictures`` are (file, alternative text, caption); a caption has places for what its picture tells in numbers.
    """

    title: str
    methods: tuple[str, ...]
    idea: str
    equations: tuple[str, ...]
    pictures: tuple[tuple[str, str, str], ...]
    also: str = ""
    two_networks: bool = False


_PULL = "How hard a pixel pulls at the logit of its label, against the probability that the network gives to it; drawn by the method itself."
_STRIP = "A drawn landscape with errors in patches, and a network that errs in patches too."

PAGES: dict[str, Words] = {
    "cross_entropy": Words(
        "Plain training",
        ("cross_entropy",),
        "Every label is taken for right. A pixel pulls the harder the less the network believes its label, so a wrong label pulls hardest "
        "of all, until it is learnt by heart. This is what every method here is compared with.",
        ("*l* = − Σ<sub>k</sub> τ<sub>k</sub> log p<sub>k</sub>,  τ = (1 − ε) e<sub>y</sub> + ε / C",),
        (
            (
                "cross_entropy",
                "Pull of cross-entropy with and without label smoothing",
                f"{_PULL} Label smoothing (ε) makes the pull end before p = 1, and turn round there.",
            ),
        ),
        "The table shows what noise costs: IoU on noisy labels minus IoU on right ones from the same seed. Below it are two things that need no "
        "method at all: to keep the weights that are best on the *given* validation labels, and to average two plain networks, which "
        "takes twice the time.",
    ),
    "gce": Words(
        "Generalised cross-entropy",
        ("gce",),
        "A pixel whose label the network does not believe counts less. What is wrong here and there is not believed and fades; what is wrong in a "
        "whole patch is learnt sooner or later, is believed then, and counts again.",
        ("*l* = (1 − p(y)<sup>q</sup>) / q, which is cross-entropy with the weight p(y)<sup>q</sup>",),
        (
            (
                "gce",
                "Pull of generalised cross-entropy for three q",
                f"{_PULL} Where the label is not believed (left) cross-entropy pulls hardest, and `gce` lets go.",
            ),
        ),
    ),
    "sce": Words(
        "Symmetric cross-entropy",
        ("sce",),
        "Cross-entropy, which learns quickly, plus a second term that asks the other way round and lets go of labels that are not believed.",
        ("*l* = − α log p(y) + β A (1 − p(y)),  A = − log 10<sup>−4</sup>",),
        (
            (
                "sce",
                "Pull of symmetric cross-entropy for three pairs of alpha and beta",
                f"{_PULL} α decides what is left of the pull where the label is not believed, β how high the arch is.",
            ),
        ),
    ),
    "mae": Words(
        "Mean absolute error, and reverse cross-entropy",
        ("mae", "rce"),
        "Summed over all labels that a pixel might have been given, these losses are constant, so errors that hit every class alike cancel out in "
        "the mean. The price is slow learning: a pixel that is not believed hardly counts, right or wrong. The two differ by a factor, which "
        "Adam divides out.",
        ("mae: *l* = 1 − p(y)", "rce: *l* = A (1 − p(y)),  A = − log 10<sup>−4</sup>"),
        (
            (
                "mae",
                "Pull of mean absolute error and of reverse cross-entropy",
                f"{_PULL} Only doubtful pixels pull: neither what is believed nor what is not.",
            ),
        ),
    ),
    "nce": Words(
        "Normalised cross-entropy with a partner",
        ("nce_rce", "nce_mae"),
        "Cross-entropy divided by its sum over all labels, so that errors that hit every class alike cancel. Alone it learns too little, for "
        "it can also fall by making other classes less likely still; so a second loss stands beside it that falls only with the label itself.",
        (
            "nce_rce: *l* = α N + β A (1 − p(y)),  N = log p(y) / Σ<sub>k</sub> log p<sub>k</sub>,  A = − log 10<sup>−4</sup>",
            "nce_mae: *l* = α N + β (1 − p(y))",
        ),
        (
            (
                "nce",
                "Pull of normalised cross-entropy alone and with two partners",
                f"{_PULL} With their defaults the two are almost the same; the partner gives them most of their pull.",
            ),
        ),
    ),
    "bootstrap": Words(
        "Bootstrapping",
        ("bootstrap_soft", "bootstrap_hard"),
        "The label has only part of the say. In the soft form the rest rewards the network for being sure of anything; in the hard form it goes "
        "to the class that a teacher, a slow average of the network, holds for most likely.",
        (
            "bootstrap_soft: *l* = − β log p(y) + (1 − β) H(p),  H the entropy",
            "bootstrap_hard: *l* = − Σ<sub>k</sub> τ<sub>k</sub> log p<sub>k</sub>,  τ = β e<sub>y</sub> + (1 − β) e<sub>m</sub>,  m the teacher's first choice",
        ),
        (
            (
                "bootstrap_soft",
                "Pull of soft bootstrapping for three shares of the label",
                f"{_PULL} The reward for being sure pulls away from labels that are less likely than another class, and towards those that are more.",
            ),
            (
                "bootstrap_hard",
                "Given labels, a teacher, and the target of hard bootstrapping",
                f"{_STRIP} The target of `bootstrap_hard` is black and white where label and teacher agree, and grey where they do not; the label keeps "
                "the larger part, so {0:.0%} of the labels and {1:.0%} of the targets are on the wrong side, but with less force.",
            ),
        ),
    ),
    "forward": Words(
        "Forward correction",
        ("forward",),
        "What the network predicts passes through a table of how classes are confused before it is compared with the labels, so a wrong label "
        "can be explained without being believed. The table is given, told by held-out labels, or learnt; it is the same for all pixels.",
        (
            "*l* = − log Σ<sub>k</sub> p<sub>k</sub> T<sub>ky</sub>,  T<sub>ky</sub> = P(label y | class k)",
            "which is cross-entropy to the target τ<sub>k</sub> = p<sub>k</sub> T<sub>ky</sub> / Σ<sub>j</sub> p<sub>j</sub> T<sub>jy</sub>",
        ),
        (
            (
                "forward",
                "Given labels, network, probability that a label is wrong, and target",
                f"{_STRIP} With the true error rate `forward` follows the network where that is sure: {{0:.0%}} of the labels are wrong, {{1:.0%}} of the "
                "targets. It judges each pixel alone, hence the grain.",
            ),
        ),
    ),
    "elr": Words(
        "Early-learning regularisation",
        ("elr",),
        "Networks learn what is right before they learn what is wrong. A term is added that holds the network to what a teacher, a slow "
        "average of itself, said before: what it became sure of early it is not to unlearn for a label.",
        ("*l* = − log p(y) + λ log(1 − ⟨p, t⟩),  t the belief of the teacher, or of a memory of each pixel",),
        (
            (
                "elr_pull",
                "Pull of early-learning regularisation for three beliefs of the teacher",
                f"{_PULL} Where the teacher gives the label 0.1, the pull turns round (below the line): away from the label. With three classes it fades instead, "
                "for the rest of the belief is shared by two.",
            ),
            (
                "elr",
                "Given labels, network, and pull of cross-entropy and of early-learning regularisation",
                f"{_STRIP} Orange pulls towards “field”, violet away; colours end at 1. Cross-entropy pulls at the wrong labels and along the outlines; `elr` "
                "pulls everywhere, towards what the teacher says: wrong labels pull with {0:.2f} under cross-entropy and {1:.2f} under `elr`. "
                "Where the teacher is wrong it holds on to that as well.",
            ),
        ),
    ),
    "co_teaching": Words(
        "Two networks that choose for each other",
        ("co_teaching", "jocor"),
        "Two networks are trained on the same batches. In `co_teaching` each learns only from the pixels whose loss is small under the other; in `jocor` "
        "both learn from the pixels whose common loss is small, and are drawn to agree. They predict with the mean of their probabilities, "
        "so they have to be better than two plain networks averaged, not than one.",
        (
            "co_teaching: *l*<sub>1</sub> = − w<sub>2</sub> log p<sub>1</sub>(y),  w<sub>2</sub> = 1 where the loss of network 2 is among the smallest of its class, else 0",
            "jocor: *l* = w [ (1 − λ) (CE<sub>1</sub> + CE<sub>2</sub>) + λ (KL(p<sub>1</sub> | p<sub>2</sub>) + KL(p<sub>2</sub> | p<sub>1</sub>)) ]",
        ),
        (
            (
                "co_teaching",
                "Given labels, and the pixels that co-teaching by pixels and by regions and joint training leave out",
                "A drawn landscape with errors in patches, and two networks that err in different patches and know the true error rate. Of what is left out "
                "{0:.0%} is wrong by pixels, {1:.0%} by regions and {2:.0%} in `jocor`; the rest are outlines and narrow gaps, which are right and hard. These "
                "networks have learnt the truth, which is the best case; one that is misled leaves out what is right.",
            ),
        ),
        two_networks=True,
    ),
    "kms": Words(
        "Errors in patches",
        ("kms",),
        "A wrong label makes its neighbour suspicious. The error rate is a field over the image; what a network says is evidence for or against "
        "every label, the field carries it to the neighbours, and the target moves away from labels that are probably wrong. The model has "
        "[a page of its own](../kms.md).",
        ("τ(y) = 1 − π,  τ(k) = π p<sub>k</sub> / (1 − p(y)),  π = P(label is wrong) with the true label summed out",),
        (
            (
                "kms",
                "Given labels, network, probability that a label is wrong, and target",
                f"{_STRIP} {{0:.0%}} of the labels are wrong, {{1:.0%}} of the targets. Unlike [`forward`](forward.md), which has the same evidence and error rate, "
                "it is sure of whole patches.",
            ),
        ),
        "With `peers: true` two networks are trained, which have to be better than two plain ones averaged. Which `kms` a row is of, where it was "
        "changed since, stands in [the results](../results.md).",
        two_networks=True,
    ),
    "dice": Words(
        "Overlap losses",
        ("dice", "tversky"),
        "The overlap of whole regions in the place of a mean over pixels: a small object counts as much as a large one. Nothing in it is "
        "made for wrong labels, and noise inflates its masks: the best mask takes every pixel above half of the overlap that can be had.",
        ("*l* = 1 − TP / (TP + α FP + β FN), the mean over an image's classes; dice: α = β = 0.5",),
        (
            (
                "dice",
                "Pull of Dice for labels whose class covers three shares of the image, and of Tversky",
                f"{_PULL} The loss is of the whole image, so the pull depends on the rest of it: here the network gives all other labels 0.9, and the label's class "
                "covers 5, 20 or 50 % of the image. The smaller the class, the stronger each of its pixels.",
            ),
        ),
    ),
    "nr_dice": Words(
        "Noise-robust Dice",
        ("nr_dice",),
        "Dice with a milder price for large differences, as at a wrong label that the network does not believe.",
        (
            "*l* = Σ<sub>i</sub> |p<sub>ik</sub> − τ<sub>ik</sub>|<sup>γ</sup> / Σ<sub>i</sub> (p<sub>ik</sub>² + τ<sub>ik</sub>²), the mean over an image's classes",
        ),
        (
            (
                "nr_dice",
                "Pull of noise-robust Dice for three gammas",
                f"{_PULL} The label's class covers 20 % of the image, whose other labels get 0.9. γ = 2 is Dice of squares; a smaller γ lets go of labels that are "
                "not believed a little more.",
            ),
        ),
    ),
    "tloss": Words(
        "T-Loss",
        ("tloss",),
        "The differences of a whole image under a distribution with heavy tails: an image that contradicts the network altogether counts less, "
        "as one of an annotator's bad day. It weighs images, never pixels.",
        (
            "*l* = (ν + D) / 2 · log(1 + |δ|² / ν) / D + what depends on ν alone,  δ = p − τ over the D numbers of an image,  ν learnt",
        ),
        (
            (
                "tloss",
                "Pull of T-Loss in images that contradict the network in three degrees",
                f"{_PULL} Of the other labels of its image the network contradicts 2, 20 or 50 %. The same pixel pulls many times as hard in an image that is "
                "believed.",
            ),
        ),
    ),
    "ms_tfal": Words(
        "Temporal feature affinity",
        ("ms_tfal", "disbelief"),
        "For clips and volumes. What looks alike in the next frame should be labelled alike: a pixel is trusted as far as it resembles the pixels of its own "
        "class in a neighbouring frame more than those of other classes. The trust weighs whole videos by rank, then clips, and in the worst videos "
        "the least trusted pixels are given the class that is seen in them. `disbelief` keeps the scales and trusts a label as far as the network believes it, and on request as the "
        "labels of neighbouring frames vote for it.",
        (
            "C<sub>i</sub> = mean { ⟨f<sub>i</sub>, f′<sub>j</sub>⟩ : y′<sub>j</sub> = y<sub>i</sub> } + 1 − mean { ⟨f<sub>i</sub>, f′<sub>j</sub>⟩ : y′<sub>j</sub> ≠ y<sub>i</sub> }, "
            "over the pixels j of the neighbouring frame, exactly, from the sums of each class",
            "*l* = a b · cross-entropy,  a = exp(2 (C<sub>clip</sub> − C<sub>all</sub>)),  b by the rank of the video",
            "`disbelief`:  C<sub>i</sub> = q<sub>i</sub>(y),  q<sub>i</sub>(k) ∝ p<sub>i</sub>(k)<sup>1 − ω</sup> v<sub>i</sub>(k)<sup>ω</sup>,  v<sub>i</sub> = Σ<sub>j</sub> softmax<sub>j</sub>(⟨f<sub>i</sub>, f′<sub>j</sub>⟩ / t) e<sub>y′<sub>j</sub></sub>",
        ),
        (
            (
                "ms_tfal",
                "Weight of a video by its rank, and of a clip by its confidence",
                "The weights that the method itself gives: of a video by the rank of its confidence among all (left), and of a clip by how far its confidence "
                "is from the mean of all videos (right).",
            ),
        ),
        "It is made for sets in which some videos are badly labelled throughout. The map of label errors is 1 − p(label) of the network. [What a step costs](../performance.md#video).",
    ),
    "image_labels": Words(
        "Labels of whole images",
        ("image_labels",),
        "Somebody says that a class is in an image, or a slice, or is not; nobody has drawn where. “Is not” holds for every pixel. “Is” is "
        "told to the pixels that look most like it. It stands beside any other method ([how to use it](../methods.md#labels-of-whole-images)).",
        (
            "*l* += BCE(said, pool of log-odds u) + 0.2 · mean over the pixels that lack a class of − log(1 − Σ p<sub>absent</sub>)",
        ),
        (
            (
                "image_labels",
                "A network, and how a label of the whole image pulls at its pixels under two poolings, and where the class is absent",
                "How one word about the whole image pulls at the logit of “field” in each pixel: orange towards it, violet away, weak pulls enhanced. `top_q` tells the "
                "surest share of the pixels, `lse` hardly more than one (in the ring), and “no field” tells all.",
            ),
        ),
    ),
}
"""The pages by the name of their file, in the order of the navigation."""
