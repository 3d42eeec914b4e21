"""What becomes of a pod on its node: its containers run, unless it is known that their images cannot run there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.placement import runs

if TYPE_CHECKING:
    from collections.abc import Mapping


_EXEC_FORMAT = "exec format error"
_NO_MATCH = "no match for platform in manifest: not found"


@attrs.frozen
class ImageFacts:
    """What is known of an image."""

    platforms: PlatformSet
    index: bool
    """Whether the container engine chooses among several; a single image is pulled on any node."""


class KnownImages(Protocol):
    """Where the embedded cluster learns what its nodes would pull."""

    def facts(self, image: str) -> ImageFacts | str | None:
        """What is known of an image; a text is why it cannot be pulled; None: nothing is known, and it runs."""
        ...


def trouble(image: str, node: Platform | None, known: KnownImages) -> tuple[str, str] | None:
    """Why an image does not run on a node: ``pull`` or ``exec``, and the message; None: it does."""
    facts = known.facts(image)
    if isinstance(facts, str):
        return "pull", facts
    if facts is None or node is None or any(runs(platform, node) for platform in facts.platforms):
        return None
    return ("pull", _NO_MATCH) if facts.index else ("exec", _EXEC_FORMAT)


def platform_of(node: Mapping[str, Any] | None) -> Platform | None:
    """What the node really is: its kubelet's word, not its labels."""
    info = ((node or {}).get("status") or {}).get("nodeInfo") or {}
    if not (info.get("operatingSystem") and info.get("architecture")):
        return None
    return Platform.from_oci({"os": info["operatingSystem"], "architecture": info["architecture"]})


def pod_status(pod: Mapping[str, Any], node: Mapping[str, Any] | None, known: KnownImages, now: str) -> dict[str, Any]:
    """The status of a pod that is bound to a node.

    Args:
        pod: The pod.
        node: Its node; None: a node that is not there, on which nothing happens.
        known: What is known of images.
        now: The time.
    """
    spec, status = pod["spec"], pod.get("status") or {}
    if node is None:
        return dict(status)
    platform = platform_of(node)
    troubles = {container["image"]: trouble(container["image"], platform, known) for part in _PARTS for container in spec.get(part) or ()}
    first = next((found for container in spec.get("initContainers") or () if (found := troubles[container["image"]])), None)
    done = _is_of_job(pod)
    never = spec.get("restartPolicy") == "Never"
    init = [
        _container(each, troubles[each["image"]], now, never=never, done=True, waits=False) for each in spec.get("initContainers") or ()
    ]
    containers = [
        _container(each, troubles[each["image"]], now, never=never, done=done, waits=first is not None) for each in spec["containers"]
    ]
    failed = never and any(_ended_badly(each) for each in (*init, *containers))
    ready = all(each["ready"] for each in containers) and first is None
    started = all("running" in each["state"] or "terminated" in each["state"] for each in containers) and first is None
    phase = "Failed" if failed else "Pending" if not started else "Running"
    if done and not failed and started and all("terminated" in each["state"] for each in containers):
        phase = "Succeeded"
    number = sum(map(ord, pod["metadata"]["name"])) % 250 + 2
    made: dict[str, Any] = {
        **{name: value for name, value in status.items() if name not in {"conditions", "containerStatuses", "initContainerStatuses"}},
        "phase": phase,
        "hostIP": "10.0.0.1",
        "podIP": f"10.244.0.{number}",
        "podIPs": [{"ip": f"10.244.0.{number}"}],
        "startTime": status.get("startTime") or now,
        "qosClass": "BestEffort",
        "containerStatuses": containers,
        "conditions": _conditions(pod, now, ready=ready, initialized=first is None, ended=phase in {"Succeeded", "Failed"}),
    }
    if init:
        made["initContainerStatuses"] = init
    return made


_PARTS = ("initContainers", "containers")


def _is_of_job(pod: Mapping[str, Any]) -> bool:
    return any(owner.get("kind") == "Job" for owner in pod["metadata"].get("ownerReferences") or ())


def _ended_badly(status: Mapping[str, Any]) -> bool:
    return bool(status["state"].get("terminated", {}).get("exitCode", 0))


def _container(
    container: Mapping[str, Any], problem: tuple[str, str] | None, now: str, *, never: bool, done: bool, waits: bool
) -> dict[str, Any]:
    image = container["image"]
    made: dict[str, Any] = {
        "name": container["name"],
        "image": image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "lastState": {},
    }
    if waits:
        return {**made, "state": {"waiting": {"reason": "PodInitializing"}}}
    if problem is None:
        if done:
            ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
            return {**made, "imageID": image, "state": {"terminated": ended}}
        return {**made, "imageID": image, "ready": True, "started": True, "state": {"running": {"startedAt": now}}}
    kind, message = problem
    if kind == "pull":
        return {**made, "state": {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}": {message}'}}}
    ended = {"exitCode": 255, "reason": "Error", "message": message, "startedAt": now, "finishedAt": now}
    if never:
        return {**made, "imageID": image, "state": {"terminated": ended}}
    waiting = {"reason": "CrashLoopBackOff", "message": f"back-off 10s restarting failed container={container['name']}"}
    return {**made, "imageID": image, "restartCount": 1, "lastState": {"terminated": ended}, "state": {"waiting": waiting}}


def _conditions(pod: Mapping[str, Any], now: str, *, ready: bool, initialized: bool, ended: bool) -> list[dict[str, Any]]:
    old = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
    gates = [each["conditionType"] for each in pod["spec"].get("readinessGates") or ()]
    gated = all(old.get(gate, {}).get("status") == "True" for gate in gates)
    wanted = {
        "PodReadyToStartContainers": (True, ""),
        "Initialized": (initialized, "ContainersNotInitialized"),
        "Ready": (
            ready and gated and not ended,
            "PodCompleted" if ended else "ContainersNotReady" if not ready else "ReadinessGatesNotReady",
        ),
        "ContainersReady": (ready and not ended, "PodCompleted" if ended else "ContainersNotReady"),
        "PodScheduled": (True, ""),
    }
    made = [condition(old.get(name), name, now, holds=holds, reason="" if holds else reason) for name, (holds, reason) in wanted.items()]
    return [*made, *(each for name, each in old.items() if name not in wanted)]


def condition(old: Mapping[str, Any] | None, name: str, now: str, *, holds: bool, reason: str = "", message: str = "") -> dict[str, Any]:
    """A condition; its time is that of its last change."""
    status = "True" if holds else "False"
    since = old["lastTransitionTime"] if old is not None and old.get("status") == status and "lastTransitionTime" in old else now
    made = {"type": name, "status": status, "lastProbeTime": None, "lastTransitionTime": since, "reason": reason, "message": message}
    return {key: value for key, value in made.items() if value}
