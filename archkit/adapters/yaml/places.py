"""Where in the text an edit goes, and in which style; one function per kind of edit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

import yaml

from archkit.adapters.yaml.emit import Block, Flow, block_mapping, block_sequence, entry_text, flow, flow_entry
from archkit.adapters.yaml.scalars import NULL_TAG, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archkit.adapters.yaml.tree import Tree
    from archkit.planning.edits import Append, Data, Fill, Insert, Path, Replace

_BREAK = re.compile(r"\r\n|[\n\r]")
_INDENT = re.compile(r"[ \t]*")
_MAX_STEP = 8


class Splice(NamedTuple):
    """A piece of text that takes the place of another."""

    start: int
    end: int
    text: str
    rank: int = 0
    """Which comes first at one place: what ends deeper structure."""


# ---- a new key -----------------------------------------------------------------------------------------------------


def insert(tree: Tree, items: Sequence[Insert], node: int) -> list[Splice]:
    """New keys before the first of a mapping, above the comments that belong to it."""
    if _is_flow(tree, node):
        return [_insert_flow(tree, items, node)]
    at = tree.start(node)
    column = _column(tree, node)
    line = at - column
    style = _block_style(tree, items[0].mapping, node)
    text = "".join([entry_text(item.key, item.value, column, style) for item in items])
    source = tree.source
    if source[line:at].strip(" "):  # behind a dash: the first new line takes the place of the old first one
        return [Splice(at, at, text[column:] + " " * column, 1)]
    while line and (above := tree.line_start(line - 1)) < line and source[above:line].lstrip(" \t")[:1] == "#":
        line = above
    return [Splice(line, line, text, 1)]


def _insert_flow(tree: Tree, items: Sequence[Insert], node: int) -> Splice:
    brace = tree.start(node) + 1
    style, gap = _flow_style(tree, node)
    entries = [flow_entry(item.key, item.value, style) for item in items]
    if _BREAK.search(gap):
        return Splice(brace, brace, "".join(f"{style.newline}{style.pad}{entry}," for entry in entries))
    at = brace + len(gap)
    return Splice(at, at, "".join(entry + style.comma for entry in entries))


# ---- more items ----------------------------------------------------------------------------------------------------


def append(tree: Tree, item: Append, node: int) -> list[Splice]:
    """Items behind the last of a sequence that is not empty."""
    items = tree.items(node)
    if _is_flow(tree, node):
        inline, space = _flow_style(tree, node)
        at = tree.stop(items[-1])
        between = f",{inline.newline}{inline.pad}" if _BREAK.search(space) else inline.comma
        return [Splice(at, at, "".join(between + flow(value, inline) for value in item.items))]
    first = tree.start(node)
    column = first - tree.line_start(first)
    style = _block_style(tree, item.sequence, node)
    if _is_flow(tree, items[-1]):
        lines = [f"{' ' * column}- {flow(value, Flow())}" for value in item.items]
    else:
        content = tree.mark(items[0])
        width = content - first
        gap = width if 2 <= width <= _MAX_STEP and not _BREAK.search(tree.source, first, content) else 2
        lines = block_sequence(item.items, column, style, gap)
    last = tree.end(node) - 1
    while _is_block_end(tree, last):
        last -= 1
    return [_behind_line(tree, tree.stop_of_event(last), lines, style.newline, -node)]


def _is_block_end(tree: Tree, number: int) -> bool:
    event = tree.events[number]
    if not isinstance(event, yaml.CollectionEndEvent):
        return False
    return event.start_mark is not None and event.end_mark is not None and event.start_mark.index == event.end_mark.index


def _behind_line(tree: Tree, at: int, lines: Sequence[str], newline: str, rank: int) -> Splice:
    """New lines behind the line on which something ends."""
    source = tree.source
    if at and at == tree.line_start(at) and source[at - 1] in "\n\r":  # a block scalar ends at the start of a line
        return Splice(at, at, "".join(line + newline for line in lines), rank)
    found = _BREAK.search(source, at)
    if found is None:
        return Splice(len(source), len(source), "".join(newline + line for line in lines), rank)
    return Splice(found.end(), found.end(), "".join(line + newline for line in lines), rank)


# ---- a value where there is none -----------------------------------------------------------------------------------


def fill(tree: Tree, item: Fill, node: int) -> list[Splice]:
    """A mapping or list in the place of null, ``{}`` or ``[]``."""
    value = cast("Mapping[str, Data] | Sequence[Data]", item.value)
    found, entry = tree.locate(item.at)
    start, stop = tree.start(node), tree.stop(node)
    event = cast("yaml.ScalarEvent", tree.events[node])
    if event.tag == NULL_TAG:  # goes with the null; an anchor stays
        anchor = "" if event.anchor is None else f"&{event.anchor} "
        return [Splice(tree.mark(node), stop, anchor + flow(value, Flow()))]
    if entry is None or found != node:
        return [_fill_flow(tree, (start, stop), flow(value, Flow()))]
    key_end = tree.stop(entry.key)
    colon = tree.source.find(":", key_end, max(start, key_end))
    if _is_flow(tree, entry.owner):
        inline, _ = _flow_style(tree, entry.owner)
        if colon < 0:  # `{affinity}`: a key alone
            return [Splice(stop, stop, ": " + flow(value, inline))]
        return [_fill_flow(tree, (start, stop), flow(value, inline), tight=inline.colon == ":")]
    key = tree.mark(entry.key)
    line = tree.line_start(key)
    column = key - line
    if colon < 0 and tree.source[key_end : key_end + 1] == ":":
        colon = key_end
    simple = not tree.source[line:key].strip(" -") and event.anchor is None and event.tag is None and colon >= 0
    if not simple or tree.source[colon + 1 : start].strip(" ") or not _says_nothing(tree.source[start:stop]):
        if colon < 0:  # `? affinity` alone: its value goes below it
            return [Splice(stop, stop, f"{_newline(tree, stop)}{' ' * max(column - 2, 0)}: {flow(value, Flow())}")]
        return [_fill_flow(tree, (start, stop), flow(value, Flow()))]
    style = _block_style(tree, item.at, entry.owner)
    if isinstance(value, dict):
        lines = block_mapping(value, column + style.step, style)
    else:
        lines = block_sequence(cast("Sequence[Data]", value), column + style.dash, style)
    cut = [Splice(colon + 1, stop, "")] if stop > colon + 1 else []
    return [*cut, _behind_line(tree, max(stop, colon + 1), lines, style.newline, -node)]


def _says_nothing(text: str) -> bool:
    return text in {"", "~"} or text.lower() == "null" or (text[0] + text[-1] in {"{}", "[]"} and not text[1:-1].strip(" "))


def _fill_flow(tree: Tree, place: tuple[int, int], text: str, *, tight: bool = False) -> Splice:
    start, stop = place
    inner = tree.source[start + 1 : stop - 1]
    if stop - start > 2 and inner.strip() and "#" in inner:  # `{ # comment` and `}` on a later line: keep the comment
        return Splice(start + 1, start + 1, text[1:-1])
    if start and not tight and tree.source[start - 1] not in " \t\n\r[{,":
        text = " " + text
    return Splice(start, stop, text)


# ---- another text --------------------------------------------------------------------------------------------------


def replace(tree: Tree, item: Replace, node: int) -> list[Splice]:
    """Another text in the place of a scalar, in the same quotes."""
    event = cast("yaml.ScalarEvent", tree.events[node])
    start, stop = tree.start(node), tree.stop(node)
    if event.style in {"|", ">"}:
        content = tree.source[start:stop]
        header = _BREAK.search(content)
        body = content[header.end() :] if header else content
        old = body.strip()
        offset = start + (header.end() if header else 0) + body.index(old)
        return [Splice(offset, offset + len(old), item.value)]
    if event.style in {"'", '"'}:
        return [Splice(start, stop, f"{event.style}{item.value}{event.style}")]
    return [Splice(start, stop, _plain(tree, item))]


def _plain(tree: Tree, item: Replace) -> str:
    trail = tree.trail(item.at)
    if not tree.aliases:  # what is inside a flow collection is all flow
        key = item.at[-1]
        return written(item.value, flow=_is_flow(tree, tree.owner(trail[-2], key) if isinstance(key, str) else trail[-2]))
    _, entry = tree.locate(item.at)
    holders = trail if entry is None else [*trail, entry.owner]  # a merged key stands in another mapping
    in_flow = any(_is_flow(tree, node) for node in holders) or any(node in tree.aliases for node in trail)
    return written(item.value, flow=in_flow)


# ---- style ---------------------------------------------------------------------------------------------------------


def _is_flow(tree: Tree, node: int) -> bool:
    event = tree.event(node)
    return event.__class__ is not yaml.ScalarEvent and bool(cast("yaml.MappingStartEvent", event).flow_style)


def _is_block_mapping(tree: Tree, node: int) -> bool:
    return tree.kinds[node] is yaml.MappingStartEvent and not cast("yaml.MappingStartEvent", tree.events[node]).flow_style


def _column(tree: Tree, node: int) -> int:
    """The column of a node's own text, behind anchor and tag."""
    event = cast("yaml.MappingStartEvent", tree.events[node])
    if tree.plain_breaks and event.anchor is None and event.tag is None and event.start_mark is not None:
        return event.start_mark.column
    start = tree.start(node)
    return start - tree.line_start(start)


