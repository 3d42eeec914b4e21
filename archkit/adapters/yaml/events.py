"""One pass of a YAML parser over a document: its events, with places in the text.

libyaml's parser is used where PyYAML has it. ruamel.yaml's pure one stands in with the same output, about forty times
slower, after one warning.
"""

from __future__ import annotations

import warnings
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

import attrs
import yaml

from archkit.adapters.yaml.check import Key, keys
from archkit.adapters.yaml.documents import BOM, Chunk, ManifestLimits, line_breaks
from archkit.adapters.yaml.tree import Tree
from archkit.errors import ArchkitError, ManifestSyntaxError, ManifestTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    from yaml._yaml import CParser as LibyamlParser
except ImportError:  # PyYAML was built without libyaml
    LibyamlParser = None  # type: ignore[assignment,misc]


@attrs.define(eq=False, slots=False)
class Templated(ArchkitError, ValueError):
    """A document that is a template and not yet YAML."""

    reason: str
    line: int

    def problem(self) -> str:
        return f"a template in line {self.line}: {self.reason}"


class _Parser(Protocol):
    def get_event(self) -> yaml.Event | None: ...


def _parser(text: str) -> _Parser:
    if LibyamlParser is not None:
        return cast("_Parser", LibyamlParser(text))
    _warn_once()
    from archkit.adapters.yaml.pure import PureParser

    return PureParser(text)


_warned: list[bool] = []


def _warn_once() -> None:
    if not _warned:
        _warned.append(True)
        message = "PyYAML has no libyaml here: archkit reads manifests with a parser about 40 times slower; install a wheel of PyYAML"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
"""What libyaml 0.2.6 and later says of more than 1,000 levels, before their events come; earlier ones know no limit."""


class _RefusedError(Exception):
    """The document is beyond a limit, or not YAML in a way that the parser does not see."""

    def __init__(self, reason: str, index: int, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.index, self.too_large = index, too_large


def read(chunk: Chunk, name: str, limits: ManifestLimits, wanted: Callable[[str, str], bool] | None = None) -> Tree | None:
    """One document as a tree; None when there is nothing in it, or nothing wanted.

    Args:
        chunk: The document.
        name: What messages call the text.
        limits: Depth, size and number of values.
        wanted: Asked with ``apiVersion`` and ``kind`` as soon as both are known; False stops reading.

    Raises:
        ManifestSyntaxError: Not YAML, with line and column.
        ManifestTooLarge: Beyond a limit.
        Templated: Not YAML, or YAML by chance only, because of template braces.
    """
    if len(chunk.text) > limits.document_characters:
        reason = f"a document of {len(chunk.text)} characters, more than the limit of {limits.document_characters} (document_characters)"
        raise ManifestTooLarge(name, reason, chunk.line)
    text = chunk.text.removeprefix(BOM)  # libyaml drops a leading BOM without counting it
    try:
        tree = _scan(_parser(text), text, limits, wanted)
    except (yaml.YAMLError, _RefusedError, UnicodeEncodeError) as error:
        reason, index = _reason(error, text)
        line, column = chunk.line + line_breaks(text[:index]), index - _line_start(text, index) + 1
        if (isinstance(error, _RefusedError) and error.too_large) or _LIBYAML_TOO_DEEP in reason:
            raise ManifestTooLarge(name, reason, line, column) from None
        if "{{" in text and not isinstance(error, UnicodeEncodeError):
            raise Templated(reason, line) from None
        raise ManifestSyntaxError(name, reason, line, column) from error
    if tree is not None:
        tree.line = chunk.line
        if "{{" in text and (brace := tree.template_at()) is not None:
            raise Templated("template braces outside a text", tree.line_of(brace))
    return tree


_BATCH = 4096
"""Events that are taken at once, at C's speed; the limits are looked at between batches."""


def _scan(parser: _Parser, text: str, limits: ManifestLimits, wanted: Callable[[str, str], bool] | None) -> Tree | None:
    get = cast("Callable[[], yaml.Event]", parser.get_event)
    get()  # the stream's start
    if get().__class__ is yaml.StreamEndEvent:
        return None
    structure = _Structure(limits)
    if wanted is not None and not _header(get, structure.events, text, limits, wanted):
        return None
    rest = iter(get, None)
    size = _BATCH
    while size == _BATCH:
        size = structure.take(rest)
    if structure.documents != 1:
        raise _RefusedError("a second document without a marker of its own", len(text))
    return Tree(text, structure.events, structure.kinds, structure.ends, structure.aliases)


class _Structure:
    """Pairs the events of a document, as they come: ends to starts, aliases to anchors."""

    __slots__ = ("_anchored", "_anchors", "_limits", "_opened", "aliases", "documents", "ends", "events", "kinds")

    def __init__(self, limits: ManifestLimits) -> None:
        self.events: list[yaml.Event] = []
        self.kinds: list[type[yaml.Event]] = []
        self.ends: dict[int, int] = {}
        self.aliases: dict[int, int] = {}
        self.documents: int = 0
        """How many have ended."""
        self._opened: list[int] = []
        self._anchors: dict[str, int] = {}
        self._anchored = 0
        self._limits = limits

    def take(self, stream: Iterator[yaml.Event]) -> int:
        """Take the next events of a stream; returns how many.

        Raises:
            _RefusedError: More values or more levels than allowed, or an alias that cannot be followed.
        """
        before = len(self.events)
        try:
            self.events += islice(stream, _BATCH)
        finally:  # what came before an error in the text may be beyond a limit, which says more
            self._read(len(self.kinds))
        return len(self.events) - before

    def _read(self, start: int) -> None:
        kinds, ends, opened = self.kinds, self.ends, self._opened
        fresh = list(map(type, self.events[start:] if start else self.events))
        kinds += fresh
        scalar, mapping, sequence = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
        deepest = self._limits.depth
        for number in [number for number, kind in enumerate(fresh, start) if kind is not scalar]:
            kind = kinds[number]
            if kind is mapping or kind is sequence:
                opened.append(number)
                if len(opened) > deepest:
                    reason = f"deeper than the limit of {deepest} levels (depth)"
                    raise _RefusedError(reason, _start(self.events[number]), too_large=True)
            elif kind is yaml.AliasEvent:
                self.aliases[number] = self._target(number)
            elif opened:
                ends[opened.pop()] = number
            elif kind is yaml.DocumentEndEvent:
                self.documents += 1
        if len(kinds) > self._limits.nodes + 2:  # the ends of document and stream are no values
            reason = f"more than the limit of {self._limits.nodes} values (nodes)"
            raise _RefusedError(reason, _start(self.events[self._limits.nodes]), too_large=True)

    def _target(self, alias: int) -> int:
        """What an alias stands for: the last before it that has the anchor."""
        for number in range(self._anchored, alias):
            anchor: str | None = getattr(self.events[number], "anchor", None)
            if anchor is not None and self.kinds[number] is not yaml.AliasEvent:
                self._anchors[anchor] = number
        self._anchored = alias
        event = cast("yaml.AliasEvent", self.events[alias])
        target = self._anchors.get(event.anchor or "")
        if target is None:
            raise _RefusedError(f"the alias *{event.anchor} names no anchor before it", _start(event))
        if self.kinds[target] is not yaml.ScalarEvent and target not in self.ends:
            raise _RefusedError(f"the anchor &{event.anchor} contains itself", _start(event))
        return target


_AROUND = 4
"""Events around those of one document: the start and the end of the stream and of the document."""


def keys_of(text: str, *, properties: bool) -> list[Key]:
    """The keys of one edited document, without a tree.

    Raises:
        yaml.YAMLError: It is not YAML any more.
    """
    found = keys(iter(_parser(text).get_event, None), properties=properties)
    if len(found) < _AROUND:
        raise yaml.YAMLError("no document")
    return found[2:]


_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent, yaml.DocumentEndEvent})


