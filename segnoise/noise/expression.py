"""Corruptions written as text: ``kms(0.4)+boundary(3px, rho=.95)+omission(0.2)``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from segnoise.errors import UserError, nearest
from segnoise.length import Length
from segnoise.noise.affine import Affine
from segnoise.noise.base import Corruption, Params, in_turn, sha256_of
from segnoise.noise.boundary import Boundary
from segnoise.noise.coarse import Coarse
from segnoise.noise.commission import Commission
from segnoise.noise.dilate import Dilate, Erode
from segnoise.noise.jsrt import Jsrt
from segnoise.noise.kms import Kms
from segnoise.noise.markov import Markov
from segnoise.noise.merge import Merge
from segnoise.noise.misregistration import Misregistration
from segnoise.noise.omission import Omission
from segnoise.noise.pair import Pair
from segnoise.noise.polygonise import Polygonise
from segnoise.noise.segments import Segments
from segnoise.noise.share import Share
from segnoise.noise.split import Split
from segnoise.noise.symmetric import Symmetric
from segnoise.noise.whu import Whu

NOISES: dict[str, type[Corruption]] = {
    cls.name: cls
    for cls in (
        Kms, Symmetric, Pair, Boundary, Dilate, Erode, Affine, Misregistration, Polygonise,
        Omission, Commission, Merge, Split, Coarse,
        Jsrt, Markov, Whu, Segments,
    )
}  # fmt: skip
"""The corruptions by the names they have in expressions."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[A-Za-z%]*)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>[(),=*])|(?P<end>$)|(?P<other>.))"
)
_PLUS = re.compile(r"\s*\+")


@dataclass(frozen=True)
class Composed(Corruption):
    """Corruptions that act from left to right, each on the result of the one before.

    >>> str(parse("omission(0.2) + kms(.1)"))
    'omission(0.2)+kms(0.1, rho=0.9)'
    """

    parts: tuple[Corruption, ...]
    name: ClassVar[str] = "composed"

    @property
    def steps(self) -> tuple[Corruption, ...]:
        return self.parts

    def __str__(self) -> str:
        return "+".join(map(str, self.parts))

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "steps": [part.draw(shape, generator) for part in self.parts]}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        for part, step in zip(self.parts, params["steps"], strict=True):
            labels = part.apply(labels, step, instances, spacing)
        return labels

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        noisy = in_turn(self.parts, images, [p["steps"] for p in params], instances, spacing, num_classes)
        return [(labels, {**p, "steps": steps}) for (labels, steps), p in zip(noisy, params, strict=True)]


def parse(text: str) -> Corruption:
    """A corruption from its expression: ``name(arguments)``, several joined by ``+`` acting from left to right.

    ``0.3*name(arguments)`` acts on that share of the images (:class:`Share`). Arguments are numbers, lengths (``3px``,
    ``5m``) or one number per axis (``rho=(0.9, 0.8)``), by position or by name, and words by name (``mode=any``). The
    names are those of :data:`NOISES`.

    Raises:
        UserError: what does not parse, with the character it was found at.

    >>> parse("boundary(3px, rho=.95)")
    Boundary(displacement=Length(value=3.0, unit='px'), rho=0.95, bias=Length(value=0.0, unit='px'), topology='free')
    >>> parse("kms(0.4)+bondary(3px)")
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: noise 'kms(0.4)+bondary(3px)', character 10: no noise is called 'bondary'; did ...
    """
    return _Parser(text).parse()


def replay(labels: NDArray[Any], record: dict[str, Any]) -> NDArray[Any]:
    """The noisy labels again, from the clean ones and the record of :meth:`Corruption.corrupt`.

    Raises:
        UserError: labels other than those the record was made from.

    >>> clean = np.eye(8, dtype=np.int64)
    >>> noisy, record = parse("kms(0.3)+omission(0.5)").corrupt(clean, seed=1)
    >>> bool((replay(clean, record) == noisy).all())
    True
    """
    if sha256_of(labels) != record["sha256_in"]:
        raise UserError(f"the record of {record['noise']} was made from other labels: their SHA-256 differs")
    for step, params in zip(parse(record["noise"]).steps, record["params"], strict=True):
        labels = step.apply(labels, params, record["instances"], record["spacing"])
    return labels


