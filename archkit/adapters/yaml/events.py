"""One pass of a YAML parser over a document: its events, with places in the text.

libyaml's parser is used where PyYAML has it. ruamel.yaml's pure one stands in with the same output, about forty times
slower, after one warning.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol, cast

import attrs
import yaml

from archkit.adapters.yaml.check import Key, keys
from archkit.adapters.yaml.documents import BOM, Chunk, ManifestLimits, line_breaks
from archkit.adapters.yaml.tree import Tree
from archkit.errors import ArchkitError, ManifestSyntaxError, ManifestTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

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


def _scan(  # noqa: PLR0912 - the hot loop of rendering: calls in it would double its time
    parser: _Parser,
    text: str,
    limits: ManifestLimits,
    wanted: Callable[[str, str], bool] | None,
) -> Tree | None:
    get = cast("Callable[[], yaml.Event]", parser.get_event)
    get()  # the stream's start
    if get().__class__ is yaml.StreamEndEvent:
        return None
    events: list[yaml.Event] = []
    append = events.append
    ends: dict[int, int] = {}
    opened: list[int] = []
    anchored = "&" in text
    anchors: dict[str, int] = {}
    aliases: dict[int, int] = {}
    header = _Header(wanted)
    undecided = wanted is not None
    scalar, mapping, sequence = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
    for number in range(limits.nodes):
        event = get()
        kind = event.__class__
        if undecided and len(opened) == 1:
            if header.refuses(event) and not _again(text, event, events[0]):
                return None
            undecided = header.open
        if kind is not scalar:
            if kind is mapping or kind is sequence:
                opened.append(number)
                if len(opened) > limits.depth:
                    raise _RefusedError(f"deeper than the limit of {limits.depth} levels (depth)", _start(event), too_large=True)
            elif kind is yaml.AliasEvent:
                aliases[number] = _target(cast("yaml.AliasEvent", event), anchors, ends, events)
                append(event)
                continue
            elif kind is yaml.DocumentEndEvent:
                break
            else:
                ends[opened.pop()] = number
                append(event)
                continue
        if anchored and (anchor := event.anchor) is not None:  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
            anchors[anchor] = number
        append(event)
    else:
        raise _RefusedError(f"more than the limit of {limits.nodes} values (nodes)", len(text), too_large=True)
    if get().__class__ is not yaml.StreamEndEvent:
        raise _RefusedError("a second document without a marker of its own", len(text))
    return Tree(text, events, ends, aliases)


def keys_of(text: str, *, properties: bool) -> list[Key]:
    """The keys of one edited document, without a tree.

    Raises:
        yaml.YAMLError: It is not YAML any more.
    """
    get = cast("Callable[[], yaml.Event]", _parser(text).get_event)
    last, scalar = yaml.DocumentEndEvent, yaml.ScalarEvent
    get()
    get()
    found: list[Key] = []
    append = found.append
    if properties:
        events: list[yaml.Event] = []
        while (event := get()).__class__ is not last:
            events.append(event)
        found = keys(events, properties=True)
    else:
        while (event := get()).__class__ is not last:
            append((event.value, event.implicit) if event.__class__ is scalar else event.__class__)  # pyright: ignore[reportAttributeAccessIssue]
    if get().__class__ is not yaml.StreamEndEvent:
        raise yaml.YAMLError("a second document")
    return found


_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent, yaml.DocumentEndEvent})


class _Header:
    """Watches the keys of the root for ``apiVersion`` and ``kind``."""

    def __init__(self, wanted: Callable[[str, str], bool] | None) -> None:
        self.open = wanted is not None
        self._wanted = wanted
        self._key: str | None = None
        self._is_key = True
        self._found: dict[str, str] = {}

    def refuses(self, event: yaml.Event) -> bool:
        """Whether a document is not wanted, as far as its root's keys say so far."""
        if event.__class__ in _ENDS:
            return False
        value = event.value if isinstance(event, yaml.ScalarEvent) else ""
        if self._is_key:
            self._key = value
        elif self._key in {"apiVersion", "kind"}:
            self._found[self._key] = value
        self._is_key = not self._is_key
        if len(self._found) < 2 or self._wanted is None:
            return False
        self.open = False
        return not self._wanted(self._found["apiVersion"], self._found["kind"])


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


def _target(event: yaml.AliasEvent, anchors: dict[str, int], ends: dict[int, int], events: list[yaml.Event]) -> int:
    target = anchors.get(event.anchor or "")
    if target is None:
        raise _RefusedError(f"the alias *{event.anchor} names no anchor before it", _start(event))
    if events[target].__class__ is not yaml.ScalarEvent and target not in ends:
        raise _RefusedError(f"the anchor &{event.anchor} contains itself", _start(event))
    return target


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
