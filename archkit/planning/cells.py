"""Platforms as node labels can tell them apart, and node selector terms that admit exactly these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import attrs

from archkit.model.node import ARCH_LABEL, OS_LABEL, WINDOWS_BUILD_LABEL
from archkit.planning.selectors import Expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archkit.model.platform import Platform
    from archkit.planning.edits import Data

Shape: TypeAlias = Literal["per-platform", "compact"]
_WINDOWS_BUILD_PARTS = 3


@attrs.frozen
class Cell:
    """All of a platform that node labels can say."""

    os: str
    arch: str
    builds: tuple[str, ...] = ()
    """Windows builds; none means any."""

    def __str__(self) -> str:
        return f"{self.os}/{self.arch}"


@attrs.frozen
class Box:
    """Every combination of these systems and CPUs."""

    oses: tuple[str, ...]
    arches: tuple[str, ...]
    builds: tuple[str, ...] = ()

    def expressions(self) -> tuple[Expression, ...]:
        build = (Expression(WINDOWS_BUILD_LABEL, "In", self.builds),) if self.builds else ()
        return (Expression(OS_LABEL, "In", self.oses), Expression(ARCH_LABEL, "In", self.arches), *build)


def cells_of(platforms: Iterable[Platform], *, match_windows_build: bool = False) -> tuple[Cell, ...]:
    """The platforms as node labels can tell them apart, in order, without duplicates.

    Variants fall together. With ``match_windows_build`` a Windows platform keeps its build, the first three parts of
    its version, as the label ``node.kubernetes.io/windows-build`` has it.
    """
    builds: dict[tuple[str, str], list[str]] = {}
    for platform in platforms:
        parts = platform.os_version.split(".")
        known = match_windows_build and platform.os == "windows" and len(parts) >= _WINDOWS_BUILD_PARTS
        builds.setdefault(platform.os_arch, []).append(".".join(parts[:_WINDOWS_BUILD_PARTS]) if known else "")
    return tuple(Cell(*os_arch, () if "" in found else tuple(dict.fromkeys(found))) for os_arch, found in builds.items())


def node_selector_terms(cells: Sequence[Cell], shape: Shape = "per-platform") -> list[Data]:
    """Node selector terms that admit exactly these: terms are ORed, the expressions inside a term ANDed.

    ``per-platform`` gives one term per platform in the given order; ``compact`` one per operating system (and Windows
    build), its CPUs sorted.
    """
    boxes = [Box((cell.os,), (cell.arch,), cell.builds) for cell in cells]
    if shape == "compact":
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for cell in cells:
            groups.setdefault((cell.os, cell.builds), []).append(cell.arch)
        boxes = [Box((os_name,), tuple(sorted(arches)), builds) for (os_name, builds), arches in groups.items()]
    return [{"matchExpressions": expressions_data(box.expressions())} for box in boxes]


def expressions_data(expressions: Iterable[Expression]) -> list[Data]:
    return [cast("Data", expression.data()) for expression in expressions]


def boxes_of(cells: Sequence[Cell], shape: Shape) -> list[Box]:
    """The fewest products that cover exactly these cells and that grouping by system and then by CPUs finds."""
    by_os: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for cell in cells:
        by_os.setdefault((cell.os, cell.builds), []).append(cell.arch)
    merged: dict[tuple[frozenset[str], tuple[str, ...]], tuple[list[str], list[str]]] = {}
    for (os_name, builds), arches in by_os.items():
        oses, _ = merged.setdefault((frozenset(arches), builds), ([], arches))
        oses.append(os_name)
    boxes = [Box(tuple(oses), tuple(arches), builds) for (_, builds), (oses, arches) in merged.items()]
    if shape == "compact":
        boxes = [Box(tuple(sorted(box.oses)), tuple(sorted(box.arches)), box.builds) for box in boxes]
    return boxes
