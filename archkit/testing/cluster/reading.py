"""Bodies of requests: JSON or YAML, with what is unknown, twice there, or of a wrong type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archkit.testing.cluster.statuses import bad_request

if TYPE_CHECKING:
    from archkit.testing.cluster.schemas import Schema


class Body:
    """A decoded body.

    Args:
        content: Its bytes.
        yaml: Whether it may be YAML.

    Raises:
        ApiError: 400, it is neither.
    """

    def __init__(self, content: bytes, *, yaml: bool = False) -> None:
        self.repeated: list[str] = []
        """Keys that stand twice in one mapping; the API server says where, which JSON's decoder does not."""
        try:
            self.value: Any = json.loads(content, object_pairs_hook=self._pairs)
        except ValueError as error:
            if not yaml:
                raise bad_request(f"error decoding JSON: {error}") from error
            self.value = self._yaml(content)

    def mapping(self) -> dict[str, Any]:
        """The decoded object.

        Raises:
            ApiError: 400, it is none.
        """
        if not isinstance(self.value, dict):
            raise bad_request("the object provided is unrecognized (must be of type Object): couldn't get version/kind; json parse error")
        made: dict[str, Any] = self.value
        return made

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                self.repeated.append(key)
            made[key] = value
        return made

    def _yaml(self, content: bytes) -> Any:
        from archkit.adapters.yaml.api import load_api_yaml

        try:
            value, self.repeated = load_api_yaml(content.decode())
        except ValueError as error:
            raise bad_request(f"error decoding YAML: {error}") from error
        return value


def unknown_fields(schema: Schema, value: object, at: str = "") -> list[str]:
    """Fields that the type does not have, as messages write them: ``spec.template.spec.containers[0].colour``."""
    found: list[str] = []
    if isinstance(value, Mapping) and schema.form in {"fields", "map"}:
        for name, inner in value.items():
            path = f"{at}.{name}" if at else str(name)
            known = schema.field(name)
            if known is None:
                found.append(path)
            else:
                found += unknown_fields(known, inner, path)
    elif isinstance(value, list) and schema.form == "list" and schema.item is not None:
        for number, inner in enumerate(value):
            found += unknown_fields(schema.item, inner, f"{at}[{number}]")
    return found


def known_only(schema: Schema, value: Any) -> Any:
    """The value without the fields that the type does not have."""
    if isinstance(value, Mapping) and schema.form in {"fields", "map"}:
        named = ((name, schema.field(name), inner) for name, inner in value.items())
        return {name: known_only(inner_schema, inner) for name, inner_schema, inner in named if inner_schema is not None}
    if isinstance(value, list) and schema.form == "list" and schema.item is not None:
        return [known_only(schema.item, inner) for inner in value]
    return value


_WANTED = {
    "text": "string",
    "integer": "numeric (int or float)",
    "number": "numeric (int or float)",
    "boolean": "boolean",
    "scalar": "scalar",
    "list": "list",
    "map": "map",
    "fields": "map",
}


def type_errors(schema: Schema, value: object, at: str = "") -> list[str]:
    """Values of a wrong type: ``.spec.replicas: expected numeric (int or float), got "three"``."""
    if value is None or schema.form == "any":
        return []
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    right = (
        {
            "text": isinstance(value, str),
            "integer": number and int(value) == value,  # type: ignore[call-overload]
            "number": number,
            "boolean": isinstance(value, bool),
            "scalar": number or isinstance(value, str),
            "list": isinstance(value, list),
            "map": isinstance(value, Mapping),
            "fields": isinstance(value, Mapping),
        }[schema.form]
        if not (schema.form == "integer" and not number)
        else False
    )
    if not right:
        return [f"{at}: expected {_WANTED[schema.form]}, got {json.dumps(value, ensure_ascii=False)}"]
    found: list[str] = []
    if isinstance(value, Mapping):
        for name, inner in value.items():
            known = schema.field(str(name))
            found += type_errors(known, inner, f"{at}.{name}") if known is not None else []
    elif isinstance(value, list) and schema.item is not None:
        for number_, inner in enumerate(value):
            found += type_errors(schema.item, inner, f"{at}[{number_}]")
    return found


def without_nulls(value: Any) -> Any:
    """The value without keys that hold null, as objects of Kubernetes' own kinds never have them."""
    if isinstance(value, Mapping):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value
