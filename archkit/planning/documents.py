"""The documents of a manifest that is to be applied: which they are, and in which order they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from archkit.errors import ManifestSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEFINITION = "CustomResourceDefinition"
_DEFINITIONS_GROUP = "apiextensions.k8s.io"

_ORDER = (
    ("Namespace",),
    (_DEFINITION,),
    ("PriorityClass", "StorageClass", "RuntimeClass", "IngressClass"),
    ("NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget"),
    ("ServiceAccount",),
    ("Secret",),
    ("ConfigMap",),
    ("PersistentVolume", "PersistentVolumeClaim"),
    ("ClusterRole", "Role"),
    ("ClusterRoleBinding", "RoleBinding"),
    ("Service",),
    ("Pod", "ReplicationController", "ReplicaSet", "DaemonSet", "Deployment", "StatefulSet", "Job", "CronJob"),
    ("HorizontalPodAutoscaler", "Ingress"),
)
"""What is there before what uses it; kinds in one row keep their order."""
_LAST = ("APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
"""They may stand in the way of everything else, until the pods behind them run."""
_RANKS = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_USED_WHEN_CHECKED = frozenset({"ServiceAccount", "PriorityClass", "RuntimeClass", "Role", "ClusterRole"})
"""Kinds that must be there for a server to accept, even to check, a pod or a binding that names them."""


@attrs.frozen
class Document:
    """One object that is to be applied."""

    api_version: str
    kind: str
    namespace: str
    """As written; empty where none is."""
    name: str
    where: str
    """Where it stands: ``file:line``."""
    fields: Mapping[str, Any] = attrs.field(eq=False, repr=False)
    """All of it."""

    @property
    def group(self) -> str:
        """The part of ``apiVersion`` before the slash; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The part of ``apiVersion`` behind the slash."""
        return self.api_version.rpartition("/")[2]

    @property
    def label(self) -> str:
        """What messages call it: ``Kind/namespace/name``."""
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))

    @property
    def secret(self) -> bool:
        """Whether what it holds must not be shown."""
        return self.kind == "Secret" and not self.group

    @property
    def prerequisite(self) -> bool:
        """Whether others cannot even be checked before it is there."""
        return (self.kind == "Namespace" and not self.group) or self.definition

    @property
    def definition(self) -> bool:
        """Whether it is a CustomResourceDefinition."""
        return self.kind == _DEFINITION and self.group == _DEFINITIONS_GROUP

    def in_namespace(self, namespace: str) -> Document:
        """The same in this namespace, ``metadata.namespace`` included."""
        metadata = {**self.fields["metadata"], "namespace": namespace}
        return attrs.evolve(self, namespace=namespace, fields={**self.fields, "metadata": metadata})

    def renamed(self, name: str) -> Document:
        """The same under another name."""
        return attrs.evolve(self, name=name, fields={**self.fields, "metadata": {**self.fields["metadata"], "name": name}})


def documents_of(loaded: Iterable[tuple[int, object]], name: str) -> list[Document]:
    """The objects of a manifest, Lists expanded, in the order written.

    Args:
        loaded: The documents as data, each with its line.
        name: What messages call the text.

    Raises:
        ManifestSyntaxError: A document that is no object of the API, or that has no name.
    """
    return [document for line, data in loaded for document in _expanded(data, name, line)]


def _expanded(data: object, name: str, line: int) -> Iterator[Document]:
    if not isinstance(data, Mapping):
        raise ManifestSyntaxError(name, "a document is no mapping", line)
    kind, api_version = data.get("kind"), data.get("apiVersion")
    for key, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            raise ManifestSyntaxError(name, f"a document has no {key}", line)
    items = data.get("items")
    if str(kind).endswith("List") and isinstance(items, Sequence) and not isinstance(items, str) and "spec" not in data:
        own = {} if kind == "List" else {"apiVersion": api_version, "kind": str(kind).removesuffix("List")}
        for item in items:  # those of a typed list, such as a PodList, need not say again what they are
            yield from _expanded({**own, **item} if isinstance(item, Mapping) else item, name, line)
        return
    metadata = data.get("metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    own_name, namespace = fields.get("name"), fields.get("namespace")
    if not isinstance(own_name, str) or not own_name:
        reason = "server-side apply needs a name, and this has generateName" if fields.get("generateName") else "a name is missing"
        if own_name is not None and own_name:
            reason = f"the name {own_name!r} is no text; put it in quotes"
        raise ManifestSyntaxError(name, f"{kind}: {reason} (metadata.name)", line)
    if namespace is not None and not isinstance(namespace, str):
        raise ManifestSyntaxError(name, f"{kind}/{own_name}: the namespace {namespace!r} is no text; put it in quotes", line)
    yield Document(str(api_version), str(kind), namespace or "", own_name, f"{name}:{line}", data)


def in_order(documents: Iterable[Document]) -> list[Document]:
    """The documents as they are applied: what others need first, webhooks last, otherwise as written."""
    return sorted(documents, key=_rank)


def _rank(document: Document) -> int:
    built_in = "." not in document.group or document.group.endswith(".k8s.io")
    if built_in and document.kind in _LAST:
        return len(_ORDER) + 1
    return _RANKS.get(document.kind, len(_ORDER)) if built_in else len(_ORDER)


def check_unique(documents: Iterable[Document]) -> None:
    """Refuse two documents of one object: the second would take back what the first one says.

    Raises:
        ManifestSyntaxError: Names both.
    """
    seen: dict[tuple[str, str, str, str], Document] = {}
    for document in documents:
        key = (document.group, document.kind, document.namespace, document.name)
        if key in seen:
            name, _, line = document.where.rpartition(":")
            raise ManifestSyntaxError(name, f"{document.label} stands twice; the other one is at {seen[key].where}", int(line))
        seen[key] = document


# ---- what is not there yet because it is in the same stream ----------------------------------------------------------


@attrs.frozen
class DefinedKind:
    """A kind that a CustomResourceDefinition of the same stream brings."""

    plural: str
    namespaced: bool
    definition: str
    """The label of the definition."""


def defined_kinds(documents: Iterable[Document]) -> dict[tuple[str, str], DefinedKind]:
    """By ``apiVersion`` and kind, what the CustomResourceDefinitions among the documents bring."""
    found: dict[tuple[str, str], DefinedKind] = {}
    for document in documents:
        spec = document.fields.get("spec")
        if not document.definition or not isinstance(spec, Mapping):
            continue
        names = spec.get("names")
        group, kind, plural = spec.get("group"), _text(names, "kind"), _text(names, "plural")
        versions = spec.get("versions")
        for version in versions if isinstance(versions, Sequence) and not isinstance(versions, str) else ():
            served = isinstance(version, Mapping) and version.get("served", True)
            if served and kind and plural:
                defined = DefinedKind(plural, spec.get("scope") != "Cluster", document.label)
                found[f"{group}/{version.get('name')}", kind] = defined
    return found


def _text(mapping: object, key: str) -> str:
    value = mapping.get(key) if isinstance(mapping, Mapping) else None
    return value if isinstance(value, str) else ""


def waits_for(document: Document, status: int, message: str, documents: Iterable[Document]) -> str:
    """Why a server cannot check a document yet though nothing is wrong with it; empty where that is not so.

    Args:
        document: What was refused.
        status: Of the refusal.
        message: Of the refusal.
        documents: All that go with it.
    """
    if status not in {403, 404}:
        return ""
    for other in documents:
        if status == 404 and other.kind == "Namespace" and other.name == document.namespace and f'namespaces "{other.name}"' in message:
            return f"its namespace is in the same stream: {other.name}"
        needed = other.kind in _USED_WHEN_CHECKED and other is not document and other.namespace in {"", document.namespace}
        if needed and _says_missing(message, other):
            return f"it needs {other.label} of the same stream"
    return ""


def _says_missing(message: str, other: Document) -> bool:
    """Whether a refusal is about this object not being there, in the words that API servers have for it."""
    named = f'"{other.name}"' in message or f"/{other.name}:" in message or f"name {other.name} " in message
    return named and ("not found" in message or "was found" in message)
