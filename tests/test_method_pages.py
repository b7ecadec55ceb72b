"""The pages of the methods are written by their tool: every method has one, and its verdicts follow the rule."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from segnoise.methods import Objective
from segnoise.methods.names import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def tool() -> Any:
    """Tools import one another by name, as they do where they are run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        before = set(sys.modules)
        yield import_module("draw_method_pages")
        for name in set(sys.modules) - before:
            if name.startswith(("draw_", "method_")):
                del sys.modules[name]


@pytest.fixture(scope="module")
def cells(tool) -> Any:
    return sys.modules["method_cells"]


@pytest.fixture(scope="module")
def pictures(tool) -> Any:
    return sys.modules["method_pictures"]


def row(method: str, seed: int, iou: float, **changes: Any) -> dict[str, Any]:
    """A cell with what the tool reads of one."""
    options = [{"name": method, **changes.pop("options", {})}]
    made = {"study": "methods", "kind": "run", "set": "scenes", "noise": "kms(0.4)", "settings": '{"epochs": 8}'}
    told = json.dumps({"method": options, "training": {}})
    return {**made, "seed": seed, "options": told, "last_iou": iou, "best_iou": iou, **changes}


def study(method: str, differences: list[float], **changes: Any) -> list[dict[str, Any]]:
    """Plain training of `standard` at 0.5, 0.51, ... on noisy and 0.3 more on right labels, and a method beside it."""
    rows = [row(method, s, 0.5 + s / 100 + d, **changes) for s, d in enumerate(differences)]
    rows += [row("cross_entropy", s, 0.5 + s / 100, study="standard") for s in range(5)]
    rows += [row("cross_entropy", s, 0.8 + s / 100, study="standard", noise="none") for s in range(5)]
    rows += [row("cross_entropy", s, 0.6 + s / 100, study="standard", kind="two_networks") for s in range(5)]
    return rows


def only(groups: list[Any], method: str) -> Any:
    (found,) = [group for group in groups if group.method == method]
    return found


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([0.02, 0.03, 0.02, 0.03, 0.02], "helps"),
        ([-0.02, -0.03, -0.02, -0.03, -0.02], "harms"),
        ([0.10, -0.05, 0.04, -0.02, 0.01], "no effect found"),
        ([0.0] * 5, "no effect found"),
        ([0.01] * 5, "helps"),
        ([0.2, 0.21, 0.2, 0.21], "too few seeds"),
        ([-0.3], "too few seeds"),
    ],
)
def test_a_verdict_needs_five_seeds_and_two_standard_errors(cells, differences, said):
    assert cells.verdict(differences) == said
    assert only(cells.groups(study("gce", differences)), "gce").verdict == said


def test_just_below_two_standard_errors_nothing_is_claimed(cells):
    base = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    error = base.std(ddof=1) / np.sqrt(5)
    assert cells.verdict(list(base + 1.99 * error)) == "no effect found"
    assert cells.verdict(list(base + 2.01 * error)) == "helps"
    assert cells.verdict(list(base - 2.01 * error)) == "harms"


def test_runs_are_paired_by_seed_and_only_with_equal_settings_and_noise(cells):
    rows = study("gce", [0.1, 0.2])
    rows += [row("cross_entropy", s, 0.0, settings='{"epochs": 16}', study="twice") for s in range(5)]
    rows += [row("cross_entropy", s, 0.1, noise="omission(0.3)", study="standard") for s in range(5)]
    rows += [row("gce", 7, 0.9)]  # a seed that plain training has not
    found = only(cells.groups(rows), "gce")
    assert found.differences == pytest.approx([0.1, 0.2])
    assert found.gap.mean == pytest.approx(0.5)
    assert (found.set, found.noise) == ("scenes", "kms(0.4)")


def test_other_settings_are_a_set_of_their_own(cells):
    rows = study("gce", [0.1] * 5)
    rows += [row("gce", s, 0.4, settings='{"epochs": 16}', study="twice") for s in range(5)]
    rows += [row("cross_entropy", s, 0.5, settings='{"epochs": 16}', study="twice") for s in range(5)]
    found = {group.set: group.verdict for group in cells.groups(rows) if group.method == "gce"}
    assert found == {"scenes": "helps", "scenes (twice the steps)": "harms"}


