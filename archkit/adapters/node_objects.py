"""Nodes as the Kubernetes API writes them, to values.

Only the fields that archkit uses are decoded: a node object is dominated by its image list and managed fields
(measured on 5,000 nodes: a twentieth of the time and a quarter of the memory of ``json.loads``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from archkit.errors import NodeListError
from archkit.model.finding import Finding
from archkit.model.node import ARCH_LABEL, BETA_ARCH_LABEL, BETA_OS_LABEL, OS_LABEL, Node, Taint
from archkit.model.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NOT_READY = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


class TaintFields(msgspec.Struct, gc=False):
    """Of ``spec.taints``."""

    key: str
    value: str | None = None
    effect: str | None = None


class ConditionFields(msgspec.Struct, gc=False):
    """Of ``status.conditions``."""

    type: str = ""
    status: str = ""


class NodeInfoFields(msgspec.Struct, gc=False):
    """``status.nodeInfo``, whole or in part."""

    operatingSystem: str | None = None  # noqa: N815 - the API's spelling
    architecture: str | None = None


class MetadataFields(msgspec.Struct):
    """``metadata``."""

    name: str | None = None
    labels: dict[str, str | None] | None = None


class SpecFields(msgspec.Struct):
    """``spec``."""

    unschedulable: bool | None = None
    taints: list[TaintFields] | None = None


class StatusFields(msgspec.Struct):
    """``status``."""

    conditions: list[ConditionFields] | None = None
    nodeInfo: NodeInfoFields | None = None  # noqa: N815 - the API's spelling


class NodeObject(msgspec.Struct):
    """A Node, or a list of them."""

    kind: str | None = None
    metadata: MetadataFields | None = None
    spec: SpecFields | None = None
    status: StatusFields | None = None
    items: list[NodeObject] | None = None


def to_node(item: NodeObject, source: str) -> Node:
    """The node that an object is.

    Args:
        item: As the API wrote it.
        source: Where it was read, for an error.

    Raises:
        NodeListError: It has no name.
    """
    metadata, spec = item.metadata or MetadataFields(), item.spec or SpecFields()
    if not metadata.name:
        raise NodeListError(source, "a node has no name")
    labels = {key: value or "" for key, value in (metadata.labels or {}).items()}
    taints = tuple(Taint(taint.key, taint.value or "", taint.effect or "NoSchedule") for taint in spec.taints or ())
    return Node(
        metadata.name,
        labels,
        taints,
        bool(spec.unschedulable),
        _ready(item.status, taints),
        _reported((item.status or StatusFields()).nodeInfo or NodeInfoFields(), labels),
    )


def _ready(status: StatusFields | None, taints: Sequence[Taint]) -> bool:
    """Whether the kubelet says that it is ready.

    Where there is no ``Ready`` condition (the kubelet has not spoken yet, or whoever recorded the node left it out), the
    taints tell, as they tell the scheduler, which puts pods on a node without the condition.
    """
    found = [condition.status == "True" for condition in (status and status.conditions) or () if condition.type == "Ready"]
    return all(found) if found else not any(taint.key in _NOT_READY for taint in taints)


def _reported(info: NodeInfoFields, labels: Mapping[str, str]) -> Platform | None:
    """What the kubelet says; of the half that it leaves out the labels decide (some virtual kubelets say only one)."""
    if not (info.operatingSystem or info.architecture):
        return None
    os_name = info.operatingSystem or labels.get(OS_LABEL) or labels.get(BETA_OS_LABEL)
    arch = info.architecture or labels.get(ARCH_LABEL) or labels.get(BETA_ARCH_LABEL)
    return Platform.from_oci({"os": os_name, "architecture": arch}) if os_name and arch else None


def doubts(nodes: Sequence[Node]) -> list[Finding]:
    """A finding for each node that is doubtful, in the order of the nodes."""
    findings: list[Finding] = []
    for node in nodes:
        where = f"Node/{node.name}"
        if node.platform is None or not node.platform.known:
            message = f"the node's platform is {node.platform or 'not told by its labels or its status'}; it is not counted"
            findings.append(Finding.of("nodes-unreadable", message, where, f"label it {OS_LABEL} and {ARCH_LABEL}"))
        elif node.reported is not None and node.platform.os_arch != node.reported.os_arch:
            message = f"its labels say {node.platform}, its kubelet says {node.reported}; the scheduler believes the labels"
            findings.append(Finding.of("node-label-mismatch", message, where, "correct the labels, or images will land on the wrong CPU"))
        missing = [label for label, beta in ((OS_LABEL, BETA_OS_LABEL), (ARCH_LABEL, BETA_ARCH_LABEL)) if _only_beta(node, label, beta)]
        if missing:
            message = f"it has the deprecated beta labels but not {' and '.join(missing)}"
            findings.append(Finding.of("deprecated-label", message, where, "pods that require the label will not be placed here"))
    return findings


def _only_beta(node: Node, label: str, beta: str) -> bool:
    return beta in node.labels and label not in node.labels
