"""What a ``.ko.yaml`` says that has to be known before ko runs: which base it will take, which flags it will give.

Source: ko's ``pkg/commands/options/build.go``, ``pkg/build/gobuild.go`` and its configuration reference. Keys are
read as its library (viper) reads them, whatever their case.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_BASE = "cgr.dev/chainguard/static:latest"
"""The base that ko takes when nobody names one."""
FILE_NAMES = (".ko.json", ".ko.yaml", ".ko.yml")
"""As ko looks for them, the first that is there counts."""


@attrs.frozen
class KoBuild:
    """One entry of ``builds``: settings of one program."""

    directory: PurePosixPath
    """Of its main package, below the folder that ko runs in."""
    flags: tuple[str, ...] = ()


@attrs.frozen
class ChosenBase:
    """The base that ko will take, and who says so."""

    reference: str
    said_by: str
    """Such as ``.ko.yaml (defaultBaseImage)``; empty: ko's own choice."""


@attrs.frozen
class KoConfig:
    """What is read of a ``.ko.yaml``."""

    name: str = ""
    """The file, for messages; empty: there is none."""
    base: str = ""
    overrides: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """Bases by import path, in lower case."""
    flags: tuple[str, ...] = ()
    """``defaultFlags``."""
    builds: tuple[KoBuild, ...] = ()

    @classmethod
    def from_documents(cls, documents: list[Any], name: str) -> KoConfig:
        """The configuration in a YAML file whose scalars are all texts.

        Raises:
            ValueError: It does not have the shape that ko wants.
        """
        fields = _mapping(documents[0] if documents else {}, "the file")
        return cls(
            name,
            _text(fields.get("defaultbaseimage"), "defaultBaseImage"),
            {
                path: _text(base, f"baseImageOverrides of {path}")
                for path, base in _mapping(fields.get("baseimageoverrides"), "baseImageOverrides").items()
            },
            _words(fields.get("defaultflags"), "defaultFlags"),
            tuple(_build(entry, position) for position, entry in enumerate(_items(fields.get("builds"), "builds"))),
        )

    def base_of(self, import_path: str, *, argument: str | None, variable: str) -> ChosenBase:
        """The base that ko takes for a program.

        Args:
            import_path: The program's.
            argument: ``KoBuilder.base``, which reaches ko as ``variable`` does.
            variable: ``KO_DEFAULTBASEIMAGE`` of the environment.
        """
        if override := self.overrides.get(import_path.lower()):
            return ChosenBase(override, f"{self.name} (baseImageOverrides)")
        if argument:
            return ChosenBase(argument, "KoBuilder(base=…)")
        if variable:
            return ChosenBase(variable, "the environment (KO_DEFAULTBASEIMAGE)")
        return ChosenBase(self.base, f"{self.name} (defaultBaseImage)") if self.base else ChosenBase(OWN_BASE, "")

    def flags_of(self, directory: PurePosixPath) -> tuple[str, ...]:
        """The flags that ko gives ``go build`` for the program in a directory; they win over ``GOFLAGS``.

        Args:
            directory: Of its main package, below the folder that ko runs in.
        """
        own = next((build.flags for build in self.builds if build.directory == directory), ())
        return own or self.flags


def flag_name(flag: str) -> str:
    """The name in a flag of ``go build``: ``tags`` of ``--tags=a,b``.

    >>> flag_name("--tags=a,b")
    'tags'
    """
    return flag.lstrip("-").partition("=")[0]


def _build(entry: object, position: int) -> KoBuild:
    fields = _mapping(entry, f"builds, entry {position + 1}")
    main = PurePosixPath(_text(fields.get("main"), "main") or ".")
    folder = main.parent if main.suffix == ".go" else main  # a source file stands for its folder
    directory = PurePosixPath(_text(fields.get("dir"), "dir") or ".") / folder
    return KoBuild(directory, _words(fields.get("flags"), "flags"))


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no mapping")  # noqa: TRY004 - the file is wrong, not the caller
    return {str(key).lower(): item for key, item in value.items()}


def _items(value: object, name: str) -> list[Any]:
    if value in (None, ""):
        return []
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")  # noqa: TRY004 - the file is wrong, not the caller
    return value


def _text(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")  # noqa: TRY004 - the file is wrong, not the caller
    return value


def _words(value: object, name: str) -> tuple[str, ...]:
    """A list of texts, or one text of words."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(_text(item, name) for item in _items(value, name))
