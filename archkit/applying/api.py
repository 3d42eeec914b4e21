"""The paths of kinds, and what an answer of the API server means."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs

from archkit.adapters.kube.answers import refused
from archkit.errors import ClusterError
from archkit.ports.cluster import ClusterApi

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.ports.http import HttpResponse


@attrs.frozen
class Resource:
    """Where the API has the objects of one kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """The path of an object, or of all of them."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        space = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{space}/{self.plural}{'/' if name else ''}{quote(name, safe='')}"

    def rule(self, *verbs: str) -> str:
        """The rule of a Role that allows this."""
        return rule(self.api_version.rpartition("/")[0], self.plural, *verbs)


def rule(group: str, resource: str, *verbs: str) -> str:
    """A rule of a Role, as YAML."""
    texts = (json.dumps(list(items)) for items in ((group,), (resource,), verbs))
    return "- {{apiGroups: {}, resources: {}, verbs: {}}}".format(*texts)


def grant(rules: Iterable[str]) -> str:
    """What to do about what is not allowed."""
    return "let this user do what these rules of a Role or ClusterRole say:\n" + "\n".join(f"  {text}" for text in dict.fromkeys(rules))


@attrs.define
class Api:
    """Requests whose answers are objects."""

    connection: ClusterApi
    _resources: dict[str, dict[str, Resource]] = attrs.field(factory=dict[str, dict[str, Resource]])
    """By ``apiVersion`` and kind; an ``apiVersion`` that is not served has none."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def name(self) -> str:
        """Context and server."""
        return self.connection.name

    def read(self, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """An object or a list; None where there is none.

        Raises:
            ClusterError: No answer, or one that is not 200 or 404.
        """
        answer = self.connection.request("GET", path, query=query)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refused(self.name, "GET", path, answer, query)
        return self.decoded(path, answer)

    def decoded(self, path: str, answer: HttpResponse) -> dict[str, Any]:
        """The object in an answer.

        Raises:
            ClusterError: There is none.
        """
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise ClusterError(self.name, f"{path} was answered with something that is no JSON") from error
        if not isinstance(found, dict):
            raise ClusterError(self.name, f"{path} was answered with something that is no object")
        return found

    def resource(self, api_version: str, kind: str, *, afresh: bool = False) -> Resource | None:
        """Where the API has the objects of a kind; None where it does not serve it. Asked once per ``apiVersion``.

        Raises:
            ClusterError: No answer, or a refusal.
        """
        with self._lock:
            found = None if afresh else self._resources.get(api_version)
        if found is None:
            root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            listed = self.read(quote(root))
            found = {} if listed is None else _resources(api_version, listed)
            with self._lock:
                self._resources[api_version] = found
        return found.get(kind)

    def versions(self, group: str) -> list[str]:
        """The ``apiVersion`` values of a group that are served, the preferred first; none where the group is not."""
        if not group:
            return ["v1"]
        found = self.read(quote(f"/apis/{group}"))
        versions = [item for item in (found or {}).get("versions") or () if isinstance(item, Mapping)]
        return [str(item.get("groupVersion")) for item in versions]


def _resources(api_version: str, listed: Mapping[str, Any]) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for item in listed.get("resources") or ():
        name, kind = item.get("name"), item.get("kind")
        if isinstance(name, str) and isinstance(kind, str) and "/" not in name:  # with a slash it is a part, such as pods/log
            found.setdefault(kind, Resource(api_version, kind, name, bool(item.get("namespaced"))))
    return found
