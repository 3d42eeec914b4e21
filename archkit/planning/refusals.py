"""What an API server says when it does not take an object: whose fields they are, what cannot change, what is wrong.

Source: Kubernetes API reference, Status; ``k8s.io/apimachinery/pkg/api/validation`` and the validation of the built-in
kinds for the words of fields that cannot change (there is no code for it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

RefusalKind: TypeAlias = Literal["conflict", "immutable", "invalid", "forbidden", "signed-out", "busy", "other"]

_IMMUTABLE = re.compile(
    r"immutable|may not change fields other than|may not add or remove containers|updates to statefulset spec for fields other than|may not change once set"
    r"|cannot change roleRef|may not be changed|cannot be changed|field can not be changed|is read-only",
    re.IGNORECASE,
)
_NOT_ALLOWED = re.compile(r'[Uu]ser "(?:[^"\\]|\\.)*" cannot|attempting to grant RBAC permissions not currently held')
_MANAGER = re.compile(r'conflict with "(?P<name>(?:[^"\\]|\\.)*)"')
_LONGEST = 600
_LONGEST_VALUE = 60
_BAD_VALUE = re.compile(r"^(?P<what>Invalid value|Unsupported value|Duplicate value|Too long|Too many): (?P<rest>.*)$", re.DOTALL)
_STATUS_KINDS: dict[int, RefusalKind] = {400: "invalid", 401: "signed-out", 403: "forbidden", 404: "invalid", 422: "invalid", 429: "busy"}


@attrs.frozen
class Conflict:
    """A field that somebody else manages and that the document would change."""

    manager: str
    """Its field manager, such as ``kubectl``."""
    field: str
    """Its path, such as ``.spec.replicas``."""


@attrs.frozen
class Refusal:
    """Why a server did not take one object."""

    status: int
    """Of HTTP."""
    kind: RefusalKind
    message: str
    """For a person, without what a Secret holds."""
    conflicts: tuple[Conflict, ...] = ()
    fields: tuple[str, ...] = ()
    """What cannot change, of an ``immutable`` refusal."""
    raw: str = attrs.field(default="", repr=False)
    """The server's own sentence; it may hold values of the object and is not for showing."""


def read_refusal(status: int, body: bytes, *, secret: bool = False) -> Refusal:
    """What an answer of 400 and above means.

    Args:
        status: Of HTTP.
        body: A ``Status`` in JSON, or any text.
        secret: Whether the object is a Secret, of which no value is shown.
    """
    fields = _fields(body)
    raw = str(fields.get("message") or "") if fields else body.decode("utf-8", "replace")
    causes = _causes(fields)
    conflicts = tuple(_conflict(cause) for cause in causes if cause.get("reason") == "FieldManagerConflict")
    if conflicts:
        told = "; ".join(f"{owner} manages {', '.join(paths)}" for owner, paths in _by_manager(conflicts).items())
        return Refusal(status, "conflict", told, conflicts, raw=raw)
    kind = _STATUS_KINDS.get(status, "other")
    if kind == "forbidden" and not _NOT_ALLOWED.search(raw):  # admission: a quota, a policy, a webhook, a namespace that goes away
        kind = "other"
    if kind == "forbidden" or (status == 403 and not _IMMUTABLE.search(raw)):
        return Refusal(status, kind, _without_values(raw, secret=secret) or "forbidden", raw=raw)
    if not causes or status == 404:
        return Refusal(status, kind, _without_values(raw, secret=secret) or f"HTTP status {status}", raw=raw)
    told = "; ".join(dict.fromkeys(_told(cause, secret=secret) for cause in causes))
    unchanging = tuple(dict.fromkeys(str(cause.get("field") or "") for cause in causes if _IMMUTABLE.search(str(cause.get("message")))))
    return Refusal(status, "immutable" if unchanging else kind, _shortened(told), fields=unchanging, raw=raw)


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _causes(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = fields.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []


def _conflict(cause: Mapping[str, Any]) -> Conflict:
    found = _MANAGER.search(str(cause.get("message")))
    return Conflict(found["name"] if found else str(cause.get("message")), str(cause.get("field") or ""))


def _by_manager(conflicts: Iterable[Conflict]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for conflict in conflicts:
        found.setdefault(conflict.manager, []).append(conflict.field)
    return found


def _told(cause: Mapping[str, Any], *, secret: bool) -> str:
    field = str(cause.get("field") or "")
    message = _without_values(str(cause.get("message") or ""), secret=secret or ".env[" in field)  # variables often are secrets
    return f"{field}: {message}" if field else message


def _without_values(message: str, *, secret: bool) -> str:
    """A server's sentence without whole structures, and without what a Secret holds."""
    message, got, value = message.partition("\n")[0].partition(", got ")  # behind the first line, a Pod's whole difference
    if got and not (secret or "{" in value):
        message += got + value
    found = _BAD_VALUE.match(message)
    if found is None:
        return _shortened(message if not secret else re.sub(r'"(?:[^"\\]|\\.)*"', "***", message))
    rest = found["rest"]
    value, colon, reason = _value_and_reason(rest)
    if secret or len(value) > _LONGEST_VALUE or "{" in value:
        return _shortened(reason if colon else found["what"].lower())
    return _shortened(f"{found['what']}: {rest}")


def _value_and_reason(rest: str) -> tuple[str, str, str]:
    """Go prints the value before the reason; a text in quotes, a structure with braces, and neither ends at a colon."""
    if rest.startswith('"'):
        quoted = re.match(r'"(?:[^"\\]|\\.)*"', rest)
        if quoted:
            return quoted[0], ":", rest[quoted.end() :].removeprefix(":").strip()
    value, colon, reason = rest.rpartition("}: ") if "}: " in rest else rest.partition(": ")
    return (value + "}" if "}: " in rest else value), colon, reason


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