def _newline(tree: Tree, at: int) -> str:
    """The line break that is in use around a place."""
    source = tree.source
    if tree.plain_breaks:
        return "\n"
    before = max(source.rfind("\n", 0, at), source.rfind("\r", 0, at))
    if before < 0:
        found = _BREAK.search(source, at)
        return found.group() if found else "\n"
    return "\r\n" if source[before - 1 : before + 1] == "\r\n" else source[before]


def _block_style(tree: Tree, path: Path, node: int) -> Block:
    """Indentation as it is around a place."""
    step = 2
    trail = tree.trail(path)
    for index in range(len(path) - 1, -1, -1):
        outer, inner = trail[index], trail[index + 1]
        if not isinstance(path[index], str) or not _is_block_mapping(tree, inner) or not _is_block_mapping(tree, outer):
            continue
        width = _column(tree, inner) - _column(tree, outer)
        if 1 <= width <= _MAX_STEP:
            step = width
            break
    return Block(step, _dash(tree, node), _newline(tree, tree.mark(node)))


def _dash(tree: Tree, node: int) -> int:
    """How far dashes stand from their key: of the first list in a node, else of the first in the document."""
    kinds = tree.kinds
    for first, last in ((node, tree.end(node)), (0, len(kinds))):
        number = first
        while (number := _next(kinds, yaml.SequenceStartEvent, number + 1, last)) < last:
            if _is_flow(tree, number) or kinds[number - 1] is not yaml.ScalarEvent:
                continue
            width = _column(tree, number) - (tree.mark(number - 1) - tree.line_start(tree.mark(number - 1)))
            if 0 <= width <= _MAX_STEP:
                return width
    return 0