_HEAD = [yaml.MappingStartEvent, *[yaml.ScalarEvent] * 4]
_USUAL = len(_HEAD)
"""A document begins with ``apiVersion`` and ``kind`` but for rare exceptions."""
_STARTS = frozenset({yaml.MappingStartEvent, yaml.SequenceStartEvent})


def _header(
    get: Callable[[], yaml.Event], events: list[yaml.Event], text: str, limits: ManifestLimits, wanted: Callable[[str, str], bool]
) -> bool:
    """Read as far as the root's ``apiVersion`` and ``kind``; False when such a document is not wanted."""
    stream = iter(get, None)
    events += islice(stream, _USUAL)
    if list(map(type, events)) == _HEAD and (events[1].value, events[3].value) == ("apiVersion", "kind"):  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        return wanted(events[2].value, events[4].value) or _again(text, events[4], events[0])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    level = number = 0
    key: str | None = None
    found: dict[str, str] = {}
    while number < len(events) or number < limits.nodes:
        if number == len(events):
            events.append(get())
        event = events[number]
        number += 1
        kind = event.__class__
        if level == 1 and kind not in _ENDS:
            value = event.value if isinstance(event, yaml.ScalarEvent) else ""
            if key is None:
                key = value
            else:
                if key in {"apiVersion", "kind"}:
                    found[key] = value
                    if len(found) > 1:
                        return wanted(found["apiVersion"], found["kind"]) or _again(text, event, events[0])
                key = None
        if kind in _STARTS:
            level += 1
        elif kind in _ENDS:
            level -= 1
        if not 0 < level <= limits.depth:
            break
    return True


def _start(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark is not None else 0


def _again(text: str, event: yaml.Event, root: yaml.Event) -> bool:
    """Whether the rest of the text may name the kind once more (a duplicate key, of which the last would win)."""
    import re

    if getattr(root, "flow_style", False):
        pattern = r"[{,\s][\"']?kind[\"']?\s*:"
    else:
        start = _start(root)
        pattern = rf"[\n\r] {{{start - _line_start(text, start)}}}[\"']?kind[\"']?[ \t]*:"
    return re.compile(pattern).search(text, _start(event)) is not None


def _reason(error: Exception, text: str) -> tuple[str, int]:
    """Why a document was refused, and where: an index into the text."""
    if isinstance(error, UnicodeEncodeError):
        return f"a character that is none: {text[error.start]!r} (half of a surrogate pair)", error.start
    if isinstance(error, _RefusedError):
        return str(error), error.index
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, (error.context, error.problem)))
        return reason, min(mark.index, len(text)) if mark is not None else 0
    if isinstance(error, yaml.reader.ReaderError):  # the position counts bytes
        index = len(text.encode()[: error.position].decode(errors="ignore"))
        return f"a character that YAML does not allow: {text[index : index + 1]!r}", index
    return str(error), 0


def _line_start(text: str, index: int) -> int:
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1
