"""The report of a benchmark: complete, alone, and readable on a telephone, in light and in dark."""

from __future__ import annotations

import re
import shutil

import pytest

from segnoise.evaluation.benchmark.description import make_benchmark
from segnoise.evaluation.benchmark.overview import units_of
from segnoise.evaluation.benchmark.page import lede, write_page
from segnoise.evaluation.benchmark.plan import make_plan
from segnoise.evaluation.benchmark.plots import level_panels, looks, rank_panel
from segnoise.evaluation.benchmark.results import Study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(study, path, "segnoise benchmark b.yaml -o 'my folder'")
    return path


def test_it_refers_to_nothing_outside_itself(page):
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*\"", text)
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert "<script" not in text


def test_it_has_every_table_and_picture(page, study):
    text = page.read_text()
    for title in ("Gap closed", "Over the level of the noise", "Ranks", "Cost", "Scores and paired tests",
                  "Do the sets agree?", "Tuning", "Failed cells", "How it was made"):  # fmt: skip
        assert title in text
    assert text.count("<svg") == len(level_panels(study)) + 1
    assert "segnoise benchmark b.yaml -o &#39;my folder&#39;" in text
    assert text.count("Rerun spread: 0.020") == 8


def test_nothing_drawn_keeps_a_colour_of_its_own(page):
    assert not re.findall(r"#01020[0-9a-f]", page.read_text())


def test_identifiers_of_pictures_do_not_clash(page):
    identifiers = re.findall(r' id="([^"]+)"', page.read_text())
    drawn = [name for name in identifiers if re.fullmatch(r"[mp][0-9a-f]{10}", name)]
    assert drawn
    assert len(set(drawn)) == len(drawn)


def test_curves_go_over_the_levels_of_one_noise_from_no_noise_on(study):
    panels = level_panels(study)
    assert [panel.title for panel in panels] == [
        "scenes, kms", "scenes, omission", "fields, kms", "fields, omission",
    ]  # fmt: skip
    assert "cross_entropy: 0 0.810, 0.2 0.710, 0.4 0.510" in panels[0].description


def test_ranks_are_drawn_from_five_units_on(study):
    assert "two networks averaged 1." in rank_panel(units_of(study), study.methods("")).description
    few = study.benchmark.model_copy(update={"noises": ["kms(0.2)"]})
    assert rank_panel(units_of(Study(few, make_plan(few, study.rows), study.rows)), study.methods("")) is None


def test_every_method_has_a_look_of_its_own():
    methods = {"cross_entropy": "plain", **{f"m{k}": "method" for k in range(12)}}
    found = looks(methods)
    assert len({(look.colour, str(look.style)) for look in found.values()}) == 13


def test_the_opening_says_what_came_of_it(study):
    assert lede(study)[0] == "2 methods, 2 data sets, 3 noises and 3 seeds; 137 of 138 results are finished."
    assert lede(study)[1].startswith(
        "Of the gap to clean labels, two networks averaged closes 50\u202f% on average in 4 cases where the noise opens"
    )


def test_an_empty_benchmark_has_a_page_too(tmp_path, described):
    benchmark = make_benchmark(described())
    write_page(Study(benchmark, make_plan(benchmark, {}), {}), tmp_path / "report.html", "segnoise benchmark")
    assert "0 of 9 results are finished" in (tmp_path / "report.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")
def test_it_is_readable_on_a_telephone_and_in_the_dark(page):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            papers = set()
            for scheme in ("light", "dark"):
                tab = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
                said = []
                tab.on("console", lambda message, said=said: said.append(message.text))
                tab.goto(page.as_uri())
                assert tab.evaluate("document.documentElement.scrollWidth") == 390
                assert said == []
                papers.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert len(papers) == 2
        finally:
            browser.close()
