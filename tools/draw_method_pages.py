"""Draws docs/assets/methods/*.png and writes docs/methods/*.md and the tables in docs/methods.md and docs/results.md,
from the cells so far.

python tools/draw_method_pages.py
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from method_cells import (
    EARLY,
    FEWEST_SEEDS,
    HARMS,
    HELPS,
    NOTHING,
    PLAIN,
    SETS,
    TOO_FEW,
    TWO,
    Group,
    chance,
    groups,
    losses,
    read_cells,
    rerun_spread,
    verdict,
)
from method_pictures import draw_all
from method_words import PAGES, Words

from segnoise.evaluation.benchmark.statistics import standard_error
from segnoise.methods.names import METHODS
from segnoise.methods.objective import method_defaults
from segnoise.methods.pooling import lse, mean, noisy_or, top_q

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- From the cells, by tools/draw_method_pages.py. -->", "<!-- End of what the cells say. -->"
VARIANTS = {
    ("elr", (("memory", "true"),)): "elr, memory",
    ("kms", (("ensemble", "0.0"),)): "kms, teacher",
    ("kms", (("peers", "true"),)): "kms, peers",
}
"""How docs/performance.md calls methods with options."""

HEAVY, IN_STANDARD = "kms(0.4)", (PLAIN, "gce", "kms")
"""Heavy patches, and the methods that have them in the standard benchmark; the others are a study of their own."""

Spread = Mapping[str, float]
Told = Mapping[str, Sequence[float]]
Costs = Mapping[str, tuple[str, ...]]


def named(group: Group) -> str:
    """A method with the options that it was given."""
    if group.method in (TWO, EARLY):
        return group.method
    options = ", ".join(f"{key}: {json.loads(value)}" for key, value in group.options)
    options = options.replace("True", "true").replace("False", "false")
    return f"`{group.method}`" + (f", `{options}`" if options else "")


def noise_named(noise: str) -> str:
    return "no noise" if noise == "none" else f"`{noise}`"


def mean_and_error(values: Sequence[float], sign: str = "") -> str:
    """A mean ± standard error; of hundredths of a percent only where there is nothing larger."""
    mean, error = sum(values) / len(values), standard_error(values)
    digits = 4 if max(abs(mean), error or 0.0) < 0.0005 else 3
    return f"{mean:{sign}.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def judged(group: Group, spread: Spread) -> str:
    """The verdict for a table: bold where it claims something, and whether it is less than a rerun may do."""
    if group.verdict == TOO_FEW:
        return f"{len(group.differences)} of {FEWEST_SEEDS} seeds"
    if group.verdict == NOTHING:
        return NOTHING
    return f"**{group.verdict}**" + (", within reruns" if within_reruns(group, spread) else "")


def within_reruns(group: Group, spread: Spread) -> bool:
    return abs(sum(group.differences) / len(group.differences)) < spread.get(group.set.partition(" (")[0], 0.0)


def takes_two(group: Group) -> bool:
    """Whether it trains two networks, and so has to be better than two plain ones averaged."""
    return group.method in ("co_teaching", "jocor") or ("peers", "true") in group.options


def table(rows: Sequence[Group], spread: Spread, beside: str = "plain") -> str:
    """Rows in Markdown; columns that say nothing are left out, and so is a set that was named the line before."""
    columns: dict[str, Callable[[Group], str]] = {
        "set": lambda g: g.set,
        "noise": lambda g: noise_named(g.noise),
        "method": named,
        "seeds": lambda g: str(len(g.differences)),
        "IoU": lambda g: mean_and_error([g.scores[s] for s in sorted(g.scores) if s in g.plain]),
        f"minus {beside}": lambda g: mean_and_error(g.differences, "+"),
        "verdict": lambda g: judged(g, spread),
        "minus two averaged": lambda g: mean_and_error(g.beside_two, "+") if takes_two(g) and g.beside_two else "",
        "gap closed": lambda g: "–" if g.gap.mean is None else f"{g.gap.mean:.2f}",
        "p, corrected": lambda g: "–" if g.p is None else f"{g.p:.2g}",
    }
    if not any(map(takes_two, rows)):
        del columns["minus two averaged"]
    if len({named(row) for row in rows}) == 1:
        del columns["method"]
    if beside != "plain":
        del columns["gap closed"], columns["p, corrected"]
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    for before, row in zip([None, *rows], rows, strict=False):
        cells = [cell(row).replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}") for cell in columns.values()]
        lines.append(" | ".join(["" if before and before.set == row.set else cells[0], *cells[1:]]))
    return "\n".join(f"| {line} |" for line in lines)


def where(group: Group, differences: Sequence[float], spread: Spread) -> str:
    size = mean_and_error(differences, "+").partition(" ")[0]
    less = ", within reruns" if within_reruns(group, spread) else ""
    return f"{group.set} with {noise_named(group.noise)} ({size}{less})"


def verdicts(rows: Iterable[Group], spread: Spread) -> list[str]:
    """A line for each method with its options and each verdict that there is."""
    lines = []
    for name, of in _by_name(rows).items():
        for word in (HELPS, HARMS):
            if found := [where(g, g.differences, spread) for g in of if g.verdict == word]:
                lines.append(f"- {name} **{word}** on {'; '.join(found)}.")
        if nothing := [g for g in of if g.verdict == NOTHING]:
            lines.append(f"- {name}: no effect found on {_listed(nothing)}.")
        if few := [g for g in of if g.verdict == TOO_FEW]:
            lines.append(f"- {name}: fewer than {FEWEST_SEEDS} seeds, so nothing is claimed, on {_listed(few)}.")
        if pairs := [g for g in of if takes_two(g) and verdict(g.beside_two) in (HELPS, HARMS)]:
            found = [
                f"{'better' if verdict(g.beside_two) == HELPS else 'worse'} on {where(g, g.beside_two, {})}"
                for g in pairs
            ]
            lines.append(f"- {name}, beside {TWO} at the same cost: {'; '.join(found)}.")
    return lines


def _listed(rows: Sequence[Group]) -> str:
    """Sets by noise."""
    by_noise: dict[str, list[str]] = {}
    for row in rows:
        by_noise.setdefault(noise_named(row.noise), []).append(row.set)
    return "; ".join(f"{', '.join(sets)} with {noise}" for noise, sets in by_noise.items())


def _by_name(rows: Iterable[Group]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for row in rows:
        found.setdefault(named(row), []).append(row)
    return found


def rows_of(words: Words, every: Sequence[Group]) -> list[Group]:
    """The groups of a page, with two networks averaged wherever a method of two networks stands."""
    own = [g for g in every if g.method in words.methods]
    places = {(g.set, g.noise) for g in own if takes_two(g)}
    if PLAIN in words.methods:
        own += [g for g in every if g.method in (EARLY, TWO)]
    return [g for g in every if g in own or (g.method == TWO and (g.set, g.noise) in places)]


def evidence(words: Words, every: Sequence[Group], noise: Sequence[Group], spread: Spread) -> str:
    """What the cells say, between the marks."""
    parts = [BEGIN]
    rows = rows_of(words, every)
    if PLAIN in words.methods and noise:
        parts += ["\n".join(_cost_of_noise(noise)), table(noise, {}, "on right labels")]
    if rows:
        said = [g for g in rows if g.method in words.methods or PLAIN in words.methods]
        parts += ["\n".join(verdicts(said, spread) + _unmeasured(words, rows)), table(rows, spread)]
    else:
        parts.append("\n".join(_unmeasured(words, rows)))
    return "\n\n".join([*parts, END])


def _unmeasured(words: Words, rows: Sequence[Group]) -> list[str]:
    missing = [method for method in words.methods if method != PLAIN and all(g.method != method for g in rows)]
    return [f"- `{method}` is not measured: there are no cells of it, and nothing is claimed." for method in missing]


def _cost_of_noise(noise: Sequence[Group]) -> list[str]:
    costly = [where(g, g.differences, {}) for g in noise if g.verdict == HARMS]
    return [f"- Noise **harms** plain training on {'; '.join(costly)}."] if costly else []


def costs(page: str) -> dict[str, tuple[str, ...]]:
    """What a step takes, times one of cross-entropy, on crops of 64² and 128², as docs/performance.md has it."""
    lines = page.partition("| step, times cross-entropy | 8 x 64² | 8 x 128² |\n")[2].splitlines()[1:]
    rows = [
        line.strip("| ").split(" | ") for line in lines[: next(k for k, x in enumerate(lines) if not x.startswith("|"))]
    ]
    return {name: tuple(values) for name, *values in rows}


def cost(words: Words, told: Costs) -> str:
    if PLAIN in words.methods:
        return "A step of it is the unit."
    rows = {n: v for n, v in told.items() if n.partition(",")[0] in words.methods}
    if not rows:
        return "Its step was not timed."
    each = "; ".join(f"`{name}` {small} and {large}" for name, (small, large) in rows.items())
    return f"A step, times one of `cross_entropy`, on crops of 64² and of 128²: {each} ([how measured](../performance.md#methods))."


def home(name: str) -> Any:
    module, _, cls = METHODS[name].partition(":")
    return getattr(import_module(module), cls)


def options(name: str) -> str:
    """A line that names the class and the options with their defaults."""
    known = {key: json.dumps(value) for key, value in method_defaults(name).items()}
    listed = ", ".join(f"`{key}: {value.strip(chr(34))}`" for key, value in known.items())
    return f"- [`{name}`](../api.md#segnoise.methods.{home(name).__name__}): {listed or 'no options'}"


def source(name: str) -> str:
    """The papers that the class names, or those of what it is derived from."""
    for cls in home(name).__mro__:
        if text := _papers(cls):
            poolings = "; ".join(_papers(pooling).rstrip(".") for pooling in (top_q, lse, noisy_or, mean))
            return text.replace("with the poolings", poolings)
    return ""


def _papers(thing: Any) -> str:
    """What stands after “Source:” in a docstring."""
    found = re.search(r"Sources?: (.+?)(?=\n\s*\n|\Z)", inspect.getdoc(thing) or "", re.DOTALL)
    return re.sub(r":\w+:`[\w.]*?(\w+)`", r"`\1`", re.sub(r"\s+", " ", found[1])).strip() if found else ""


def page(name: str, told: Sequence[float], cells: str, timed: Costs) -> str:
    """One page; ``told`` are the numbers of its pictures."""
    words = PAGES[name]
    methods = ", ".join(f"`{method}`" for method in words.methods)
    pictures = (
        "\n\n".join(
            f"![{alt}](../assets/methods/{file}.png)\n\n{caption.format(*told)}"
            for file, alt, caption in words.pictures
        )
        .replace(" %", "%")
        .replace("%", "\N{NO-BREAK SPACE}%")
    )
    equations = "\n>\n".join(f"> {equation}" for equation in words.equations)
    papers = list(dict.fromkeys(source(method) for method in words.methods))
    also = f"{words.also}\n\n" if words.also else ""
    return f"""---
