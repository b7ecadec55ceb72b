"""Expressions parse to corruptions, print back, and fail at the right character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segnoise.errors import UserError
from segnoise.noise import Boundary, Kms, Omission, Share, parse


def test_arguments_go_by_position_and_by_name() -> None:
    assert parse("kms(0.4)") == Kms(0.4)
    assert parse(" kms( level = .4 , rho = ( .9, 0.8 ) , classes=3 ) ") == Kms(0.4, (0.9, 0.8), 3)
    assert parse("boundary(3px, .9, bias=-1px)") == Boundary("3px", 0.9, "-1px")
    assert parse("boundary(5m)") == Boundary("5m")
    assert parse("omission(1e-1, 2)") == Omission(0.1, 2.0)
    assert parse("kms(0.4)+boundary(3px)+omission(0.2)").steps == (Kms(0.4), Boundary("3px"), Omission(0.2))


def test_a_number_before_a_noise_is_its_share_of_the_images() -> None:
    assert parse("0.5*kms(0.4)") == parse(" .5 * kms(0.4)") == Share(0.5, Kms(0.4))
    assert parse("1*kms(0.4)+0.5*omission(0.2)").steps == (Share(1, Kms(0.4)), Share(0.5, Omission(0.2)))
    assert parse("kms(0.4)+.5*omission(0.2) + kms(0)").steps == (Kms(0.4), Share(0.5, Omission(0.2)), Kms(0))


@given(
    st.floats(0, 1).map(lambda x: round(x, 4)),
    st.one_of(st.sampled_from([0.0, 0.5, 0.95]), st.just((0.9, 0.1))),
    st.sampled_from(["0px", "3px", "2.5m", "0.25mm"]),
    st.floats(-3, 3).map(lambda x: round(x, 3)),
)
def test_what_is_printed_parses_back(level: float, rho: float, length: str, slope: float) -> None:
    parts = (Kms(level, rho), Boundary(length, rho), Omission(level, slope), Kms(level, classes=4))
    for corruption in (*parts, *(Share(level, part) for part in parts)):
        assert parse(str(corruption)) == corruption
    composed = parse(f"{Kms(level, rho)} + {Boundary(length)} + {Share(level, Omission(0.5))}")
    assert parse(str(composed)) == composed


@pytest.mark.parametrize(
    ("text", "character", "says"),
    [
        ("", 1, "the name of a noise"),
        ("kms", 4, r"expected '\('"),
        ("kmz(0.4)", 1, "did you mean 'kms'"),
        ("kms(0.4)+", 10, "the name of a noise"),
        ("kms(0.4)boundary(3px)", 9, r"'\+' or the end"),
        ("kms(0.4) * 2", 10, r"'\+' or the end"),
        ("kms(0.4", 8, r"expected ','"),
        ("kms(0.4, rh=1)", 10, "did you mean 'rho'"),
        ("kms(rho=.9, 0.4)", 13, "cannot follow"),
        ("omission(0.4, 1, 2)", 18, "too many"),
        ("kms(0.4, level=.3)", 10, "multiple values"),
        ("kms()", 1, "missing a required argument"),
        ("kms(40%)", 5, "not a length"),
        ("kms(3px)", 1, "level 3px must be a number"),
        ("omission(0.2)+kms(1.4)", 15, "kms: level 1.4"),
        ("boundary(3)", 1, "needs a unit"),
        ("boundary(3km)", 10, "not a length"),
        ("kms(rho=)", 9, "expected a number"),
        ("kms(?)", 5, "expected a number"),
        ("kms(any)", 5, "no option 'any'"),
        ("kms(0.4, rho=any)", 1, "rho any must be"),
        ("boundary(3px, bias=any)", 1, "'any' is not a length"),
        ("0.5", 4, r"expected '\*'"),
        ("0.5 kms(0.4)", 5, r"expected '\*'"),
        ("0.5*", 5, "the name of a noise"),
        ("0.5*0.5*kms(0.4)", 5, "the name of a noise"),
        ("kms(0.4)+1.5*kms(0.4)", 10, "share: factor 1.5 must be"),
        ("3px*kms(0.4)", 1, "share: factor 3px must be"),
        ("0.5*kmz(0.4)", 5, "did you mean 'kms'"),
        ("kms(0.4)+0.5*omission(0.2, size=1)", 28, "did you mean 'size_slope'"),
    ],
)
def test_errors_are_one_line_and_point_at_the_character(text: str, character: int, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        parse(text)
    assert f"character {character}:" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)
