"""What stays out of an image: Docker's ignore patterns, and secrets."""

from __future__ import annotations

import pytest

from archkit.planning.ignore import IgnorePatternError, IgnoreRules, from_gitignore


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        pytest.param([], "a.py", False, id="no rules"),
        pytest.param(["# a.py", "", "  "], "a.py", False, id="comments and blanks"),
        pytest.param(["a.py"], "a.py", True, id="a name"),
        pytest.param(["a.py"], "sub/a.py", False, id="a name is anchored at the root"),
        pytest.param(["/a.py"], "a.py", True, id="a leading slash means the root too"),
        pytest.param(["./a.py"], "a.py", True, id="a leading dot"),
        pytest.param(["sub/../a.py"], "a.py", True, id="a path is cleaned"),
        pytest.param(["sub/"], "sub/deep/a.py", True, id="a folder covers all below it"),
        pytest.param(["*.md"], "x.md", True, id="a star"),
        pytest.param(["*.md"], "sub/x.md", False, id="a star crosses no slash"),
        pytest.param(["*/x.md"], "sub/x.md", True, id="a star is one folder"),
        pytest.param(["**/x.md"], "x.md", True, id="two stars are no folder"),
        pytest.param(["**/x.md"], "a/b/x.md", True, id="two stars are many folders"),
        pytest.param(["a/**"], "a/b/c", True, id="two stars at the end"),
        pytest.param(["a/**/c"], "a/c", True, id="two stars between"),
        pytest.param(["te?t"], "test", True, id="a question mark"),
        pytest.param(["te?t"], "te/t", False, id="a question mark is no slash"),
        pytest.param(["[a-c].py"], "b.py", True, id="a range"),
        pytest.param(["[^a-c].py"], "b.py", False, id="a negated range"),
        pytest.param(["\\*.py"], "*.py", True, id="an escaped star"),
        pytest.param(["\\*.py"], "a.py", False, id="an escaped star is a star"),
        pytest.param(["*.md", "!README.md"], "README.md", False, id="an exception"),
        pytest.param(["!README.md", "*.md"], "README.md", True, id="the last match decides"),
        pytest.param(["docs", "!docs/keep"], "docs/keep", False, id="an exception below an ignored folder"),
        pytest.param(["*", "!src"], "src/deep/a.py", False, id="an exception covers all below it"),
        pytest.param(["\ufeff*.md"], "x.md", True, id="a byte order mark"),
        pytest.param(["a.b"], "aXb", False, id="a dot is a dot"),
        pytest.param([], ".git", True, id="history"),
        pytest.param([], "sub/.git/config", True, id="history at any depth"),
        pytest.param([], ".env.local", True, id="environment files"),
        pytest.param([], "keys/id_ed25519", True, id="ssh keys"),
        pytest.param([], "tls/ca.pem", True, id="certificates"),
        pytest.param([], "environment.py", False, id="a name that only begins alike"),
        pytest.param(["*", "!src"], "src/.env", True, id="an exception for a folder lets no secret in"),
        pytest.param(["!**"], ".env", True, id="nor does one for everything"),
        pytest.param(["!tls/ca.pem"], "tls/ca.pem", False, id="an exception that names it does"),
        pytest.param(["!**/ca.pem"], "tls/ca.pem", False, id="at any depth"),
        pytest.param(["!**/ca.pem"], "tls/other.pem", True, id="but no other"),
    ],
)
def test_patterns(lines: list[str], path: str, ignored: bool) -> None:
    assert bool(IgnoreRules.parse(lines).reason(path)) is ignored


@pytest.mark.parametrize("line", ["[a-", "!", "a["])
def test_a_pattern_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(IgnorePatternError) as caught:
        IgnoreRules.parse([line])

    assert line.strip() in str(caught.value)


@pytest.mark.parametrize(
    ("line", "path", "out"),
    [
        pytest.param("*.log", "a/b/x.log", True, id="at-any-depth"),
        pytest.param("/x.log", "a/x.log", False, id="anchored"),
        pytest.param("/x.log", "x.log", True, id="at-the-top"),
        pytest.param("a/*.log", "b/a/x.log", False, id="a-slash-anchors"),
        pytest.param("out/", "a/out/x", True, id="what-is-in-a-folder"),
        pytest.param("out/", "out", False, id="a-slash-at-the-end-is-for-folders"),
        pytest.param("# x", "x", False, id="comment"),
        pytest.param("/", "x", False, id="nothing"),
    ],
)
def test_patterns_of_git_are_understood(line: str, path: str, out: bool) -> None:
    assert bool(IgnoreRules.parse(from_gitignore([line])).reason(path)) == out


def test_an_exception_of_git_lets_in_again() -> None:
    rules = IgnoreRules.parse(from_gitignore(["*.log", "!keep.log"]))
    assert [bool(rules.reason(path)) for path in ("a/x.log", "a/keep.log")] == [True, False]
