"""ruamel.yaml's parser in the place of libyaml's: the same events, about forty times slower."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDICATOR = re.compile(r"[ \t]*:|(?:[ \t]*(?:#[^\n\r]*)?(?:\r\n|[\n\r]))*[ \t]*-(?=[ \t\n\r]|$)")
_STARTS = {"MappingStartEvent": yaml.MappingStartEvent, "SequenceStartEvent": yaml.SequenceStartEvent}


class PureParser:
    """Gives the events of one document as libyaml would."""

    def __init__(self, text: str) -> None:
        self._events = _converted(text)

    def get_event(self) -> yaml.Event | None:
        """The next event; None behind the last."""
        return next(self._events, None)


def _converted(text: str) -> Iterator[yaml.Event]:
    text.encode()  # half a surrogate pair is refused here as libyaml's parser does
    parser = YAML(typ="safe", pure=True)
    behind = 0
    try:
        for event in parser.parse(text):
            converted = _convert(event)
            if isinstance(converted, yaml.ScalarEvent) and not converted.value and event.start_mark.index == event.end_mark.index:
                converted.start_mark = converted.end_mark = _place_of_nothing(text, behind, event.end_mark.index)
            behind = converted.end_mark.index if converted.end_mark is not None else behind
            yield converted
    except ReaderError as error:
        place = len(text[: error.position].encode()) if isinstance(error.position, int) else 0
        raise yaml.reader.ReaderError("", place, error.character, "unicode", str(error.reason)) from error
    except MarkedYAMLError as error:
        raise yaml.MarkedYAMLError(error.context, _mark(error.context_mark), error.problem, _mark(error.problem_mark)) from error
    except YAMLError as error:
        raise yaml.YAMLError(str(error)) from error


def _place_of_nothing(text: str, behind: int, mark: int) -> yaml.Mark:
    """Where libyaml puts an empty value: right behind its colon or dash; ruamel.yaml puts it before the next token."""
    found = _INDICATOR.match(text, behind, mark)
    index = found.end() if found else mark
    return yaml.Mark("", index, text.count("\n", 0, index), 0, None, 0)


def _convert(event: Any) -> yaml.Event:
    name = type(event).__name__
    start, end = _mark(event.start_mark), _mark(event.end_mark)
    if name == "ScalarEvent":
        return yaml.ScalarEvent(event.anchor, _tag(event), event.implicit, event.value, start, end, event.style or "")
    if name in _STARTS:
        return _STARTS[name](event.anchor, _tag(event), event.implicit, start, end, flow_style=bool(event.flow_style))
    if name == "AliasEvent":
        return yaml.AliasEvent(event.anchor, start, end)
    plain: type[yaml.Event] = getattr(yaml, name)
    return plain(start, end)


def _tag(event: Any) -> str | None:
    return None if event.tag is None else str(event.tag)


def _mark(mark: Any) -> yaml.Mark | None:
    if mark is None:
        return None
    return yaml.Mark("", mark.index, mark.line, mark.column, None, 0)
