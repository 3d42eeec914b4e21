"""ruamel.yaml's parser in the place of libyaml's: the same events, about forty times slower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    try:
        for event in parser.parse(text):
            yield _convert(event)
    except ReaderError as error:
        place = len(text[: error.position].encode()) if isinstance(error.position, int) else 0
        raise yaml.reader.ReaderError("", place, error.character, "unicode", str(error.reason)) from error
    except MarkedYAMLError as error:
        raise yaml.MarkedYAMLError(error.context, _mark(error.context_mark), error.problem, _mark(error.problem_mark)) from error
    except YAMLError as error:
        raise yaml.YAMLError(str(error)) from error


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
