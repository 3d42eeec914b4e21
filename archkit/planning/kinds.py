"""Where images, affinity and pods are in each kind: one table, keyed on group and kind.

Each entry has three roles: where images are, where affinity goes, and which images share a pod. Sources: the
Kubernetes API reference for the built-in kinds; for the others the CustomResourceDefinitions of the projects
named beside them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar, cast

import attrs

from archkit.errors import ArchkitError
from archkit.planning.edits import Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CONTAINER_IMAGES = ("initContainers[].image", "containers[].image")
"""Where a pod spec names the images that its processes run."""
VOLUME_IMAGES = ("volumes[].image.reference",)
"""Where a pod spec names images that are only mounted (Kubernetes 1.31 and later)."""

_WILD = frozenset({"[]", "*"})
_MAX_VISITS = 500_000
"""How often one document may lead to a pod or an image; only aliases inside aliases reach it."""


class TooManyPods(ArchkitError, ValueError):
    """Aliases multiply the pods of one document beyond any use."""


@attrs.frozen
class PodPlace:
    """One pod, or one for each match where ``at`` has wildcards.

    Paths are keys with dots between them; ``[]`` stands for every item of a list and ``*`` for every key of a
    mapping. An empty path is the place itself.
    """

    at: str
    """From the document's root to the mapping that describes the pod; the images found below one match share a pod."""
    images: tuple[str, ...] = CONTAINER_IMAGES
    """From there to the texts that name images."""
    volume_images: tuple[str, ...] = VOLUME_IMAGES
    """The same for images that are only mounted."""
    shared_images: tuple[str, ...] = ()
    """Images of this pod that stand elsewhere, from the document's root."""
    affinity: str | None = ""
    """From ``at`` to the mapping that has, or gets, the keys ``affinity`` and ``tolerations``; None: the kind has no such place."""


def pod_specs(*paths: str) -> tuple[PodPlace, ...]:
    """A pod for each path of an ordinary pod spec."""
    return tuple(map(PodPlace, paths))


def _places(value: str | Iterable[PodPlace | str]) -> tuple[PodPlace, ...]:
    items = [value] if isinstance(value, str) else value
    return tuple(PodPlace(item) if isinstance(item, str) else item for item in items)


@attrs.frozen
class KindRule:
    """What archkit knows of one kind, whatever its version.

    >>> KindRule("example.com", "Robot", "spec.template.spec").pods[0].at
    'spec.template.spec'
    """

    group: str
    """The part of ``apiVersion`` before the slash; empty for the core group."""
    kind: str
    pods: tuple[PodPlace, ...] = attrs.field(converter=_places)
    """Its pods; a text is the path of an ordinary pod spec."""
    caution: str = ""
    """What a person must know when affinity is written into this kind."""


_TEMPLATE = "spec.template.spec"
_KNATIVE = "Knative accepts affinity only where its feature flag kubernetes.podspec-affinity is on"


def _ray(cluster: str, *more: str) -> tuple[PodPlace, ...]:
    head = PodPlace(f"{cluster}.headGroupSpec.template.spec", shared_images=(f"{cluster}.autoscalerOptions.image",))
    return (head, *pod_specs(f"{cluster}.workerGroupSpecs[].template.spec", *more))


KINDS: tuple[KindRule, ...] = (
    KindRule("", "Pod", "spec"),
    KindRule("", "PodTemplate", "template.spec"),
    KindRule("", "ReplicationController", _TEMPLATE),
    *(
        KindRule(group, kind, _TEMPLATE)
        for group in ("apps", "extensions")  # `extensions` is where the first releases had them
        for kind in ("Deployment", "DaemonSet", "ReplicaSet", "StatefulSet")
    ),
    KindRule("batch", "Job", _TEMPLATE),
    KindRule("batch", "CronJob", f"spec.jobTemplate.{_TEMPLATE}"),
    # Argo Rollouts: a Rollout without template refers to a Deployment
    KindRule("argoproj.io", "Rollout", _TEMPLATE),
    KindRule("argoproj.io", "Experiment", "spec.templates[].template.spec"),
    *(
        KindRule("argoproj.io", kind, f"spec.metrics[].provider.job.{_TEMPLATE}")
        for kind in ("AnalysisTemplate", "ClusterAnalysisTemplate", "AnalysisRun")
    ),
    # Knative Serving
    *(KindRule("serving.knative.dev", kind, _TEMPLATE, _KNATIVE) for kind in ("Service", "Configuration")),
    KindRule("serving.knative.dev", "Revision", "spec", _KNATIVE),
    # Volcano
    KindRule("batch.volcano.sh", "Job", "spec.tasks[].template.spec"),
    KindRule("batch.volcano.sh", "CronJob", "spec.jobTemplate.spec.tasks[].template.spec"),
    # OpenKruise
    *(KindRule("apps.kruise.io", kind, _TEMPLATE) for kind in ("CloneSet", "StatefulSet", "DaemonSet", "BroadcastJob")),
    # KubeRay: the autoscaler's image runs in the head pod
    KindRule("ray.io", "RayCluster", _ray("spec")),
    KindRule("ray.io", "RayJob", _ray("spec.rayClusterSpec", "spec.submitterPodTemplate.spec")),
    KindRule("ray.io", "RayService", _ray("spec.rayClusterConfig")),
    # Kubernetes SIG projects
    KindRule("jobset.x-k8s.io", "JobSet", f"spec.replicatedJobs[].template.{_TEMPLATE}"),
    KindRule(
        "leaderworkerset.x-k8s.io",
        "LeaderWorkerSet",
        ("spec.leaderWorkerTemplate.leaderTemplate.spec", "spec.leaderWorkerTemplate.workerTemplate.spec"),
    ),
    # Prometheus operator: the pod's fields stand in the spec itself, beside the main container's image
    *(
        KindRule("monitoring.coreos.com", kind, (PodPlace("spec", ("image", *CONTAINER_IMAGES), ()),))
        for kind in ("Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler")
    ),
    # Tekton: a Task has steps but no place for affinity (its TaskRun has)
    *(
        KindRule("tekton.dev", kind, (PodPlace("spec", ("steps[].image", "sidecars[].image", "stepTemplate.image"), (), affinity=None),))
        for kind in ("Task", "ClusterTask")
    ),
)
"""The kinds that archkit knows without being told."""