def test_options_make_a_method_of_their_own_whatever_its_label(cells, tool):
    rows = study("elr", [0.1] * 5) + [row("elr", s, 0.3, options={"memory": True}) for s in range(5)]
    found = {tool.named(g): g.verdict for g in cells.groups(rows) if g.method == "elr"}
    assert found == {"`elr`": "helps", "`elr`, `memory: true`": "harms"}


def test_seeds_of_two_studies_are_not_mixed(cells):
    rows = study("kms", [0.1, 0.1, 0.1]) + [row("kms", s, 0.2, study="standard") for s in range(5)]
    assert len(only(cells.groups(rows), "kms").differences) == 5
    assert only(cells.groups(rows), "kms").verdict == "harms"


def test_a_rerun_is_no_further_seed_and_tells_the_spread(cells, tool):
    rows = study("gce", [0.01] * 5)
    rows += [row("cross_entropy", 0, 0.45, kind="rerun", study="standard")]
    found = only(cells.groups(rows), "gce")
    spread = cells.rerun_spread(rows)
    assert len(found.differences) == 5
    assert spread == {"scenes": pytest.approx(0.05)}
    assert tool.judged(found, spread) == "**helps**, within reruns"


@pytest.mark.parametrize("method", ["co_teaching", "jocor", "kms"])
def test_methods_of_two_networks_stand_beside_two_networks_averaged(cells, tool, method):
    options = {"peers": True} if method == "kms" else {}
    every = cells.groups(study(method, [0.04] * 5, options=options))
    words = next(words for words in tool.PAGES.values() if method in words.methods)
    written = tool.evidence(words, every, [], {})
    written = written.replace("\N{NO-BREAK SPACE}", " ")
    assert "| two networks averaged | 5 | 0.620 ± 0.007 | +0.100 ± 0.000 | **helps** |" in written
    assert "| +0.040 ± 0.000 | **helps** | -0.060 ± 0.000 |" in written
    assert "**helps** on scenes with `kms(0.4)` (+0.040)" in written
    assert "beside two networks averaged at the same cost: worse on scenes with `kms(0.4)` (-0.060)" in written


def test_a_page_claims_nothing_of_few_seeds_and_of_what_is_not_measured(cells, tool):
    few = tool.evidence(tool.PAGES["mae"], cells.groups(study("mae", [0.2] * 4)), [], {})
    assert "`mae`: fewer than 5 seeds, so nothing is claimed, on scenes with `kms(0.4)`" in few
    assert "4 of 5 seeds |" in few
    assert "`rce` is not measured" in few
    assert "**" not in few


def test_the_page_of_plain_training_says_what_noise_costs(cells, tool):
    rows = study("gce", [0.0] * 5)
    written = tool.evidence(tool.PAGES["cross_entropy"], cells.groups(rows), cells.losses(rows), {})
    assert "Noise **harms** plain training on scenes with `kms(0.4)` (-0.300)" in written
    assert "two networks averaged **helps** on scenes with `kms(0.4)` (+0.100)" in written
    assert "stopped early: no effect found" in written


def test_every_method_has_a_page_in_the_navigation_and_the_table(tool):
    config = re.sub(r"!\S+", "", (ROOT / "mkdocs.yml").read_text())
    listed = set(re.findall(r"methods/\w+\.md", json.dumps(yaml.safe_load(config)["nav"])))
    assert listed == {f"methods/{file}.md" for file in tool.PAGES}
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} == set(tool.PAGES)
    methods = [method for words in tool.PAGES.values() for method in words.methods]
    assert sorted(methods) == sorted(METHODS)
    measured = (DOCS / "methods.md").read_text().partition(tool.BEGIN)[2].partition(tool.END)[0]
    for file, words in tool.PAGES.items():
        for method in words.methods:
            assert f"| [`{method}`](methods/{file}.md)" in measured


def wordy(tool: Any, text: str) -> str:
    """A page without what the cells say and without numbers."""
    return re.sub(r"-?[\d.]+", "#", re.sub(f"{tool.BEGIN}.*{tool.END}", "", text, flags=re.DOTALL))


def test_the_words_are_the_tools_whatever_the_numbers(tool):
    timed = tool.costs((DOCS / "performance.md").read_text())
    for name in tool.PAGES:
        written = (DOCS / "methods" / f"{name}.md").read_text()
        assert tool.BEGIN in written
        assert tool.END in written
        assert wordy(tool, written) == wordy(tool, tool.page(name, (0.5,) * 3, "", timed)), (
            "run tools/draw_method_pages.py"
        )


