"""Why a pod does not get ready: what the scheduler, the kubelet and the container runtime say of it, made plain.

Sources: ``k8s.io/kubernetes/pkg/kubelet/images`` and ``pkg/kubelet/kuberuntime`` for the reasons; containerd, CRI-O,
Docker and runc for the sentences about platforms, which have no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.node import ARCH_LABEL, OS_LABEL
from archkit.planning.affinity import REQUIRED
from archkit.planning.decoded import mapping
from archkit.planning.edits import at
from archkit.planning.placement import place
from archkit.planning.selectors import MalformedSelectorError, finite_values, parse_terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.model.cluster import Cluster

_NO_PLATFORM = re.compile(
    r"no match for platform in manifest|no matching manifest for|does not match the (?:specified|expected) platform|no image found in (?:image index|manifest list) for architecture",
    re.IGNORECASE,
)
_EXEC_FORMAT = re.compile(r"exec format error", re.IGNORECASE)
_PREEMPTION = re.compile(r"\.? *(?:no new claims to deallocate|preemption:)")
"""What the scheduler says behind this is about other pods."""
_NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_USUAL = frozenset({"ContainerCreating", "PodInitializing", ""})
_LONGEST = 400


@attrs.frozen
class Trouble:
    """Something that keeps a pod from getting ready."""

    pod: str
    reason: str
    """For a person."""
    final: bool
    """Whether no waiting mends it."""
    node: str = ""
    """The node whose platform has to do with it."""
    unplaced: bool = False
    """Whether the scheduler finds no node."""
    looping: str = ""
    """The container that ends again and again, whose log may say why."""

    def with_log(self, log: str) -> Trouble:
        """The same, or what the log's last lines make of it; nothing of the log itself is shown."""
        if not _EXEC_FORMAT.search(log):
            return self
        return attrs.evolve(self, reason=f"{self.reason}: the program is for another CPU (its log says exec format error)", final=True)


def troubles_of(pod: Mapping[str, Any]) -> list[Trouble]:
    """What is wrong with one pod, worst first; nothing where it is ready or merely starts.

    Args:
        pod: The object, as the API has it.
    """
    status, spec = mapping(pod.get("status")), mapping(pod.get("spec"))
    name, node = str(mapping(pod.get("metadata")).get("name")), str(spec.get("nodeName") or "")
    if mapping(pod.get("metadata")).get("deletionTimestamp") or status.get("phase") == "Succeeded":
        return []
    found = [trouble for item in _listed(status, "conditions") if (trouble := _unplaced(item, name))]
    if status.get("phase") == "Failed" and status.get("reason"):
        found.append(Trouble(name, _line(f"{status.get('reason')}: {status.get('message') or 'no message'}"), final=False, node=node))
    for key in ("initContainerStatuses", "containerStatuses"):
        found += [trouble for item in _listed(status, key) if (trouble := _container(item, name, node))]
    return sorted(found, key=lambda one: not one.final)


def _unplaced(condition: Mapping[str, Any], name: str) -> Trouble | None:
    if condition.get("type") != "PodScheduled" or condition.get("status") != "False":
        return None
    if condition.get("reason") == "SchedulingGated":
        return Trouble(name, "a scheduling gate holds it back", final=False)
    said = _PREEMPTION.split(str(condition.get("message") or condition.get("reason")))[0]
    return Trouble(name, _line(f"the scheduler finds no node: {said}"), final=False, unplaced=True)


def _container(status: Mapping[str, Any], name: str, node: str) -> Trouble | None:
    state = mapping(status.get("state"))
    waiting, ended = mapping(state.get("waiting")), mapping(state.get("terminated"))
    before = mapping(mapping(status.get("lastState")).get("terminated"))
    image, container = status.get("image"), status.get("name")
    said = " ".join(str(part.get("message") or "") for part in (waiting, ended, before))
    where = f" on node {node}" if node else ""
    if _EXEC_FORMAT.search(said):
        return Trouble(name, f"the program in image {image} is for another CPU{where} (exec format error)", final=True, node=node)
    reason = str(waiting.get("reason") or "")
    if reason and _NO_PLATFORM.search(said):
        return Trouble(name, _line(f"image {image} has nothing for the platform{where}: {said}"), final=True, node=node)
    if reason in _NEVER:
        return Trouble(name, _line(f"image {image}: {reason}: {waiting.get('message') or 'no message'}"), final=True)
    if reason == "CrashLoopBackOff":
        code = before.get("exitCode")
        times = f", restarted {status.get('restartCount')} times"
        return Trouble(
            name,
            f"container {container} ({image}) ends again and again with exit code {code}{times}",
            final=False,
            node=node,
            looping=str(container),
        )
    if reason not in _USUAL:
        what = f"image {image}" if "Image" in reason else f"container {container}"
        return Trouble(name, _line(f"{what}: {reason}: {waiting.get('message') or 'no message'}"), final=False)
    if ended and ended.get("exitCode"):
        told = f"container {container} ({image}) ended with exit code {ended.get('exitCode')}"
        return Trouble(name, f"{told}: {_line(str(ended['message']))}" if ended.get("message") else told, final=False, node=node)
    return None


def explained(trouble: Trouble, pod: Mapping[str, Any], cluster: Cluster | None) -> Trouble:
    """The same, with what the nodes of the cluster have to do with it.

    Args:
        trouble: Of this pod.
        pod: The object.
        cluster: Its nodes; None: they may not be read.
    """
    if cluster is None or not cluster.nodes:
        return trouble
    if trouble.unplaced:
        asked = asked_platforms(mapping(pod.get("spec")))
        nodes = ", ".join(f"{name} ({cluster.count(name)})" for name in map(str, cluster.platforms)) or "none for ordinary pods"
        told = f"it may only run on {', '.join(asked)}; " if asked else ""
        reasons = _reasons(place(None, mapping(pod.get("spec")), cluster).excluded)
        return attrs.evolve(trouble, reason=f"{trouble.reason} ({told}the nodes are {nodes}{'; ' if reasons else ''}{reasons})")
    node = next((node for node in cluster.nodes if node.name == trouble.node), None)
    if node is None or node.platform is None or not trouble.final:
        return trouble
    really = node.reported or node.platform
    lies = "" if really.os_arch == node.platform.os_arch else f", though its labels say {node.platform}"
    return attrs.evolve(trouble, reason=f"{trouble.reason}; the node is {really}{lies}")


def asked_platforms(spec: Mapping[str, Any]) -> list[str]:
    """The platforms that a pod's own rules keep it to, ``os/arch``, sorted; empty where they name none."""
    selector = mapping(spec.get("nodeSelector"))
    try:
        terms = parse_terms(at(spec, ("affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms")))
    except MalformedSelectorError:
        terms = ()
    found: set[str] = set()
    for term in terms:
        systems = finite_values(term.on(OS_LABEL)) or ("*",)
        found |= {f"{system}/{arch}" for arch in finite_values(term.on(ARCH_LABEL)) or () for system in systems}
    if not found and selector.get(ARCH_LABEL):
        found = {f"{selector.get(OS_LABEL) or '*'}/{selector[ARCH_LABEL]}"}
    return sorted(found)


def _reasons(excluded: Mapping[str, str]) -> str:
    """Why nodes are out, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in excluded.items():
        by_reason.setdefault(reason, []).append(name)
    most = 3
    return "; ".join(
        f"not {', '.join(names[:most])}{f' and {len(names) - most} more' if len(names) > most else ''}: {reason}"
        for reason, names in list(by_reason.items())[:most]
    )


def _listed(fields: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = fields.get(key)
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (item for item in value if isinstance(item, Mapping))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
