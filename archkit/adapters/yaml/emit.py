"""New text for a manifest, in the style of the place where it goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import attrs

from archkit.adapters.yaml.scalars import written
from archkit.planning.recent import Recent

if TYPE_CHECKING:
    from archkit.planning.edits import Data


class Block(NamedTuple):
    """Block style: one value per line, structure by indentation."""

    step: int = 2
    """Columns from a key to the keys below it."""
    dash: int = 0
    """Columns from a key to the dashes of the list below it."""
    newline: str = "\n"


@attrs.frozen
class Flow:
    """Flow style: brackets and commas."""

    json: bool = False
    """Whether keys and texts stand in double quotes."""
    comma: str = ", "
    colon: str = ": "
    unit: str | None = None
    """What each level is indented by where every value has its own line; None: all on one line."""
    pad: str = ""
    """What the lines of the surrounding collection begin with."""
    newline: str = "\n"


def block_entry(key: str, value: Data, column: int, style: Block) -> list[str]:
    """The lines of one key of a block mapping whose keys stand in ``column``."""
    pad = " " * column
    name = written(key)
    if isinstance(value, Mapping) and value:
        return [f"{pad}{name}:", *block_mapping(value, column + style.step, style)]
    if _is_list(value) and value:
        return [f"{pad}{name}:", *block_sequence(value, column + style.dash, style)]
    return [f"{pad}{name}: {_leaf(value)}"]


_known_text: Recent[str] = Recent()


def entry_text(key: str, value: Data, column: int, style: Block) -> str:
    """:func:`block_entry` as text of whole lines, made once for the same object in the same place and style."""
    return _known_text.get(
        value, (key, column, style), lambda: "".join(line + style.newline for line in block_entry(key, value, column, style))
    )


def block_mapping(value: Mapping[str, Data], column: int, style: Block) -> list[str]:
    """The lines of a block mapping."""
    return [line for key, item in value.items() for line in block_entry(key, item, column, style)]


def block_sequence(value: Sequence[Data], column: int, style: Block, gap: int = 2) -> list[str]:
    """The lines of a block sequence; ``gap`` columns from a dash to what follows it."""
    pad = " " * column
    dash = "-".ljust(gap)
    lines: list[str] = []
    for item in value:
        if isinstance(item, Mapping) and item:
            inner = block_mapping(item, column + gap, style)
        elif _is_list(item) and item:
            inner = block_sequence(item, column + gap, style, gap)
        else:
            inner = [" " * (column + gap) + _leaf(item)]
        lines += [pad + dash + inner[0][column + gap :], *inner[1:]]
    return lines


def flow(value: Data, style: Flow) -> str:
    """A value in flow style, ready to stand on a line whose first characters are ``style.pad``."""
    if style.json:
        text = json.dumps(
            value, ensure_ascii=False, indent=style.unit, separators=(style.comma.rstrip() if style.unit else style.comma, style.colon)
        )
        return text.replace("\n", style.newline + style.pad)
    if isinstance(value, Mapping):
        inner = style.comma.join(f"{written(key, flow=True)}: {flow(item, style)}" for key, item in value.items())
        return "{" + inner + "}"
    if _is_list(value):
        return "[" + style.comma.join(flow(item, style) for item in value) + "]"
    return written(value, flow=True)


def flow_entry(key: str, value: Data, style: Flow) -> str:
    """One key of a flow mapping."""
    name = json.dumps(key) if style.json else written(key, flow=True)
    return f"{name}{style.colon if style.json else ': '}{flow(value, style)}"


def _leaf(value: Data) -> str:
    if isinstance(value, Mapping):
        return "{}"
    return "[]" if _is_list(value) else written(value)


def _is_list(value: Data) -> TypeGuard[Sequence[Data]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
