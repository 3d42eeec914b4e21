"""Google's own message types of Cloud Build, as the judge of what is sent: they refuse a field that there is not."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they warn of old Pythons
    _types = importlib.import_module("google.cloud.devtools.cloudbuild_v1")

STATES: tuple[str, ...] = tuple(state.name for state in _types.Build.Status)


def checked_build(fields: Mapping[str, Any]) -> Any:
    """The Build that these fields are; ValueError (ParseError) where one of them is none."""
    try:
        return _types.Build.from_json(json.dumps(fields), ignore_unknown_fields=False)
    except Exception as error:
        raise ValueError(f"no Build: {error}") from error
