"""What a .ko.yaml says of bases and flags."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from archkit.adapters.yaml.plain import load_texts
from archkit.builders.ko.config import OWN_BASE, ChosenBase, KoConfig, flag_name

FULL = """
defaultBaseImage: ghcr.io/team/base:1
baseImageOverrides:
  Example.test/App/cmd/Api: ghcr.io/team/api-base:2
defaultFlags: [-v]
builds:
- id: web
  dir: ./cmd
  main: web/main.go
  flags: -tags=netgo -mod=vendor
- main: ./cmd/api
  flags: ["-tags", "osusergo"]
  env: [GOARCH=amd64]
"""


def read(text: str) -> KoConfig:
    return KoConfig.from_documents(load_texts(text), ".ko.yaml")


@pytest.mark.parametrize(
    ("text", "import_path", "argument", "variable", "expected"),
    [
        ("", "a/b", None, "", ChosenBase(OWN_BASE, "")),
        (FULL, "a/b", None, "", ChosenBase("ghcr.io/team/base:1", ".ko.yaml (defaultBaseImage)")),
        ("DEFAULTBASEIMAGE: x", "a/b", None, "", ChosenBase("x", ".ko.yaml (defaultBaseImage)")),
        (FULL, "a/b", None, "other", ChosenBase("other", "the environment (KO_DEFAULTBASEIMAGE)")),
        (FULL, "a/b", "mine", "other", ChosenBase("mine", "KoBuilder(base=…)")),
        (FULL, "example.test/App/cmd/api", "mine", "other", ChosenBase("ghcr.io/team/api-base:2", ".ko.yaml (baseImageOverrides)")),
    ],
)
def test_the_base_that_ko_takes(text: str, import_path: str, argument: str | None, variable: str, expected: ChosenBase) -> None:
    assert read(text).base_of(import_path, argument=argument, variable=variable) == expected


@pytest.mark.parametrize(
    ("directory", "flags"),
    [("cmd/web", ("-tags=netgo", "-mod=vendor")), ("cmd/api", ("-tags", "osusergo")), ("cmd/other", ("-v",))],
)
def test_the_flags_that_ko_gives(directory: str, flags: tuple[str, ...]) -> None:
    assert read(FULL).flags_of(PurePosixPath(directory)) == flags


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[a]", "the file"),
        ("defaultBaseImage: [a]", "defaultBaseImage"),
        ("baseImageOverrides: x", "baseImageOverrides"),
        ("baseImageOverrides: {a: [b]}", "baseImageOverrides of a"),
        ("builds: {a: b}", "builds"),
        ("builds: [a]", "builds, entry 1"),
        ("defaultFlags: {a: b}", "defaultFlags"),
    ],
)
def test_other_shapes_are_refused(text: str, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        read(text)


@pytest.mark.parametrize("flag", ["-tags", "--tags", "-tags=a", "--tags=a,b"])
def test_flag_names(flag: str) -> None:
    assert flag_name(flag) == "tags"