def test_every_page_has_picture_cost_options_and_paper(tool):
    for name, words in tool.PAGES.items():
        text = (DOCS / "methods" / f"{name}.md").read_text()
        shown = re.findall(r"!\[.+?\]\(\.\./(.+?)\)", text)
        assert shown
        assert all((DOCS / path).is_file() for path in shown)
        for method in words.methods:
            assert re.search(r"\b(19|20)\d\d\b", tool.source(method)), method
            assert tool.source(method) in text
            assert tool.options(method) in text


def test_costs_are_those_of_the_performance_page(tool):
    timed = tool.costs((DOCS / "performance.md").read_text())
    assert set(METHODS) - set(timed) == {"cross_entropy", "image_labels", "ms_tfal", "disbelief"}
    assert "`gce` " + " and ".join(timed["gce"]) in tool.cost(tool.PAGES["gce"], timed)


def test_the_cells_of_the_project_are_read_and_paired(tool, cells):
    found = cells.groups(cells.read_cells(DOCS / "data"))
    assert {group.method for group in found} >= {"gce", "kms", "dice", "elr", "two networks averaged"}
    assert all(len(group.differences) <= 5 for group in found)
    assert only([g for g in found if (g.set, g.noise, g.options) == ("scenes", "none", ())], "gce").gap.mean is None


@pytest.mark.parametrize("classes", [2, 3])
def test_the_curves_are_the_gradients_of_the_losses(pictures, classes):
    p = np.array([0.1, 0.4, 0.9])
    np.testing.assert_allclose(pictures.pull("cross_entropy", classes, p), 1 - p, atol=1e-5)
    np.testing.assert_allclose(pictures.pull({"name": "gce", "q": 0.7}, classes, p), p**0.7 * (1 - p), atol=1e-5)
    np.testing.assert_allclose(pictures.pull("rce", classes, p), -np.log(1e-4) * p * (1 - p), rtol=1e-4)


def test_the_pull_of_a_pixel_in_an_image_is_the_slope_of_the_images_loss(pictures):
    share, p, step = 0.2, 0.3, 1e-3

    def loss(q: float) -> float:
        labels = (torch.arange(pictures.PIXELS) >= share * pictures.PIXELS).long()
        given = torch.full((pictures.PIXELS,), 0.9)
        given[0] = q
        first = torch.where(labels == 0, given, 1 - given)
        return float(Objective(["dice"], 2)(torch.stack([first, 1 - first]).log()[None], {"mask": labels[None]}).loss)

    slope = (loss(p + step) - loss(p - step)) / (2 * step) * p * (1 - p) * pictures.PIXELS  # dp/dz of two classes
    assert pictures.pull_in_image("dice", 2, np.array([p]), share)[0] == pytest.approx(-slope, rel=0.02)


def test_what_is_left_out_is_mostly_wrong_where_networks_know_the_truth(pictures):
    scene = pictures.Drawn()
    wrong = scene.given != scene.true
    for kept in scene.kept("co_teaching"):
        assert wrong[~kept].mean() > 2 * scene.rate
        assert 0.5 * scene.rate < (~kept).mean() < 1.5 * scene.rate


def test_the_table_of_the_results_is_the_one_that_the_cells_give(tool, cells):
    written = (DOCS / "results.md").read_text()
    assert tool.put(written, tool.side_by_side(cells.groups(cells.read_cells(DOCS / "data")))) == written


def test_the_table_has_sets_and_methods_with_seeds_enough_and_the_best_first(tool, cells):
    rows = study("sce", [0.01, 0.02, 0.01, 0.02, 0.01]) + study("mae", [0.03, 0.04, 0.03, 0.04, 0.03])
    rows += study("tloss", [0.1, 0.1]) + study("sce", [0.5, 0.5], set="hippocampus")
    _, *lines = tool.side_by_side(cells.groups(rows)).replace(tool.BEGIN, "").replace(tool.END, "").strip().splitlines()
    assert [line.split(" | ")[0] for line in lines[1:]] == ["| two networks averaged", "| `mae`", "| `sce`"]
    assert lines[2] == "| `mae` | +0.034 ± 0.002 **+** |"
