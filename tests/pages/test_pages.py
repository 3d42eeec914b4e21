"""README.md and the pages of docs/ are programs: what they show is what happens.

In a page, a fence of ``python`` is run, all of a page in one namespace and one folder, where `examples/` is a copy of
the checkout's; the fence of ``text`` behind it is what it prints (`...` stands for anything, as in doctest; blank
lines at the end do not count). A fence such as ``yaml file=pod.yaml`` is a file of that name, there from its place on.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shutil
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"(?ms)^```(?P<language>\w+)?(?: file=(?P<file>\S+))?[^\n]*\n(?P<body>.*?)^```$")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


@attrs.frozen
class Fence:
    """A block of a page, and the line that its body starts at."""

    language: str
    file: str | None
    body: str
    line: int


def fences(text: str) -> list[Fence]:
    """The blocks of a page, in order."""
    return [
        Fence(found["language"] or "", found["file"], found["body"], text.count("\n", 0, found.start("body")) + 1)
        for found in FENCE.finditer(text)
    ]


def run(page: str, text: str) -> None:
    """Run a page in the current folder; AssertionError where it prints something other than it says."""
    namespace: dict[str, object] = {"__name__": "__page__"}
    checker, printed = doctest.OutputChecker(), ""
    for fence in fences(text):
        if fence.file is not None:
            Path(fence.file).parent.mkdir(parents=True, exist_ok=True)
            Path(fence.file).write_text(fence.body, encoding="utf-8")
        elif fence.language == "python":
            code = compile("\n" * (fence.line - 1) + fence.body, page, "exec")
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(code, namespace)
            printed = output.getvalue()
        elif fence.language == "text":
            told = checker.check_output(fence.body.rstrip() + "\n", printed.rstrip() + "\n", doctest.ELLIPSIS)
            assert told, f"{page}:{fence.line} says\n{fence.body}\nand this was printed\n{printed}"
            printed = ""


def names(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(FENCE, "", text))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("build", "__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run(str(page), page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_something(page: Path) -> None:
    dead: list[str] = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", link):
            continue  # another site: unit tests need no network
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in names(target.read_text(encoding="utf-8"))):
            dead.append(link)
    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in LINK.findall(index)}
    assert set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "index.md"} <= linked


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("```python\nprint(1)\n```\n\n```text\n2\n```\n", id="other output"),
        pytest.param("```python\n1 / 0\n```\n", id="exception"),
        pytest.param("```python\nx = 1\n```\n```text\nx\n```\n", id="no output"),
    ],
)
def test_a_page_that_says_something_else_is_found_out(text: str) -> None:
    with pytest.raises((AssertionError, ZeroDivisionError)):
        run("page", text)


def test_blocks_of_a_page_share_names_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = "```yaml file=a/b.yaml\nk: 1\n```\n```python\nx = open('a/b.yaml').read()\n```\n```python\nprint(x)\n```\n```text\nk: ...\n```\n"
    run("page", page.replace("open('a/b.yaml').read()", "__import__('pathlib').Path('a/b.yaml').read_text()"))
