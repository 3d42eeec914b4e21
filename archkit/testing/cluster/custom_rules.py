"""What the schema of a custom resource refuses: missing fields, values that are none of a few, too small or too large."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archkit.testing.cluster.statuses import FieldError, invalid, required, unsupported


def custom_errors(schema: Mapping[str, Any], value: Any, where: str) -> list[FieldError]:
    """What is wrong with a value that stands at ``where``; types are looked at elsewhere."""
    found: list[FieldError] = []
    if isinstance(value, Mapping):
        found += [required(f"{where}.{name}" if where else name) for name in schema.get("required") or () if name not in value]
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, inner in value.items():
            described = properties.get(name) or (extra if isinstance(extra, Mapping) else None)
            if described:
                found += custom_errors(described, inner, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        if schema.get("minItems") is not None and len(value) < schema["minItems"]:
            found.append(invalid(where, len(value), f"{where} in body should have at least {schema['minItems']} items"))
        for number, inner in enumerate(value):
            found += custom_errors(schema.get("items") or {}, inner, f"{where}[{number}]")
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        found.append(unsupported(where, value, [*map(str, schema["enum"])]))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if schema.get("minimum") is not None and value < schema["minimum"]:
            found.append(invalid(where, value, f"{where} in body should be greater than or equal to {schema['minimum']}"))
        if schema.get("maximum") is not None and value > schema["maximum"]:
            found.append(invalid(where, value, f"{where} in body should be less than or equal to {schema['maximum']}"))
    if isinstance(value, str) and schema.get("pattern") and not re.search(schema["pattern"], value):
        found.append(invalid(where, value, f"{where} in body should match '{schema['pattern']}'"))
    return found


def custom_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """The value with the schema's defaults."""
    if isinstance(value, Mapping):
        made = dict(value)
        for name, described in (schema.get("properties") or {}).items():
            if name not in made and "default" in described:
                made[name] = described["default"]
            if name in made:
                made[name] = custom_defaults(described, made[name])
        return made
    if isinstance(value, list):
        return [custom_defaults(schema.get("items") or {}, inner) for inner in value]
    return value
