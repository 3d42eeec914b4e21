"""Refusals of the embedded cluster, as the ``Status`` objects that an API server answers with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ApiError(Exception):
    """A request that is refused."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        causes: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        if causes:
            self.details["causes"] = [dict(cause) for cause in causes]
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The object of the answer."""
        fields = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.status,
        }
        return {name: value for name, value in fields.items() if value or name == "metadata"}


@attrs.frozen
class FieldError:
    """What is wrong with one field; its texts are those of the API server's validation."""

    field: str
    kind: str
    """``Required value``, ``Invalid value``, ``Forbidden``, ``Unsupported value`` or ``Duplicate value``."""
    detail: str = ""
    value: object = None

    @property
    def body(self) -> str:
        """Without the field."""
        if self.kind in {"Required value", "Forbidden"}:
            start = self.kind
        else:
            shown = (
                str(self.value).lower()
                if isinstance(self.value, bool)
                else json.dumps(self.value, separators=(",", ":"), ensure_ascii=False)
            )
            start = f"{self.kind}: {shown}"
        return f"{start}: {self.detail}" if self.detail else start

    def cause(self) -> dict[str, str]:
        """As it stands in a Status."""
        reason = {
            "Required value": "FieldValueRequired",
            "Invalid value": "FieldValueInvalid",
            "Forbidden": "FieldValueForbidden",
            "Unsupported value": "FieldValueNotSupported",
            "Duplicate value": "FieldValueDuplicate",
        }[self.kind]
        return {"reason": reason, "message": self.body, "field": self.field}


def required(field: str, detail: str = "") -> FieldError:
    """A field that must be there."""
    return FieldError(field, "Required value", detail)


def invalid(field: str, value: object, detail: str) -> FieldError:
    """A field whose value cannot be."""
    return FieldError(field, "Invalid value", detail, value)


def forbidden(field: str, detail: str) -> FieldError:
    """A field that may not be written so."""
    return FieldError(field, "Forbidden", detail)


def unsupported(field: str, value: object, known: Iterable[str]) -> FieldError:
    """A field whose value is none of a few."""
    return FieldError(field, "Unsupported value", "supported values: " + ", ".join(f'"{each}"' for each in known), value)


def invalid_object(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422: fields of an object are wrong."""
    told = f"{kind}.{group}" if group else kind
    listed = [f"{error.field}: {error.body}" for error in errors]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    return ApiError(
        422,
        "Invalid",
        f'{told} "{name}" is invalid: {text}',
        details={name_: value for name_, value in {"name": name, "group": group, "kind": kind}.items() if value},
        causes=[error.cause() for error in errors],
    )


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404: no such object."""
    told = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    return ApiError(404, "NotFound", f'{told} "{name}" not found', details={key: value for key, value in details.items() if value})


def no_such_path() -> ApiError:
    """404: the server serves no such thing."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409: an object of this name is there."""
    told = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    return ApiError(
        409, "AlreadyExists", f'{told} "{name}" already exists', details={key: value for key, value in details.items() if value}
    )


def changed_meanwhile(plural: str, group: str, name: str) -> ApiError:
    """409: the object was written since it was read."""
    told = f"{plural}.{group}" if group else plural
    reason = "the object has been modified; please apply your changes to the latest version and try again"
    details = {"name": name, "group": group, "kind": plural}
    message = f'Operation cannot be fulfilled on {told} "{name}": {reason}'
    return ApiError(409, "Conflict", message, details={key: value for key, value in details.items() if value})
