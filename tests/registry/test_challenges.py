"""WWW-Authenticate and the scopes in it: what is well formed comes back, what is not hurts nobody."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit.adapters.registry.challenges import Challenge, Scope, covered, merge_scopes, read_challenges, read_scopes

NAMES = st.text(string.ascii_lowercase + "-", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
CHALLENGES = st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)), min_size=1, max_size=4)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(CHALLENGES)
def test_every_challenge_comes_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        f"{scheme} " + ",".join(f"{name}={quoted(value)}" for name, value in fields.items()) for scheme, fields in challenges
    )
    assert read_challenges(header) == [Challenge(scheme, fields) for scheme, fields in challenges]


@given(st.text(st.sampled_from('aB=", \\\t;:/~'), max_size=60))
def test_nothing_hurts_the_reader(header: str) -> None:
    for challenge in read_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ('Negotiate, Basic realm="x"', ["negotiate", "basic"]),
        ('NTLM TlRMTVNTUAAB==, Bearer realm="x"', ["ntlm", "bearer"]),
        ("Basic", ["basic"]),
        ('"broken, Basic realm="x"', ["basic"]),
        ("", []),
        (" , ,", []),
    ],
)
def test_schemes_are_told_apart(header: str, schemes: list[str]) -> None:
    assert [challenge.scheme for challenge in read_challenges(header)] == schemes


@pytest.mark.parametrize("text", ["", "repository", "repository:", "repository:a", ":a:pull", "repository::pull", "repository:a:"])
def test_what_is_no_scope_is_left_out(text: str) -> None:
    assert read_scopes(f"{text} repository:b:pull") == (Scope("b", ["pull"]),)


def test_scopes_are_merged_with_those_that_write_first() -> None:
    merged = merge_scopes(read_scopes("repository:z:pull repository:a:pull"), read_scopes("repository:a:push registry:catalog:*"))
    assert [str(scope) for scope in merged] == ["repository:a:pull,push", "registry:catalog:*", "repository:z:pull"]
    assert covered(read_scopes("repository:a:push repository:z:pull"), merged)
    assert not covered(read_scopes("repository:z:push"), merged)
    assert not covered(read_scopes("registry:a:pull"), merged)
