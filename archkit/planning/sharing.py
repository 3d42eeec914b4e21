"""Edits at places that several paths of the data lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.planning.edits import Append, Edit

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence


def refused_groups(groups: Sequence[Sequence[Edit]], place: Callable[[Edit], Hashable], uses: Callable[[Edit], int]) -> frozenset[int]:
    """The groups that cannot be made: an edit's place stands for more than those who want that very edit.

    A place may be changed only when every path that leads to it wants the same; a group that is refused takes its
    wishes with it, which may refuse others.

    Args:
        groups: Edits that are made together or not at all.
        place: What an edit changes, whatever path it names.
        uses: How many paths lead there.
    """
    refused: set[int] = set()
    while True:
        wants: dict[Hashable, list[tuple[int, Edit]]] = {}
        for number, group in enumerate(groups):
            if number not in refused:
                for edit in group:
                    wants.setdefault(place(edit), []).append((number, edit))
        more: set[int] = set()
        for wanted in wants.values():
            first = wanted[0][1]
            same = all(type(edit) is type(first) and _content(edit) == _content(first) for _, edit in wanted)
            if not same or len({edit.target for _, edit in wanted}) != uses(first):
                more |= {number for number, _ in wanted}
        if not more:
            return frozenset(refused)
        refused |= more


def _content(edit: Edit) -> object:
    return edit.items if isinstance(edit, Append) else edit.value
