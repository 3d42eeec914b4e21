"""What a path of the Kubernetes API asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from archkit.testing.messages import Request

_READING = {"GET", "HEAD"}
_WRITING = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@attrs.frozen
class Asked:
    """A request for objects of a kind; a path that is about none has no :attr:`plural`."""

    verb: str = ""
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    part: str = ""
    """Subresource, such as ``status``."""

    @property
    def resource_text(self) -> str:
        """As roles name it: ``pods`` or ``pods/status``."""
        return f"{self.plural}/{self.part}" if self.part else self.plural


def asked(request: Request) -> Asked:
    """What a request asks for."""
    steps = request.path.strip("/").split("/")
    if steps[0] == "api" and len(steps) > 2:
        group, version, rest = "", steps[1], steps[2:]
    elif steps[0] == "apis" and len(steps) > 3:
        group, version, rest = steps[1], steps[2], steps[3:]
    else:
        return Asked(verb="get" if request.method in _READING else "")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    plural, name, part = (*rest, "", "")[:3]
    if request.method in _READING:
        watches = request.query.get("watch", "").lower() in {"true", "1"}
        verb = "watch" if watches else "get" if name else "list"
    elif request.method == "DELETE":
        verb = "delete" if name else "deletecollection"
    else:
        verb = _WRITING.get(request.method, request.method.lower())
    if plural == "namespaces" and name and not namespace:
        namespace = name if group == "" else ""
    return Asked(verb, group, version, plural, namespace, name, "/".join(rest[2:]) or part)
