"""A document as events with offsets, walked by number instead of built into objects.

A node is the number of its event. Marks of libyaml count code points of the text; the traps of the others are dealt
with here: a start mark includes anchor and tag, the end mark of a block collection runs on to the next token.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import attrs
import yaml

from archkit.adapters.yaml.documents import line_breaks
from archkit.adapters.yaml.scalars import NULL_TAG, NULLS, resolved, tagged
from archkit.adapters.yaml.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROPERTY = re.compile(r"[&!][^\s\[\]{},]*")
_TAG_URI = re.compile(r"!<[^>]*>")
_VALUE_LIMIT = 200_000


@attrs.frozen
class Entry:
    """One key of a mapping."""

    key: int
    value: int
    owner: int
    """The mapping in which it is written; another one for a key that comes through a merge."""


class Oversized(ValueError):
    """A value that aliases blow up beyond any use."""


class Tree:
    """The events of one document and the ways between them."""

    __slots__ = (
        "_entries",
        "_items",
        "_owners",
        "_trails",
        "aliases",
        "ends",
        "events",
        "kinds",
        "line",
        "plain_breaks",
        "repeated",
        "sharing",
        "source",
    )

    def __init__(
        self, source: str, events: list[yaml.Event], kinds: list[type[yaml.Event]], ends: dict[int, int], aliases: dict[int, int]
    ) -> None:
        self.source: str = source
        self.events: list[yaml.Event] = events
        self.kinds: list[type[yaml.Event]] = kinds
        """The class of each event."""
        self.ends: dict[int, int] = ends
        """The closing event of each collection."""
        self.aliases: dict[int, int] = aliases
        """What each alias stands for."""
        self.plain_breaks: bool = source.isascii() and "\r" not in source
        """Whether lines end with line feeds alone."""
        self.line: int = 1
        """Of the text's first character, in the whole text."""
        self.repeated: dict[int, str] = {}
        """Mappings that were looked into and have a key twice, with that key."""
        self.sharing: Sharing = Sharing(ends, aliases)
        self._entries: dict[int, dict[str, int]] = {}
        self._owners: dict[tuple[int, str], int] = {}
        self._items: dict[int, list[int]] = {}
        self._trails: dict[tuple[str | int, ...], list[int]] = {(): [0]}

    # ---- reading -------------------------------------------------------------------------------------------------

    def event(self, node: int) -> yaml.NodeEvent:
        """The event of a node, an alias followed."""
        return cast("yaml.NodeEvent", self.events[self.aliases.get(node, node)])

    def resolve(self, node: int) -> int:
        """The node itself, or what it is an alias of."""
        return self.aliases.get(node, node)

    def is_mapping(self, node: int) -> bool:
        """Whether a node is a mapping."""
        return self.event(node).__class__ is yaml.MappingStartEvent

    def is_sequence(self, node: int) -> bool:
        """Whether a node is a sequence."""
        return self.event(node).__class__ is yaml.SequenceStartEvent

    def end(self, node: int) -> int:
        """The number of a node's last event."""
        return self.ends.get(node, node)

    def entries(self, node: int) -> dict[str, int]:
        """The values of a mapping by key, merged ones behind its own; none of a node that is no mapping."""
        found = self._entries.get(node)
        if found is None:
            mapping = self.aliases.get(node, node)
            is_mapping = self.kinds[mapping] is yaml.MappingStartEvent
            found = self._entries[node] = self._read_entries(mapping) if is_mapping else {}
        return found

    def _read_entries(self, mapping: int) -> dict[str, int]:
        """The values of a mapping whose keys are all scalars, as nearly every one's are."""
        events, kinds, scalar, end_of = self.events, self.kinds, yaml.ScalarEvent, self.ends.get
        found: dict[str, int] = {}
        at, last = mapping + 1, self.ends[mapping]
        while at < last:
            if kinds[at] is not scalar:
                return self._read_any_entries(mapping)
            key: str = events[at].value  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
            if key in found:
                self.repeated[mapping] = key
            value = at + 1
            found[key] = value
            at = end_of(value, value) + 1
        return found if "<<" not in found else self._read_any_entries(mapping)

    def _read_any_entries(self, mapping: int) -> dict[str, int]:
        """The same for every mapping: with merges, with aliases and collections for keys."""
        events, ends = self.events, self.ends
        found: dict[str, int] = {}
        merges: list[int] = []
        self.repeated.pop(mapping, None)
        at, last = mapping + 1, ends[mapping]
        while at < last:
            event = events[self.aliases.get(at, at)]
            value = ends.get(at, at) + 1
            if isinstance(event, yaml.ScalarEvent):
                key = event.value
                if key == "<<" and event.implicit[0]:
                    merges.append(value)
                else:
                    if key in found:
                        self.repeated[mapping] = key
                    found[key] = value
            at = ends.get(value, value) + 1
        for merge in merges:
            for source in self.items(merge) if self.is_sequence(merge) else (merge,):
                for key, value in self.entries(source).items():
                    if key not in found:
                        found[key] = value
                        self._owners[mapping, key] = self.owner(source, key)
        return found

    def owner(self, node: int, key: str) -> int:
        """The mapping in which a key of a mapping is written."""
        mapping = self.aliases.get(node, node)
        return self._owners.get((mapping, key), mapping)

    def child(self, node: int, key: str) -> int | None:
        """The value of a key."""
        found = self._entries.get(node)
        return (self.entries(node) if found is None else found).get(key)

    def keys(self, node: int) -> Sequence[str]:
        """The keys of a mapping."""
        return list(self.entries(node))

    def items(self, node: int) -> Sequence[int]:
        """The items of a sequence."""
        node = self.aliases.get(node, node)
        if self.kinds[node] is not yaml.SequenceStartEvent:
            return ()
        found = self._items.get(node)
        if found is None:
            found, at, ends = [], node + 1, self.ends
            last = ends[node]
            while at < last:
                found.append(at)
                at = ends.get(at, at) + 1
            self._items[node] = found
        return found

    def text(self, node: int) -> str | None:
        """The text of a scalar as it stands; None for null and for collections."""
        event = self.events[self.aliases.get(node, node)]
        if not isinstance(event, yaml.ScalarEvent) or (event.value in NULLS if event.implicit[0] else event.tag == NULL_TAG):
            return None
        return event.value

    def value(self, node: int) -> object:
        """A node as plain data, scalars as YAML 1.1 reads them (as kubectl does).

        Raises:
            Oversized: More than any manifest can mean.
        """
        return self._value(node, [_VALUE_LIMIT])

    def _value(self, node: int, budget: list[int]) -> object:
        budget[0] -= 1
        if budget[0] < 0:
            raise Oversized
        event = self.event(node)
        if isinstance(event, yaml.ScalarEvent):
            return resolved(event.value) if event.implicit[0] else tagged(event.value, event.tag)
        if isinstance(event, yaml.MappingStartEvent):
            return {key: self._value(child, budget) for key, child in self.entries(node).items()}
        return [self._value(item, budget) for item in self.items(node)]

    def locate(self, path: Sequence[str | int]) -> tuple[int, Entry | None]:
        """The node at a path that is there, and the entry that holds it if a mapping does."""
        trail = self.trail(path)
        node = trail[-1]
        if not path or not isinstance(path[-1], str):
            return node, None
        return node, Entry(node - 1, node, self.owner(trail[-2], path[-1]))  # a key that is a text is one event

    def trail(self, path: Sequence[str | int]) -> list[int]:
        """The nodes on the way of a path that is there, the root and aliases included; do not change it."""
        key = tuple(path)
        found = self._trails.get(key)
        if found is None:
            node = 0
            found = [node]
            for step in key:
                node = self.entries(node)[step] if isinstance(step, str) else self.items(node)[step]
                found.append(node)
            self._trails[key] = found
        return found

    # ---- places --------------------------------------------------------------------------------------------------

    def start(self, node: int) -> int:
        """Where a node's own text begins, behind anchor and tag; for a block collection its first token."""
        event = self.events[node]
        index = event.start_mark.index if event.start_mark is not None else 0
        if event.anchor is None and event.tag is None:  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
            return index
        index = self.skip_properties(index)
        if event.__class__ is not yaml.ScalarEvent and not cast("yaml.MappingStartEvent", event).flow_style:
            index = self.skip_blank(index)
        return index

    def mark(self, node: int) -> int:
        """The start mark of an event: where its anchor or tag begins if it has one."""
        mark = self.events[node].start_mark
        return 0 if mark is None else mark.index

    def stop(self, node: int) -> int:
        """Where the text of a scalar, an alias or a flow collection ends."""
        return self.stop_of_event(self.end(node))

    def stop_of_event(self, number: int) -> int:
        """The end mark of an event."""
        mark = self.events[number].end_mark
        return 0 if mark is None else mark.index

    def skip_properties(self, index: int) -> int:
        """Behind the anchor and the tag that begin here, and the blanks between and behind them."""
        text = self.source
        while index < len(text) and text[index] in "&!":
            found = _TAG_URI.match(text, index) or _PROPERTY.match(text, index)
            end = found.end() if found else index + 1
            after = end
            while after < len(text) and text[after] in " \t":
                after += 1
            if after < len(text) and text[after] in "&!":
                index = after
                continue
            return after if after < len(text) and text[after] not in "\n\r#" else end
        return index

    def skip_blank(self, index: int) -> int:
        """The next character that is neither blank, line break nor comment."""
        text = self.source
        while index < len(text):
            if text[index] == "#":
                while index < len(text) and text[index] not in "\n\r":
                    index += 1
            elif text[index] in " \t\n\r\x85\u2028\u2029\ufeff":
                index += 1
            else:
                break
        return index

    def line_start(self, index: int) -> int:
        """Where the line of a character begins, by libyaml's count of lines."""
        text = self.source
        if self.plain_breaks:
            return text.rfind("\n", 0, index) + 1
        return max(text.rfind(sign, 0, index) for sign in "\n\r\x85\u2028\u2029") + 1

    def line_of_node(self, node: int) -> int:
        """The line of a node in the whole text, counted from 1."""
        mark = self.events[node].start_mark
        if mark is not None and self.plain_breaks:
            return self.line + mark.line
        return self.line_of(self.mark(node))

    def line_of(self, index: int) -> int:
        """The line of a character in the whole text, counted from 1."""
        return self.line + line_breaks(self.source, index)

    def template_at(self) -> int | None:
        """Where template braces were read as a mapping inside a mapping; None where there are none."""
        previous: yaml.Event | None = None
        for event in self.events:
            if (
                isinstance(event, yaml.MappingStartEvent)
                and isinstance(previous, yaml.MappingStartEvent)
                and event.flow_style
                and previous.flow_style
                and event.start_mark is not None
                and previous.end_mark is not None
                and event.start_mark.index == previous.end_mark.index
            ):
                return event.start_mark.index - 1
            previous = event
        return None
