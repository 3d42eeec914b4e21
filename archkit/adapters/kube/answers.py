"""What an API server says instead of an answer: pure functions to errors that say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import attrs

from archkit.adapters.loopback import is_loopback
from archkit.errors import ClusterError, ClusterForbiddenError, ClusterSignInError, ClusterUnreachableError

if TYPE_CHECKING:
    from archkit.ports.http import HttpResponse

SIGN_IN = "sign in again as your provider says; a token in the kubeconfig may have expired"
_LONGEST = 600
_USER = re.compile(r'[Uu]ser "([^"]+)"')
_VERBS = {"POST": ("create",), "PUT": ("update",), "PATCH": ("create", "patch"), "DELETE": ("delete",)}
_PLAIN_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@attrs.frozen
class Access:
    """What somebody must be allowed to do for a request."""

    verbs: tuple[str, ...]
    resource: str
    """With its subresource, such as ``pods/log``; empty: the path is none of a resource."""
    group: str = ""
    namespace: str = ""
    """Empty: it has none."""

    @classmethod
    def of(cls, method: str, path: str, query: Mapping[str, str]) -> Access:
        """What a request asks for; applying on the server's side creates as well."""
        parts = [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]
        if parts[0] == "api":
            group, rest = "", parts[2:]
        elif parts[0] == "apis":
            group, rest = "".join(parts[1:2]), parts[3:]
        else:
            group, rest = "", []
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        resource = "/".join([*rest[:1], *rest[2:3]])
        named = len(rest) > 1
        read = "watch" if query.get("watch") in {"1", "true"} else "get" if named else "list"
        verbs = _VERBS.get(method, (read,))
        return cls(("deletecollection",) if verbs == ("delete",) and not named else verbs, resource, group, namespace)

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{' and '.join(self.verbs)} {what}" + (f" in the namespace {self.namespace}" if self.namespace else "")


def refused(name: str, method: str, path: str, answer: HttpResponse, query: Mapping[str, str] | None = None) -> ClusterError:
    """The error for an answer that is none that was hoped for.

    Args:
        name: What a person would call the cluster.
        method: Of the request.
        path: Of the request.
        answer: Its status is not what was hoped for.
        query: Of the request.
    """
    access = Access.of(method, path, query or {})
    said = what_was_said(answer)
    if answer.status == 401:
        return ClusterSignInError(name, f"the credentials are missing, expired or not valid (HTTP 401: {said})", SIGN_IN)
    if answer.status == 403 and access.resource:
        user = _USER.search(said)
        who = user[1] if user else ""
        remedy = f"ask somebody who may, to apply this, which allows to {access}:"
        if who == "system:anonymous":
            remedy = f"sign in: no credentials were sent; or allow everybody to {access}:"
        return ClusterForbiddenError(name, f"{who or 'the user'} may not {access} (HTTP 403: {said})", remedy, rbac(access, who))
    remedy = ""
    if answer.status in {429, 503} and (wait := answer.headers.get("retry-after")):
        remedy = f"the server is busy; try again in {wait} s"
    return ClusterError(name, f"{method} {path}: HTTP {answer.status}: {said}", remedy)


def unreachable(name: str, server: str, reason: str) -> ClusterUnreachableError:
    """The error for no answer.

    Args:
        name: What a person would call the cluster.
        server: Its address.
        reason: What the connection came to.
    """
    if "secure" in reason:
        remedy = "check certificate-authority in the kubeconfig: a cluster that was made anew has another one"
    elif reason.startswith("no answer within"):
        remedy = "give it more time with `timeout`, or see whether the server is overloaded or behind a VPN"
    elif "proxy" in reason:
        remedy = "check proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY"
    elif is_loopback(urlsplit(server).hostname or ""):
        remedy = f"start the cluster on this machine that should listen at {server}, or name another context"
    else:
        remedy = f"check that the cluster is there, and the network, VPN and proxy on the way to {server}"
    return ClusterUnreachableError(name, reason, remedy)


def what_was_said(answer: HttpResponse) -> str:
    """The message of a ``Status``, or what else stands in an answer, in one line."""
    text = answer.body.decode("utf-8", "replace")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, Mapping):
        text = str(fields.get("message") or fields.get("reason") or "")
    line = " ".join(re.sub(r"<[^>]*>|[\x00-\x1f\x7f-\x9f]+", " ", text).split())
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}...") or "it says no more"


def rbac(access: Access, user: str = "") -> str:
    """A role that allows exactly this, and its binding, as YAML.

    Args:
        access: What to allow.
        user: As the server calls them, such as ``system:serviceaccount:ci:deployer``; empty: a placeholder.
    """
    cluster = "" if access.namespace else "Cluster"
    role = "archkit-" + "-".join([*access.verbs, access.resource.replace("/", "-")])
    where = f"  namespace: {access.namespace}\n" if access.namespace else ""
    verbs = ", ".join(access.verbs)
    return f"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: {cluster}Role
metadata:
  name: {role}
{where}rules:
- apiGroups: ["{access.group}"]
  resources: ["{access.resource}"]
  verbs: [{verbs}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {cluster}RoleBinding
metadata:
  name: {role}
{where}roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {cluster}Role
  name: {role}
subjects:
{_subject(user)}"""


def _subject(user: str) -> str:
    kind, _, rest = user.partition("system:serviceaccount:")
    namespace, colon, name = rest.partition(":")
    if not kind and colon:
        return f"- kind: ServiceAccount\n  name: {name}\n  namespace: {namespace}\n"
    quoted = user if _PLAIN_NAME.fullmatch(user) and not user.replace(".", "").isdigit() else json.dumps(user or "WHO")
    return f"- apiGroup: rbac.authorization.k8s.io\n  kind: User\n  name: {quoted}\n"