N = TypeVar("N")


class Reader(Protocol[N]):
    """A document of any form, as far as looking for pods needs it."""

    def child(self, node: N, key: str) -> N | None:
        """The value of a key; None where ``node`` is no mapping or has no such key."""
        ...

    def items(self, node: N) -> Sequence[N]:
        """The items of a sequence; none where ``node`` is no sequence."""
        ...

    def keys(self, node: N) -> Sequence[str]:
        """The keys of a mapping; none where ``node`` is no mapping."""
        ...

    def text(self, node: N) -> str | None:
        """The text of a scalar; None for null, for a mapping and for a sequence."""
        ...

    def value(self, node: N) -> object:
        """The node as plain data."""
        ...


class ImagePlace(NamedTuple):
    """One image of a pod."""

    path: Path
    """From the document's root."""
    image: str
    """As it stands."""
    mounted: bool = False
    """Whether it is a volume: nothing of it is run."""


@attrs.frozen
class FoundPod(Generic[N]):
    """One pod (or pod template) of a manifest."""

    kind: str
    namespace: str
    name: str
    path: Path
    """Of the mapping that describes the pod."""
    images: tuple[ImagePlace, ...]
    holder: tuple[str, ...] | None
    """From ``path`` to the mapping that has ``affinity``; it may not be there yet. None: the kind has no such place."""
    caution: str
    node: N = attrs.field(eq=False)

    @property
    def object_name(self) -> str:
        """``kind/namespace/name``, without what is not written."""
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))


RULES = ("affinity", "nodeSelector", "nodeName", "os", "tolerations")
"""The keys of a pod spec that decide where the pod may run."""


def placement_rules(pod: FoundPod[N], reader: Reader[N]) -> Mapping[str, object]:
    """The mapping at a pod's path as plain data, with nothing in it but what decides where the pod may run."""
    return _rules(pod.node, pod.holder or (), reader)


def _rules(node: N, holder: Sequence[str], reader: Reader[N]) -> Mapping[str, object]:
    if not holder:
        return {key: reader.value(child) for key in RULES if (child := reader.child(node, key)) is not None}
    child = reader.child(node, holder[0])
    if child is None:
        return {}
    if not reader.keys(child):
        return {holder[0]: None}
    # a mapping with other keys is not empty: a key that no manifest has stands for them
    return {holder[0]: {"": None, **_rules(child, holder[1:], reader)}}