def _next(kinds: list[type[yaml.Event]], kind: type[yaml.Event], first: int, last: int) -> int:
    try:
        return kinds.index(kind, first, last)
    except ValueError:
        return last


def _flow_style(tree: Tree, node: int) -> tuple[Flow, str]:
    """The style of a flow collection that is not empty, and what stands between its bracket and its first value."""
    source = tree.source
    bracket = tree.start(node)
    first = tree.mark(node + 1)
    gap = source[bracket + 1 : first]
    newline = _newline(tree, bracket)
    quoted = next((event.style == '"' for event in tree.events[node + 1 : tree.end(node)] if isinstance(event, yaml.ScalarEvent)), False)
    colon, comma = ": ", ", "
    if quoted and tree.is_mapping(node) and tree.events[node + 1].__class__ is yaml.ScalarEvent:
        after = source[tree.stop(node + 1) : tree.mark(node + 2)]
        if after == ":":
            colon, comma = ":", ","
    if not _BREAK.search(gap):
        return Flow(quoted, comma, colon, newline=newline), gap
    pad = gap[max(gap.rfind("\n"), gap.rfind("\r")) + 1 :]
    line = tree.line_start(bracket)
    outer = cast("re.Match[str]", _INDENT.match(source, line)).group()
    unit = pad[len(outer) :] if pad.startswith(outer) and len(pad) > len(outer) else "  "
    return Flow(quoted, comma, colon, unit if quoted else None, pad, newline), gap
