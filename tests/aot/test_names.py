"""Identifiers: legal, unique, stable."""

from __future__ import annotations

import pytest

from symgraph.aot.names import KEYWORDS, identifier, unique_identifiers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", "x"),
        ("block1/conv", "block1_conv"),
        ("a-b.c d", "a_b_c_d"),
        ("2x", "x2x"),
        ("_Hidden", "Hidden"),
        ("a__b", "a_b"),
        ("int", "int_"),
        ("class", "class_"),
        ("größe", "gr_e"),
        ("", "x"),
        ("//", "x"),
        ("x\n", "x"),
    ],
)
def test_identifiers(name, expected):
    assert identifier(name) == expected


def test_identifiers_are_unique_also_among_generated_ones():
    names = ["a/b", "a_b", "a.b", "a_b_2", "int", "int_"]
    made = unique_identifiers(names, taken=["N"])
    assert made == ("a_b", "a_b_2", "a_b_3", "a_b_2_2", "int_", "int_2")
    assert len(set(made)) == len(names)
    assert unique_identifiers(["N"], taken=["N"]) == ("N_2",)


def test_no_keyword_is_an_identifier():
    for word in KEYWORDS:
        assert identifier(word) not in KEYWORDS
