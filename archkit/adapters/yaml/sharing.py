"""How many places of the data one place of the text stands for, where aliases lead to it."""

from __future__ import annotations

from bisect import bisect_right


class Sharing:
    """Counts the paths from a document's root to a node, aliases followed.

    Only anchors that an alias names matter; they nest like brackets. Counts may be huge (billion laughs), so they
    are numbers and nothing is ever walked path by path.
    """

    __slots__ = ("_aliases", "_ends", "_known", "_parents", "_starts", "_users")

    def __init__(self, ends: dict[int, int], aliases: dict[int, int]) -> None:
        self._ends = ends
        self._aliases = aliases
        self._users: dict[int, list[int]] | None = None
        self._starts: list[int] = []
        self._parents: list[int] = []
        self._known: dict[int, int] = {-1: 1}

    def uses(self, node: int) -> int:
        """How many paths lead to a node: 1 where nothing shares it."""
        if not self._aliases:
            return 1
        users = self._users_of()
        wanted = self._region(node)
        stack = [wanted]
        while stack:
            region = stack[-1]
            if region in self._known:
                stack.pop()
                continue
            start = self._starts[region]
            needed = [self._parents[region], *map(self._region, users[start])]
            unknown = [item for item in needed if item not in self._known]
            if unknown:
                stack += unknown
            else:
                self._known[region] = sum(self._known[item] for item in needed)
                stack.pop()
        return self._known[wanted]

    def _users_of(self) -> dict[int, list[int]]:
        if self._users is None:
            self._users = {}
            for alias, target in self._aliases.items():
                self._users.setdefault(target, []).append(alias)
            self._starts = sorted(self._users)
            opened: list[int] = []
            for index, start in enumerate(self._starts):
                while opened and self._end(opened[-1]) < start:
                    opened.pop()
                self._parents.append(opened[-1] if opened else -1)
                opened.append(index)
        return self._users

    def _end(self, region: int) -> int:
        start = self._starts[region]
        return self._ends.get(start, start)

    def _region(self, node: int) -> int:
        """The innermost shared node that a node is or is inside of, by its place in the list; -1 for none."""
        region = bisect_right(self._starts, node) - 1
        while region >= 0 and self._end(region) < node:
            region = self._parents[region]
        return region
