"""Writes data as YAML in every style that people use; a text writer of the tests' own, driven by hypothesis."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
_PLAIN = re.compile(r"[a-zA-Z/][a-zA-Z0-9/_.-]*")
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


class Style:
    """How one document is written: drawn once, or place by place."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.step = draw(st.integers(1, 8), label="step")
        self.dash = draw(st.integers(0, self.step), label="dash")
        self.gap = draw(st.sampled_from([1, 1, 1, 2, 3]), label="blanks behind a dash")
        self.newline: str = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]), label="newline")
        self.lively = draw(st.booleans(), label="lively")
        self.json = draw(st.sampled_from(["", "", "", "", "compact", "spaced", "pretty", "tabs"]), label="json")
        self.anchors = 0
        self.in_block = False  # behind a block scalar, where a deeper comment would be text

    def rarely(self) -> bool:
        return self.lively and bool(self.draw(st.integers(0, 5)) == 0)

    def pick(self, strategy: st.SearchStrategy[T]) -> T:
        drawn: T = self.draw(strategy)
        return drawn


def document(draw: Any, data: Any) -> str:
    """One document, without a marker."""
    style = Style(draw)
    if style.json:
        return _json(data, style)
    lines = _mapping(data, 0, style)
    return style.newline.join(lines) + ("" if style.pick(st.integers(0, 9)) == 0 else style.newline)


def _json(data: Any, style: Style) -> str:
    if style.json == "compact":
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    if style.json == "spaced":
        return json.dumps(data, ensure_ascii=False) + "\n"
    return json.dumps(data, indent="\t" if style.json == "tabs" else style.step, ensure_ascii=False).replace("\n", style.newline)


def scalar(value: Any, style: Style, *, flow: bool) -> str:
    if value is None:
        return style.pick(st.sampled_from(["null", "~", "Null"]))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    kinds = ["single", "double"]
    if (_PLAIN.fullmatch(value) and value.lower() not in _WORDS) or (
        not flow and re.fullmatch(r"[a-zA-Z][a-zA-Z0-9/_.:@-]*[a-zA-Z0-9]", value) and value.lower() not in _WORDS
    ):
        kinds += ["plain"] * 4
    if not flow and re.fullmatch(r"[a-z0-9:/.@-]+", value):
        kinds += ["block"]
    kind = style.pick(st.sampled_from(kinds)) if style.lively else "plain" if "plain" in kinds else "double"
    if kind == "single":
        return "'" + str(value).replace("'", "''") + "'"
    if kind == "double":
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("a", "\\x61", 1) if style.rarely() else text
    if kind == "block":
        return "BLOCK" + style.pick(st.sampled_from(["|-", ">-", "|1-", ">-  # folded"])) + "\0" + str(value)
    return str(value)


def _with_properties(text: str, style: Style, tag: str) -> str:
    if style.rarely():
        style.anchors += 1
        text = f"&a{style.anchors} {text}"
        if style.pick(st.booleans()):
            text = f"{tag} {text}"
    return text


def _noise(column: int, style: Style) -> list[str]:
    if not style.rarely():
        return []
    pad = " " * column
    deeper = "" if style.in_block else f"{pad}  # deeper: {{{{ x }}}}"
    options = [
        ["", f"{pad}# behind a blank line"],
        [f"{pad}# attached: é ☃ 🎉"],
        ["# in column 0"],
        [deeper],
        [""],
    ]
    return style.pick(st.sampled_from(options))


def _key(key: str, style: Style, *, flow: bool) -> str:
    if style.rarely():
        return style.pick(st.sampled_from([f'"{key}"', f"'{key}'"]))
    del flow
    return key


def _mapping(data: Mapping[str, Any], column: int, style: Style) -> list[str]:
    lines: list[str] = []
    for key, value in data.items():
        lines += _noise(column, style)
        lines += _entry(" " * column + _key(key, style, flow=False) + ":", value, column, style)
    return lines


def _entry(head: str, value: Any, column: int, style: Style) -> list[str]:
    """A key or a dash, and its value."""
    style.in_block = False
    comment = style.pick(st.sampled_from(["  # why", " #", ""])) if style.rarely() else ""
    is_key = head.endswith(":")
    if isinstance(value, (Mapping, list)) and (not value or style.rarely()):
        return [head + " " + _with_properties(_flow(value, style), style, "!!map" if isinstance(value, Mapping) else "!!seq") + comment]
    if isinstance(value, Mapping):
        properties = ""
        if is_key and style.rarely():
            style.anchors += 1
            properties = f" &a{style.anchors}"
        inner = column + style.step
        return [head + properties + comment, *_mapping(value, inner, style)]
    if isinstance(value, list):
        inner = column + style.dash if is_key else column + 1 + style.gap
        lines = [head + comment]
        for item in value:
            lines += _noise(inner, style)
            dash = " " * inner + "-" + " " * style.gap
            if isinstance(item, Mapping) and item and not style.rarely():
                block = _mapping(item, inner + 1 + style.gap, style)
                while not block[0].strip() or block[0].lstrip().startswith("#"):
                    block = block[1:]
                lines += [dash + block[0].lstrip(" "), *block[1:]]
            else:
                lines += _entry(dash.rstrip(" "), item, inner, style)
        return lines
    if value is None and is_key and style.pick(st.booleans()):
        return [head + comment]
    text = scalar(value, style, flow=False)
    if text.startswith("BLOCK"):
        header, content = text[5:].split("\0")
        style.in_block = True
        indent = 1 if "1" in header else style.step
        return [head + " " + header, " " * (column + indent) + content, *([""] if style.pick(st.booleans()) else [])]
    return [
        head
        + " " * style.pick(st.sampled_from([1, 1, 1, 3]))
        + _with_properties(
            text,
            style,
            "!!str" if isinstance(value, str) else "!!null" if value is None else "!!bool" if isinstance(value, bool) else "!!int",
        )
        + comment
    ]


def _flow(value: Any, style: Style) -> str:
    space = style.pick(st.sampled_from(["", " "]))
    if isinstance(value, Mapping):
        parts = [f"{_key(key, style, flow=True)}: {_flow(item, style)}" for key, item in value.items()]
        return "{" + space + ", ".join(parts) + space + "}"
    if isinstance(value, list):
        tail = "," if value and style.rarely() else ""
        return "[" + space + ", ".join(_flow(item, style) for item in value) + tail + space + "]"
    return scalar(value, style, flow=True)
