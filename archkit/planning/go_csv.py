"""Texts for flags that Go programs split at commas, as docker, buildx and ko do. Pure.

Source: Go's ``encoding/csv``, which their flag libraries read such values with.
"""

from __future__ import annotations

import re

_TO_QUOTE = re.compile(r'[",\r\n]|^\s')


def csv_field(text: str) -> str:
    """One field, quoted where that is needed.

    >>> csv_field("-X main.colours=red,blue")
    '"-X main.colours=red,blue"'
    """
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text