hide: [toc]
---
<!-- Written by tools/draw_method_pages.py. -->
# {words.title}: {methods}

{words.idea}

{equations}

{pictures}

## When it helps, and when not

{also}{cells}

[How to read this](../methods.md#what-was-measured). Nothing is claimed of other sets and other noises.

## Cost, options, source

{cost(words, timed)}

{chr(10).join(options(method) for method in words.methods)}

{chr(10).join(f"{paper}{chr(10)}" for paper in papers)}
[All methods](../methods.md)
"""


def index(every: Sequence[Group], spread: Spread, timed: Costs) -> str:
    """The table of docs/methods.md and how it is made, between the marks."""
    lines = [
        "| method | a step, times cross-entropy | helps | harms | no effect found | too few seeds |",
        "| --- " * 6 + "|",
    ]
    for file, words in PAGES.items():
        for method in words.methods:
            of = _by_name(g for g in every if g.method == method) or {f"`{method}`": []}
            for name, rows in of.items():
                linked = name.replace(f"`{method}`", f"[`{method}`](methods/{file}.md)", 1)
                said = "*what all are compared with* |  |  | " if method == PLAIN else _counted(rows, spread)
                lines.append(f"| {linked} | {_cost_in_table(method, rows, timed)} | {said} |")
    for name, rows in _by_name(g for g in every if g.method == TWO).items():
        lines.append(f"| [{name}](methods/cross_entropy.md) | 2 | {_counted(rows, spread)} |")
    return "\n\n".join([BEGIN, "\n".join(lines), _rules(every, spread), END])


def _cost_in_table(method: str, rows: Sequence[Group], timed: Costs) -> str:
    if method == PLAIN:
        return "1"
    given = rows[0].options if rows else ()
    return " / ".join(timed.get(VARIANTS.get((method, given), method if not given else ""), ("–",)))


def _counted(rows: Sequence[Group], spread: Spread) -> str:
    """Where it helps and harms by name, the others in number."""
    if not rows:
        return "*not measured* |  |  | "
    named_ = [
        "<br>".join(
            f"{g.set}, {noise_named(g.noise)}{' (within reruns)' * within_reruns(g, spread)}"
            for g in rows
            if g.verdict == word
        )
        for word in (HELPS, HARMS)
    ]
    counted = [str(sum(g.verdict == word for g in rows) or "") for word in (NOTHING, TOO_FEW)]
    return " | ".join(named_ + counted)


def _rules(every: Sequence[Group], spread: Spread) -> str:
    tests = sum(g.p is not None for g in every)
    stand = [g for g in every if g.p is not None and g.p < 0.05]
    firm = "; ".join(f"{named(g)} on {where(g, g.differences, spread)}" for g in stand)
    reruns = ", ".join(f"{value:.3f} on {name}" for name, value in spread.items())
    return f"""Each row compares runs that share set, settings, noise, split, initialisation and seed, and differ in the method alone: mean IoU over classes of the last
weights on untouched test labels, minus that of plain training. **Helps** and **harms** stand where the mean over {FEWEST_SEEDS} or more seeds exceeds two standard
errors; else no effect was found, which is not to say that there is none; of fewer seeds nothing is claimed. The rule is a mild one: over {FEWEST_SEEDS} seeds it finds
an effect that is not there in {100 * chance():.0f} of 100 comparisons, and there are {tests}. The pages have p-values of the paired t test, corrected for all of them (Holm); below 0.05
{f"are: {firm}" if firm else "is none"}. *Within reruns*: the difference is smaller than that between two runs of one and the same plain training with another rounding ({reruns}; one pair each).
Gap closed is the share of what noise costs plain training that a method wins back, and – where it costs nothing to speak of. Sets and noises are those of [the standard benchmark](results.md#the-standard-benchmark);
all methods have the options they come with, but for those that are named."""


def side_by_side(every: Sequence[Group]) -> str:
    """The table of docs/results.md: every method on heavy patches in the sets where it has seeds enough, best first."""
    heavy = [g for g in every if g.noise == HEAVY and "(" not in g.set and g.verdict != TOO_FEW and g.method != EARLY]
    studied = {g.set for g in heavy if g.method not in (*IN_STANDARD, TWO)}
    sets = [name for name in SETS if name in studied]
    rows = {name: {g.set: g for g in found} for name, found in _by_name(heavy).items()}
    rows = {name: found for name, found in rows.items() if set(sets) <= found.keys()}
    best = sorted(rows, key=lambda name: -sum(_mean(rows[name][where].differences) for where in sets))
    lines = [f"| method | {' | '.join(sets)} |", "| --- " * (1 + len(sets)) + "|"]
    lines += [f"| {name} | {' | '.join(_marked(rows[name][where]) for where in sets)} |" for name in best]
    return "\n\n".join([BEGIN, "\n".join(lines), END])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _marked(group: Group) -> str:
    mark = {HELPS: " **+**", HARMS: " **−**"}.get(group.verdict, "")
    return f"{_mean(group.differences):+.3f} ± {standard_error(group.differences):.3f}{mark}"


def put(text: str, what: str) -> str:
    """A text with what is between the marks replaced."""
    before, _, rest = text.partition(BEGIN)
    return before + what + rest.partition(END)[2]


def main() -> None:
    rows = read_cells(DOCS / "data")
    every, noise, spread = groups(rows), losses(rows), rerun_spread(rows)
    timed = costs((DOCS / "performance.md").read_text())
    told: Told = draw_all(DOCS / "assets" / "methods")
    (DOCS / "methods").mkdir(exist_ok=True)
    for name, words in PAGES.items():
        text = page(name, told.get(name, ()), evidence(words, every, noise, spread), timed)
        (DOCS / "methods" / f"{name}.md").write_text(text)
    methods = DOCS / "methods.md"
    methods.write_text(put(methods.read_text(), index(every, spread, timed)))
    results = DOCS / "results.md"
    results.write_text(put(results.read_text(), side_by_side(every)))


if __name__ == "__main__":
    main()
