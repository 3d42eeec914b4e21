"""Plain scalars: what YAML 1.1 reads in them, and which texts may stand without quotes."""

from __future__ import annotations

import json
import re

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
"""Plain scalars that mean nothing."""
NULL_TAG = "tag:yaml.org,2002:null"
"""What ``!!null`` stands for."""
_RESOLVING_TAGS = frozenset({"tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_WORDS = {
    **{text: True for word in ("true", "yes", "on") for text in (word, word.title(), word.upper())},
    **{text: False for word in ("false", "no", "off") for text in (word, word.title(), word.upper())},
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_OCTAL = re.compile(r"[-+]?0o?[0-7_]+")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F_]+")
_BINARY = re.compile(r"[-+]?0b[01_]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_SAFE = re.compile(r"(?:[A-Za-z_/]|[0-9][0-9.]*(?::[0-9]+)?/[A-Za-z_])[A-Za-z0-9_./@-]*(?::[A-Za-z0-9_./@-]+)*")
"""Texts that every YAML parser reads as they stand, in block style."""
_SAFE_IN_FLOW = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
"""The same inside ``{}`` and ``[]``, where older parsers take a colon for a mark."""
_RESERVED = frozenset({"y", "Y", "n", "N"})


def resolved(text: str) -> object:
    """What a plain scalar means: null, a truth value, a number, or the text itself."""
    if text in NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        return _number(text)
    return text


def tagged(text: str, tag: str | None) -> object:
    """What a scalar in quotes or with a tag of its own means."""
    if tag == NULL_TAG:
        return None
    return resolved(text) if tag in _RESOLVING_TAGS else text


def _number(text: str) -> object:
    digits = text.replace("_", "")
    if _DECIMAL.fullmatch(text):
        return int(digits) if len(digits) < 1000 else text
    for pattern, base in ((_OCTAL, 8), (_HEXADECIMAL, 16), (_BINARY, 2)):
        if pattern.fullmatch(text) and len(digits) < 1000:
            try:
                return int(digits.replace("0o", "").replace("0x", "").replace("0b", ""), base)
            except ValueError:  # underscores alone
                return text
    if _FLOAT.fullmatch(text) and len(digits) < 1000:
        return float(digits)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def written(value: object, *, flow: bool = False, json_style: bool = False) -> str:
    """A scalar as it stands in a manifest, in quotes only where a reader could take it for something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return json.dumps(value)
    text = str(value)
    pattern = _SAFE_IN_FLOW if flow else _SAFE
    if not json_style and pattern.fullmatch(text) and text not in _RESERVED and resolved(text) == text:
        return text
    return json.dumps(text)
