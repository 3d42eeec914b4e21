"""Context, cluster and user out of kubeconfig files, as kubectl chooses them. Files are only read.

Source: Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files": of several files the first that
says something counts, and a path in a file is relative to that file. (The ``kubernetes`` package takes the last file's
``current-context``, and reads numbers and dates where texts are meant.)
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

from archkit.adapters.yaml.plain import load_texts
from archkit.errors import KubeconfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
_CLUSTER_PATHS = ("certificate-authority",)
_USER_PATHS = ("client-certificate", "client-key", "tokenFile")
_MOST = 16 * 1024 * 1024
"""Bytes of one file."""


@attrs.frozen
class Settings:
    """What one context says."""

    context: str
    server: str
    """Its address, without a password and without a slash at the end."""
    namespace: str
    """Where objects go that name none."""
    cluster: Mapping[str, Any] = attrs.field(repr=False)
    """As in the file; paths are absolute."""
    user: Mapping[str, Any] = attrs.field(repr=False)
    """The same; empty where the context names no user."""
    origin: str
    """The files, for a person."""

    @property
    def name(self) -> str:
        """What a person would call the cluster."""
        return f"{self.context} ({self.server})"


def kubeconfig_files(path: str | os.PathLike[str] | None) -> list[Path]:
    """The files that are read, in order: the one given, those of ``KUBECONFIG``, or ``~/.kube/config``.

    Raises:
        KubeconfigError: There is none.
    """
    if path is not None:
        given = Path(path).expanduser()
        if not given.is_file():
            raise KubeconfigError(str(given), "there is no such file", "give the path of a kubeconfig, or none for the usual one")
        return [given]
    listed = [Path(name).expanduser() for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    candidates = listed or [Path("~/.kube/config").expanduser()]
    found = [file for file in candidates if file.is_file()]  # kubectl passes over those that are not there
    if not found:
        where = f"KUBECONFIG names {', '.join(map(str, listed))}, which is not there" if listed else f"there is no {candidates[0]}"
        remedy = "have your provider's tool write one, name it in KUBECONFIG, or in a pod use ClusterConnection.in_cluster()"
        raise KubeconfigError("kubeconfig", where, remedy)
    return found


def choose(files: Sequence[Path], context: str | None) -> Settings:
    """What a context of these files says.

    Args:
        files: The first that says something counts.
        context: Its name; None: the current one.

    Raises:
        KubeconfigError: Not readable, or the context or what it names is not there.
    """
    origin = ", ".join(map(str, files))
    entries: dict[str, dict[str, tuple[Mapping[str, Any], Path]]] = {"contexts": {}, "clusters": {}, "users": {}}
    current = ""
    for file in files:
        fields = _read(file)
        current = current or _text(fields.get("current-context"))
        for kind, found in entries.items():
            for name, entry in _entries(fields, kind, file):
                found.setdefault(name, (entry, file))
    name = context if context is not None else current
    contexts = entries["contexts"]
    if not name:
        raise KubeconfigError("kubeconfig", f"no current context is set in {origin}", f"name one with `context`; {_there_are(contexts)}")
    if name not in contexts:
        near = difflib.get_close_matches(name, contexts, 1)
        said = f"did you mean {near[0]}? " if near else ""
        raise KubeconfigError(name, f"there is no such context in {origin}", f"{said}{_there_are(contexts)}")
    chosen, _ = contexts[name]
    cluster, folder = _of(entries["clusters"], _text(chosen.get("cluster")), name, "cluster", origin)
    user: Mapping[str, Any] = {}
    if _text(chosen.get("user")):
        user, user_folder = _of(entries["users"], _text(chosen.get("user")), name, "user", origin)
        user = _user_with_absolute_paths(user, user_folder)
    server = _text(cluster.get("server"))
    if not server.startswith(("https://", "http://")):
        raise KubeconfigError(name, f"its cluster has no server address that begins with https:// in {origin}", "correct `server` there")
    return Settings(
        name,
        _shown(server),
        _text(chosen.get("namespace")) or "default",
        _absolute(cluster, _CLUSTER_PATHS, folder),
        user,
        origin,
    )


def in_cluster() -> Settings:
    """What every pod gets: the service account's token and the cluster's address.

    Raises:
        KubeconfigError: This is no pod, or its service account's token is not mounted.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise KubeconfigError(IN_CLUSTER, "KUBERNETES_SERVICE_HOST is not set: this is no pod", "use ClusterConnection.from_kubeconfig()")
    if not (SERVICE_ACCOUNT / "token").is_file():
        remedy = "set automountServiceAccountToken to true in the pod or its service account"
        raise KubeconfigError(IN_CLUSTER, f"there is no token in {SERVICE_ACCOUNT}", remedy)
    namespace = SERVICE_ACCOUNT / "namespace"
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    cluster = {"server": server, "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt")}
    return Settings(
        IN_CLUSTER,
        server,
        namespace.read_text().strip() if namespace.is_file() else "default",
        cluster,
        {"tokenFile": str(SERVICE_ACCOUNT / "token")},
        str(SERVICE_ACCOUNT),
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > _MOST:
            raise KubeconfigError(str(file), f"it is larger than {_MOST} bytes", "this is no kubeconfig")
        documents = load_texts(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # what the parser says may quote the file, tokens included
        mark = getattr(error.__cause__, "problem_mark", None)
        line = "" if mark is None else f" near line {mark.line + 1}"
        raise KubeconfigError(str(file), f"it is not YAML{line}", "correct it; `kubectl config view` reads it too") from None
    except OSError as error:
        raise KubeconfigError(str(file), f"it cannot be read: {error.strerror}", "check who may read it") from error
    fields = documents[0] if documents else {}
    if not isinstance(fields, Mapping):
        raise KubeconfigError(str(file), "it is no kubeconfig", "a kubeconfig has clusters, users and contexts")
    return cast("Mapping[str, Any]", fields)


def _entries(fields: Mapping[str, Any], kind: str, file: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    listed = fields.get(kind) or []
    if not isinstance(listed, list):
        raise KubeconfigError(str(file), f"{kind} is no list", "correct it; `kubectl config view` reads it too")
    for entry in listed:
        if not isinstance(entry, Mapping) or not _text(entry.get("name")):
            raise KubeconfigError(str(file), f"an entry of {kind} has no name", "correct it; `kubectl config view` reads it too")
        inner = entry.get(kind[:-1])
        yield _text(entry["name"]), inner if isinstance(inner, Mapping) else {}


def _of(
    entries: Mapping[str, tuple[Mapping[str, Any], Path]], name: str, context: str, what: str, origin: str
) -> tuple[Mapping[str, Any], Path]:
    if name not in entries:
        told = f"the {what} {name!r}, which is not there" if name else f"no {what}"
        raise KubeconfigError(context, f"the context names {told} in {origin}", "correct it with `kubectl config set-context`")
    fields, file = entries[name]
    return fields, file.resolve().parent


def _absolute(fields: Mapping[str, Any], names: Iterable[str], folder: Path) -> dict[str, Any]:
    changed = {name: value for name, value in fields.items() if value not in ("", None)}
    for name in names:
        if isinstance(value := changed.get(name), str):
            changed[name] = str(folder / value)
    return changed


def _user_with_absolute_paths(user: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    changed = _absolute(user, _USER_PATHS, folder)
    plugin = changed.get("exec")
    if isinstance(plugin, Mapping):
        command = _text(plugin.get("command"))
        if os.sep in command:  # as kubectl does: a bare name is looked for on PATH
            changed["exec"] = {**plugin, "command": str(folder / command)}
    provider = changed.get("auth-provider")
    if isinstance(provider, Mapping) and isinstance(config := provider.get("config"), Mapping):
        changed["auth-provider"] = {**provider, "config": _absolute(config, ["idp-certificate-authority"], folder)}
    return changed


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _shown(server: str) -> str:
    scheme, _, rest = server.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _there_are(contexts: Iterable[str]) -> str:
    names = sorted(contexts)
    return f"there are: {', '.join(names)}" if names else "it has no contexts at all"
