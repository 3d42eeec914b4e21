"""Clusters and pods made up from a seed, and what must be true of where rendered pods may land.

One generator for two judges: `kube_scheduler`, in the ordinary tests, and the real scheduler, in the live ones.
Nothing here asks archkit where a pod may run: that is worked out from what images have and from the user's own rules.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import kube_objects
import kube_scheduler
import yaml

from archkit import AffinityRenderer, ClusterInspector

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OS, ARCH = "kubernetes.io/os", "kubernetes.io/arch"
BETA = {OS: "beta.kubernetes.io/os", ARCH: "beta.kubernetes.io/arch"}

Pair = tuple[str, str]
NODE_PLATFORMS: tuple[Pair, ...] = (
    *[("linux", "amd64")] * 4,
    *[("linux", "arm64")] * 4,
    ("linux", "s390x"),
    ("linux", "riscv64"),
    ("linux", "arm"),
    ("linux", "386"),
    ("linux", "sw64"),  # a CPU that archkit has not heard of
    ("windows", "amd64"),
    ("windows", "arm64"),
)
IMAGE_PLATFORMS = (
    *["linux/amd64"] * 3,
    *["linux/arm64"] * 3,
    "linux/s390x",
    "linux/riscv64",
    "linux/arm/v7",
    "linux/386",
    "windows/amd64",
    "windows/arm64",
)
TAINTS = ("dedicated=db:NoSchedule", "gpu:NoExecute", "spot=yes:PreferNoSchedule", "arch=other:NoSchedule")
PATHS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Pod": ("v1", ("spec",)),
    "Deployment": ("apps/v1", ("spec", "template", "spec")),
    "DaemonSet": ("apps/v1", ("spec", "template", "spec")),
    "StatefulSet": ("apps/v1", ("spec", "template", "spec")),
    "Job": ("batch/v1", ("spec", "template", "spec")),
    "CronJob": ("batch/v1", ("spec", "jobTemplate", "spec", "template", "spec")),
}


@dataclass
class MadePod:
    """A pod template and what its images have."""

    kind: str
    spec: dict[str, Any]
    images: dict[str, list[str]]

    @property
    def manifest(self) -> dict[str, Any]:
        version, path = PATHS[self.kind]
        inner: dict[str, Any] = copy.deepcopy(self.spec)
        for key in reversed(path):
            inner = {key: inner}
        return {"apiVersion": version, "kind": self.kind, "metadata": {"name": "made"}, **inner}


@dataclass
class Options:
    """How archkit is asked to render."""

    affinity: Literal["mixed", "always"] = "mixed"
    terms: Literal["per-platform", "compact"] = "per-platform"
    tolerate_arch_taints: bool = True
    flow: bool = False
    """Whether the manifest is written as flow text (JSON)."""


# ---- making things up --------------------------------------------------------------------------------------------


def fleet(rng: random.Random, names: str = "n") -> list[dict[str, Any]]:
    """The nodes of one cluster, to be declared; ``names`` is what theirs begin with."""
    kind = rng.choice(["one CPU", "two", "two", "gke", "any", "any", "any"])
    if kind == "one CPU":
        platforms = [rng.choice(NODE_PLATFORMS)] * rng.randint(1, 3)
    elif kind == "two":
        platforms = [pair for pair in rng.sample(sorted({*NODE_PLATFORMS}), 2) for _ in range(rng.randint(1, 2))]
    elif kind == "gke":
        platforms = [("linux", "amd64")] * rng.randint(1, 2) + [("linux", "arm64")] * rng.randint(1, 3)
    else:
        platforms = [rng.choice(NODE_PLATFORMS) for _ in range(rng.randint(2, 8))]
    return [_node(rng, f"{names}{number}", pair, gke=kind == "gke") for number, pair in enumerate(platforms)]


def _node(rng: random.Random, name: str, pair: Pair, *, gke: bool) -> dict[str, Any]:
    labels: dict[str, str | None] = {}
    if rng.random() < 0.4:
        labels["disk"] = rng.choice(["ssd", "hdd"])
    if rng.random() < 0.4:
        labels["cores"] = rng.choice(["1", "8", "08", "many", "1_000", "99999999999999999999"])
    if rng.random() < 0.04:
        labels |= rng.choice([{OS: None, ARCH: None}, {ARCH: None}])  # nodes that no kubelet labelled
    taints: list[str] = []
    if gke and pair[1] == "arm64":
        taints.append(kube_objects.ARM_TAINT)
    elif rng.random() < 0.15:
        taints.append(rng.choice([f"kubernetes.io/arch={pair[1]}:NoSchedule", f"arch={pair[1]}:NoExecute"]))
    if rng.random() < 0.15:
        taints.append(rng.choice(TAINTS))
    if rng.random() < 0.05:
        taints.append("node-role.kubernetes.io/control-plane:NoSchedule")
    return kube_objects.node(name, "/".join(pair), labels=labels, taints=taints, cordoned=rng.random() < 0.1, ready=rng.random() > 0.06)


def as_registered(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node as it stands in a cluster once its controllers have seen it."""
    found = copy.deepcopy(dict(node))
    labels = found["metadata"]["labels"]
    labels.update({beta: labels[key] for key, beta in BETA.items() if key in labels})
    state = [("unschedulable", "NoSchedule")] if found["spec"].get("unschedulable") else []
    if "conditions" in found["status"]:  # it says that it is not ready
        state += [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")]
    taints = [{"key": f"node.kubernetes.io/{key}", "effect": effect} for key, effect in state]
    if taints:
        found["spec"]["taints"] = [*found["spec"].get("taints", []), *taints]
    return found


def pod(rng: random.Random, names: str = "n") -> MadePod:
    """A pod that the API server accepts, with rules of its own; ``names`` is what those of nodes begin with."""
    first = ["linux/amd64", "linux/arm64"] if rng.random() < 0.4 else rng.sample(IMAGE_PLATFORMS, rng.choice([1, 3, 5, 7]))
    images = {"example.test/app0:1": [*dict.fromkeys(first)]}
    for number in range(1, rng.choice([1, 1, 2, 3])):
        other = [*first, *rng.sample(IMAGE_PLATFORMS, 2)] if rng.random() < 0.85 else rng.sample(IMAGE_PLATFORMS, 3)
        images[f"example.test/app{number}:1"] = [*dict.fromkeys(rng.sample(other, max(1, len(other) - rng.randint(0, 1))))]
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    split = rng.randint(0, len(containers) - 1)
    spec: dict[str, Any] = {"containers": containers[split:]}
    if split:
        spec["initContainers"] = containers[:split]
    if rng.random() < 0.55:
        spec["affinity"] = {"nodeAffinity": _node_affinity(rng, names)}
    if rng.random() < 0.2:
        spec["nodeSelector"] = dict(rng.choice(_SELECTORS) for _ in range(rng.choice([1, 1, 2])))
    if rng.random() < 0.1:
        spec["os"] = {"name": rng.choice(["linux", "linux", "windows"])}
    if rng.random() < 0.35:
        spec["tolerations"] = rng.sample(_TOLERATIONS, rng.randint(1, 2))
    kind = rng.choice([*PATHS])
    if kind in {"Job", "CronJob"}:
        spec["restartPolicy"] = "Never"
    return MadePod(kind, spec, images)


_SELECTORS = (
    (OS, "linux"),
    (OS, "windows"),
    (ARCH, "amd64"),
    (ARCH, "arm64"),
    (BETA[ARCH], "arm64"),
    (BETA[OS], "linux"),
    ("disk", "ssd"),
    ("cores", "8"),
)
_TOLERATIONS: tuple[dict[str, Any], ...] = (
    {"operator": "Exists"},
    {"key": "dedicated", "operator": "Exists"},
    {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"},
    {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "gpu", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
    {"key": "kubernetes.io/arch", "value": "arm64"},
    {"key": "kubernetes.io/arch", "operator": "Equal", "value": "amd64", "effect": "NoSchedule"},
    {"key": "arch", "operator": "Exists"},
    {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
)


_DAEMON_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for effect, keys in (("NoExecute", ("not-ready", "unreachable")), ("NoSchedule", ("unschedulable", "disk-pressure")))
    for key in keys
]


def _node_affinity(rng: random.Random, names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.9:
        found[REQUIRED] = {"nodeSelectorTerms": [_term(rng, names) for _ in range(rng.choice([1, 1, 2, 2, 3]))]}
    if rng.random() < 0.2:
        found[PREFERRED] = [{"weight": rng.randint(1, 100), "preference": {"matchExpressions": [_expression(rng)]}}]
    return found


def _term(rng: random.Random, names: str) -> dict[str, Any]:
    if rng.random() < 0.06:
        return {}
    term: dict[str, Any] = {}
    if rng.random() < 0.95:
        term["matchExpressions"] = [_expression(rng) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
    if rng.random() < 0.15 or not term:
        operator = rng.choice(["In", "NotIn", "NotIn"])
        term["matchFields"] = [{"key": "metadata.name", "operator": operator, "values": [f"{names}{rng.randint(0, 5)}"]}]
    return term


def _expression(rng: random.Random) -> dict[str, Any]:
    key = rng.choice([OS, OS, ARCH, ARCH, ARCH, BETA[ARCH], BETA[OS], "disk", "cores"])
    operator = rng.choice(["In", "In", "In", "NotIn", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
    if operator in {"Gt", "Lt"}:
        return {"key": rng.choice(["cores", "cores", ARCH]), "operator": operator, "values": [rng.choice(["2", "385", "386", "7", "007"])]}
    if operator in {"Exists", "DoesNotExist"}:
        return {"key": rng.choice([key, "disk"]), "operator": operator}
    values = {
        OS: ["linux", "linux", "windows", "plan9"],
        ARCH: ["amd64", "arm64", "arm64", "386", "arm", "s390x", "riscv64", "mips"],
        "disk": ["ssd", "hdd"],
        "cores": ["1", "8"],
    }[{beta: key for key, beta in BETA.items()}.get(key, key)]
    return {"key": key, "operator": operator, "values": [*dict.fromkeys(rng.choices(values, k=rng.randint(1, 4)))]}


def options(rng: random.Random) -> Options:
    return Options(
        rng.choice(["mixed", "mixed", "always"]), rng.choice(["per-platform", "compact"]), rng.random() < 0.8, flow=rng.random() < 0.3
    )


# ---- rendering ---------------------------------------------------------------------------------------------------


@dataclass
class Rendered:
    """What archkit made of one pod."""

    before: dict[str, Any]
    after: dict[str, Any]
    images: dict[str, list[str]]
    options: Options
    errors: list[str]
    """Findings for which a run stops before it applies anything."""
    warnings: list[str]
    predicted: set[str]
    """The nodes that archkit says remain."""
    kind: str

    def scheduled(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """``before`` or ``after`` as a scheduler gets it: controllers of DaemonSets add tolerations."""
        own = [*(spec.get("tolerations") or []), *(_DAEMON_TOLERATIONS if self.kind == "DaemonSet" else [])]
        return {**spec, "tolerations": own} if own else dict(spec)


def render(made: MadePod, nodes: Sequence[Mapping[str, Any]], how: Options) -> Rendered:
    """Render a pod for the cluster of these nodes, through the public interface alone."""
    cluster = ClusterInspector.from_nodes({"kind": "NodeList", "items": [*nodes]}).inspect()
    text = yaml.dump(made.manifest, Dumper=yaml.CSafeDumper, default_flow_style=how.flow, sort_keys=False)
    renderer = AffinityRenderer(
        platforms=made.images, cluster=cluster, affinity=how.affinity, terms=how.terms, tolerate_arch_taints=how.tolerate_arch_taints
    )
    rendering = renderer.render(text)
    after: Any = yaml.load(rendering.text, Loader=yaml.CSafeLoader)
    for key in PATHS[made.kind][1]:
        after = after[key]
    by_severity: dict[str, list[str]] = {}
    for finding in rendering.findings:
        by_severity.setdefault(finding.severity, []).append(finding.code)
    (placement,) = rendering.pods
    return Rendered(
        made.spec,
        after,
        made.images,
        how,
        by_severity.get("error", []),
        by_severity.get("warning", []),
        {*(placement.nodes or ())},
        made.kind,
    )


# ---- judging -----------------------------------------------------------------------------------------------------


def runs(platforms: Iterable[str], node: Mapping[str, Any]) -> bool:
    """Whether an image has something for this node; a 64-bit CPU also runs what is for its 32-bit one."""
    os_name, arch = _pair(node)
    pairs = {tuple(platform.split("/")[:2]) for platform in platforms}
    return (os_name, arch) in pairs or (os_name, {"amd64": "386", "arm64": "arm"}.get(arch)) in pairs


def named(images: Mapping[str, Iterable[str]], node: Mapping[str, Any]) -> bool:
    """Whether the pod may ask for this node: every image runs there, and one of them says this CPU.

    A pod of images for 386 alone asks for nodes of 386 (a term uses the images' own CPU name), though amd64 would do.
    """
    pair = "/".join(_pair(node))
    return all(runs(platforms, node) for platforms in images.values()) and any(
        pair == "/".join(platform.split("/")[:2]) for platforms in images.values() for platform in platforms
    )


def _pair(node: Mapping[str, Any]) -> Pair:
    info = node["status"]["nodeInfo"]
    return info["operatingSystem"], info["architecture"]


def labelled(node: Mapping[str, Any]) -> bool:
    """Whether the node has both labels by which the scheduler knows its platform, as every kubelet gives them."""
    return {OS, ARCH} <= {*node["metadata"]["labels"]}


def open_to(rendered: Rendered, node: Mapping[str, Any]) -> bool:
    """Whether the user's own rules let the pod onto a node, taints that only tell CPUs apart aside where that is wished."""
    labels = node["metadata"]["labels"]
    if not kube_scheduler.selects(rendered.before, labels, node["metadata"]["name"]) or kube_scheduler.refuses_os(rendered.before, labels):
        return False
    forgiven = rendered.options.tolerate_arch_taints
    repelled = kube_scheduler.repelled(rendered.scheduled(rendered.before), node)
    return all(forgiven and _tells_cpu(taint, node) for taint in repelled)


def _tells_cpu(taint: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    return taint["key"] in {"kubernetes.io/arch", "arch"} and taint.get("value") == _pair(node)[1]


def wrongs(rendered: Rendered, nodes: Sequence[Mapping[str, Any]], eligible: set[str]) -> list[str]:
    """What is wrong with where a rendered pod may land.

    Args:
        rendered: The pod.
        nodes: The cluster.
        eligible: The nodes onto which a scheduler binds it as it stands after rendering.
    """
    found: list[str] = []
    everything = all(map(labelled, nodes))
    for node in nodes:
        name, lands = node["metadata"]["name"], node["metadata"]["name"] in eligible
        fits = all(runs(platforms, node) for platforms in rendered.images.values())
        if rendered.errors:  # left as it was, and a run stops here; but only where nothing could be done
            if fits and named(rendered.images, node) and labelled(node) and open_to(rendered, node):
                found.append(f"{name} would do, but the rendering has {rendered.errors}")
            continue
        if lands and not fits:
            found.append(f"{name} is {'/'.join(_pair(node))}, which its images do not run on")
        if (
            lands
            and not open_to(rendered, node)
            and not (rendered.warnings and kube_scheduler.refuses_os(rendered.before, node["metadata"]["labels"]))
        ):
            found.append(f"{name} is against the user's own rules")
        if named(rendered.images, node) and labelled(node) and open_to(rendered, node) and not lands:
            found.append(f"{name} was lost")
    if rendered.errors and rendered.after != rendered.before and "no-node-for-pod" not in rendered.errors:
        found.append(f"{rendered.errors}, but the pod was changed")
    if everything and not rendered.errors and not (rendered.before.get("os")) and rendered.predicted != eligible:
        found.append(f"archkit says that {sorted(rendered.predicted)} remain, and it is {sorted(eligible)}")
    found += [f"not an exact toleration: {item}" for item in _added(rendered) if not _exact(item, rendered, nodes)]
    return found


def _added(rendered: Rendered) -> list[dict[str, Any]]:
    own = rendered.before.get("tolerations") or []
    after: list[dict[str, Any]] = rendered.after.get("tolerations") or []
    return [item for item in after if item not in own]


def _exact(toleration: Mapping[str, Any], rendered: Rendered, nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether this is the taint of a node whose platform the pod's images have, key, value and effect."""
    return toleration["operator"] == "Equal" and any(
        taint == {key: toleration[key] for key in ("key", "value", "effect")} and named(rendered.images, node)
        for node in nodes
        for taint in node["spec"].get("taints") or []
    )