class KindTable:
    """The built-in rules and a caller's own, which win."""

    def __init__(self, own: Iterable[KindRule] = ()) -> None:
        self._rules: Mapping[tuple[str, str], KindRule] = {(rule.group, rule.kind): rule for rule in (*KINDS, *own)}
        places = [place for rule in self._rules.values() for place in rule.pods]
        paths = [path for place in places for path in (*place.images, *place.volume_images, *place.shared_images)]
        self._words = tuple({_image_word(path) for path in paths})  # every document with an image has at least one of these keys

    def may_hold_images(self, text: str) -> bool:
        """Whether a text has a word without which no image stands in it, or a backslash, which could spell one."""
        return next((True for word in self._words if word in text), False) or "\\" in text

    def wanted(self, api_version: str, kind: str) -> bool:
        """Whether a document of this kind may hold pods."""
        return (_group(api_version), kind) in self._rules or kind.endswith("List")

    def pods(self, root: N, reader: Reader[N]) -> Iterator[FoundPod[N]]:
        """Every pod of a document, in the order of the table's paths.

        Raises:
            TooManyPods: Aliases lead to the same places over and over.
        """
        budget = [_MAX_VISITS]
        yield from self._pods(root, (), reader, None, budget)

    def _pods(self, root: N, at: Path, reader: Reader[N], implied: tuple[str, str] | None, budget: list[int]) -> Iterator[FoundPod[N]]:
        api_version, kind = _text(root, "apiVersion", reader), _text(root, "kind", reader)
        if implied is not None and not kind:  # items of a typed list need not repeat what the list says
            api_version, kind = implied
        rule = self._rules.get((_group(api_version), kind))
        if rule is not None:
            yield from _pods_of(rule, root, at, reader, budget)
        elif kind.endswith("List"):
            items = reader.child(root, "items")
            inner = (api_version, kind.removesuffix("List"))
            for index, item in enumerate(reader.items(items) if items is not None else ()):
                _spend(budget, 1)
                yield from self._pods(item, (*at, "items", index), reader, inner, budget)


def _pods_of(rule: KindRule, root: N, at: Path, reader: Reader[N], budget: list[int]) -> Iterator[FoundPod[N]]:
    metadata = reader.child(root, "metadata")
    namespace = name = ""
    if metadata is not None:
        namespace, name = _text(metadata, "namespace", reader), _text(metadata, "name", reader)
        if not name and (prefix := _text(metadata, "generateName", reader)):
            name = prefix + "*"
    for place in rule.pods:
        shared = [found for path in place.shared_images for found in _images(root, at, path, reader, budget)]
        holder = None if place.affinity is None else _steps(place.affinity)
        for pod_path, node in _matches(root, at, place.at, reader, budget):
            images = [found for path in place.images for found in _images(node, pod_path, path, reader, budget)]
            for path in place.volume_images:
                images += _images(node, pod_path, path, reader, budget, mounted=True)
            yield FoundPod(rule.kind, namespace, name, pod_path, (*images, *shared), holder, rule.caution, node)


def _images(node: N, at: Path, path: str, reader: Reader[N], budget: list[int], *, mounted: bool = False) -> list[ImagePlace]:
    matches = _matches(node, at, path, reader, budget)
    return [ImagePlace(found, image, mounted) for found, leaf in matches if (image := reader.text(leaf))] if matches else []


def _matches(node: N, at: Path, path: str, reader: Reader[N], budget: list[int]) -> list[tuple[Path, N]]:
    """Where a path leads from a node, in the order of the document."""
    found: list[tuple[Path, N]] = []
    _collect(node, at, _route(path), reader, budget, found)
    return found


def _collect(  # noqa: PLR0917 - called for every item of every list on the way
    node: N, at: Path, route: _Route, reader: Reader[N], budget: list[int], found: list[tuple[Path, N]]
) -> None:
    child = reader.child
    for key in route.keys:
        inner = child(node, key)
        if inner is None:
            return
        node = inner
    here = at + route.keys
    if route.behind is None:
        _spend(budget, 1)
        found.append((here, node))
        return
    items: Sequence[tuple[str | int, N]] = list(enumerate(reader.items(node)))
    if route.wild == "*":
        items = [(key, cast("N", child(node, key))) for key in reader.keys(node)]
    _spend(budget, len(items))
    for step, item in items:
        _collect(item, (*here, step), route.behind, reader, budget, found)


def _spend(budget: list[int], count: int) -> None:
    budget[0] -= count
    if budget[0] < 0:
        raise TooManyPods


def _text(node: N, key: str, reader: Reader[N]) -> str:
    child = reader.child(node, key)
    return (reader.text(child) or "") if child is not None else ""


class _Route(NamedTuple):
    """A path, cut where it branches."""

    keys: tuple[str, ...]
    wild: str
    behind: _Route | None
    """From each item on; None where the path ends."""


@lru_cache(maxsize=1024)
def _route(path: str) -> _Route:
    steps = _steps(path)
    route: _Route | None = None
    end = len(steps)
    for number in range(len(steps) - 1, -1, -1):
        if steps[number] in _WILD:
            route = _Route(steps[number + 1 : end], steps[end] if route is not None else "", route)
            end = number
    return _Route(steps[:end], steps[end] if route is not None else "", route)


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[str, ...]:
    """``a.b[].c`` as ``a``, ``b``, ``[]``, ``c``."""
    return tuple(step for step in path.replace("[]", ".[]").split(".") if step)


def _image_word(path: str) -> str:
    """A key without which the path leads nowhere: one that speaks of images, if it has one."""
    keys = [step for step in _steps(path) if step not in {"[]", "*"}]
    return next((key for key in keys if "image" in key.lower()), keys[-1])


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