class _Parser:
    """Recursive descent over ``term ('+' term)*``, a term being ``[number '*'] name '(' arguments ')'``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def parse(self) -> Corruption:
        parts = [self._term()]
        # Here a plus joins, even where a number such as +0.5 would start with it.
        while plus := _PLUS.match(self.text, self.position):
            self.position = plus.end()
            parts.append(self._term())
        if self._peek() != "":
            self._fail(f"expected '+' or the end, found {self._peek()!r}")
        return parts[0] if len(parts) == 1 else Composed(tuple(parts))

    def _term(self) -> Corruption:
        start = self._start()
        if self._match()["number"] is None:
            return self._noise()
        share = self._value()
        self._take("*")
        part = self._noise()
        try:
            return Share(share, part)
        except UserError as error:
            self._fail(str(error), start)

    def _noise(self) -> Corruption:
        start = self._start()
        name = self._word("the name of a noise")
        if name not in NOISES:
            self._fail(f"no noise is called {name!r}; {nearest(name, NOISES)}", start)
        signature = inspect.signature(NOISES[name])
        self._take("(")
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while self._peek() != ")":
            here = self._start()
            match = self._match()
            if match["word"]:
                option = self._word("an option")
                if option not in signature.parameters:
                    self._fail(f"{name} has no option {option!r}; {nearest(option, signature.parameters)}", here)
                self._take("=")
                named[option] = self._value()
            elif named:
                self._fail("an argument without a name cannot follow one with a name", here)
            else:
                positional.append(self._value())
            try:
                signature.bind_partial(*positional, **named)
            except TypeError as error:
                self._fail(f"{name}: {error}", here)
            if self._peek() != ")":
                self._take(",")
        self._take(")")
        try:
            signature.bind(*positional, **named)
            return NOISES[name](*positional, **named)
        except (TypeError, UserError) as error:
            self._fail(str(error).removeprefix(f"{name}: "), start, name)

    def _value(self) -> Any:
        if self._peek() == "(":
            self._take("(")
            values = [self._value()]
            while self._peek() == ",":
                self._take(",")
                values.append(self._value())
            self._take(")")
            return tuple(values)
        match = self._match()
        if match["word"]:
            return self._word("a word")
        if match["number"] is None:
            self._fail(f"expected a number or a length such as 3px, found {self._peek() or 'the end'!r}")
        if match["unit"]:
            try:
                length = Length.of(match["number"] + match["unit"])
            except UserError as error:
                self._fail(str(error))
            self.position = match.end()
            return length
        self.position = match.end()
        number = float(match["number"])
        return int(number) if re.fullmatch(r"[+-]?\d+", match["number"]) else number

    def _word(self, what: str) -> str:
        match = self._match()
        if match["word"] is None:
            self._fail(f"expected {what}, found {self._peek() or 'the end'!r}")
        self.position = match.end()
        return str(match["word"])

    def _take(self, sign: str) -> None:
        if self._peek() != sign:
            self._fail(f"expected {sign!r}, found {self._peek() or 'the end'!r}")
        self.position = self._match().end()

    def _match(self) -> re.Match[str]:
        match = _TOKEN.match(self.text, self.position)
        assert match is not None  # the pattern has a branch for everything
        return match

    def _peek(self) -> str:
        return self._match()[0].strip()

    def _start(self) -> int:
        match = self._match()
        return match.end() - len(match[0].lstrip())

    def _fail(self, problem: str, position: int | None = None, name: str | None = None) -> NoReturn:
        where = (self._start() if position is None else position) + 1
        about = "" if name is None else f"{name}: "
        raise UserError(f"noise {self.text!r}, character {where}: {about}{problem}")
