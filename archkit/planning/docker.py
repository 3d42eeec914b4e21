"""Docker in all its forms: what was found, and which way images are built with it. Pure.

Sources: Docker documentation, "Build drivers" and "containerd image store"; `docker buildx inspect` and `docker info`
as seen with docker 20.10 to 28 and buildx 0.38.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.errors import ArchkitError
from archkit.model.engine import EngineInfo
from archkit.model.platform import Platform
from archkit.planning.emulation import BuildMachine

if TYPE_CHECKING:
    from collections.abc import Sequence

Way = Literal["native", "docker-driver", "classic"]
"""``native``: a buildx builder makes one index and pushes it by digest. ``docker-driver``: the BuildKit inside the
engine, one platform at a time. ``classic``: the engine without BuildKit (or podman), one platform at a time."""

OLDEST_BUILDX = (0, 10)
"""From here on there are ``--provenance`` and ``--sbom``."""


@attrs.frozen
class BuilderNode:
    """A machine of a buildx builder."""

    name: str
    endpoint: str = ""
    status: str = ""
    version: str = ""
    platforms: tuple[Platform, ...] = ()
    """Its own first, then what it emulates; none: it does not tell, for example before its first start."""


@attrs.frozen
class BuilderFacts:
    """A buildx builder."""

    name: str
    driver: str
    nodes: tuple[BuilderNode, ...] = ()

    @classmethod
    def parse(cls, text: str) -> BuilderFacts:
        """What ``docker buildx inspect`` prints."""
        fields: dict[str, str] = {}
        nodes: list[dict[str, str]] = []
        here = fields
        for line in text.splitlines():
            found = re.match(r"([A-Z][A-Za-z ]*?):\s*(.*)$", line)
            if found is None:
                continue
            key, value = found.group(1), found.group(2).strip()
            if key == "Nodes":
                here = {}
            elif key == "Name" and here is not fields:
                here = {}
                nodes.append(here)
            here.setdefault(key, value)
        return cls(fields.get("Name", ""), fields.get("Driver", ""), tuple(map(_node, nodes)))


def _node(fields: dict[str, str]) -> BuilderNode:
    platforms = tuple(filter(None, map(_platform, fields.get("Platforms", "").split(","))))
    status, version = fields.get("Status", ""), fields.get("BuildKit version", fields.get("Buildkit", ""))
    return BuilderNode(fields.get("Name", ""), fields.get("Endpoint", ""), status, version, platforms)


def _platform(text: str) -> Platform | None:
    try:
        return Platform.parse(text.strip().rstrip("*"))  # a star: chosen by the user, not found
    except ArchkitError:
        return None


@attrs.frozen
class DockerFacts:
    """What is there."""

    buildx: str = ""
    """Version of the plugin; empty: there is none."""
    builder: BuilderFacts | None = None
    engine: EngineInfo | None = None
    """None: it was not asked, because it is not needed."""
    engine_is_here: bool = False
    """Whether the engine runs on this machine's kernel."""

    @property
    def way(self) -> Way:
        """How images are built with it."""
        if self.builder is None:
            return "classic"
        if self.builder.driver != "docker" or (self.engine is not None and self.engine.holds_index):
            return "native"
        return "docker-driver"

    @property
    def pushes_by_digest(self) -> bool:
        """Whether it can push without a tag; with the docker driver buildx cannot ("push-by-digest is currently not implemented")."""
        return self.builder is not None and self.builder.driver != "docker"

    @property
    def default(self) -> Platform | None:
        """What is built when nobody says: the platform of the machine that builds, never that of the client."""
        if self.engine is not None and (self.builder is None or self.builder.driver == "docker"):
            return self.engine.platform
        listed = [node.platforms[0] for node in self.builder.nodes if node.platforms] if self.builder else []
        return listed[0] if listed else None

    def notes(self) -> tuple[str, ...]:
        """Sentences for the plan: which way, and why."""
        engine = str(self.engine) if self.engine else ""
        if self.builder is None:
            lacks = "has no BuildKit front end" if self.engine and self.engine.name != "docker" else "has no buildx plugin"
            return (f"{engine} {lacks}: the classic builder, one platform at a time, each pushed beside the next build",)
        called = f"buildx {self.buildx}, builder {self.builder.name!r}"
        if self.way == "docker-driver":
            keeps = f"{called} has the docker driver and {engine} keeps one platform per image"
            other = "a builder made with `docker buildx create --driver docker-container` does all in one call"
            return (f"{keeps}: one platform at a time, each pushed beside the next build; {other}",)
        nodes = "; ".join(
            f"{node.name}: {', '.join(map(str, node.platforms)) or 'platforms not known before it runs'}" for node in self.builder.nodes
        )
        store = f" on {engine} with containerd's image store" if self.builder.driver == "docker" else ""
        pushed = "pushed by digest" if self.pushes_by_digest else "pushed under a staging tag"
        return (f"{called} ({self.builder.driver} driver{store}) builds several platforms in one call, {pushed}; {nodes}",)

    def machines(self, here: BuildMachine | None) -> tuple[BuildMachine, ...]:
        """Whatever builds, and whose programs it runs.

        Args:
            here: This machine with its emulators; None: not known.
        """
        if self.builder is not None:
            found: list[BuildMachine] = []
            for node in self.builder.nodes:
                name = f"node {node.name!r} of builder {self.builder.name!r}"
                if node.platforms:
                    found.append(BuildMachine.from_platforms(node.platforms, name=name))
                if here is not None and (self.engine_is_here if self.builder.driver == "docker" else node.endpoint.startswith("unix://")):
                    found.append(here)  # an emulator registered after BuildKit started is not in its list
            return tuple(found)
        if here is not None and self.engine_is_here:
            return (here,)
        return (BuildMachine(self.engine.platform, complete=False, name=f"the engine {self.engine}"),) if self.engine else ()

    def build_platform(self, target: Platform) -> Platform | None:
        """The own platform of the node that would build for a target (``BUILDPLATFORM``); None: not known.

        buildx gives a platform to a node that lists it, those whose own it is first.
        """
        nodes = [node.platforms for node in self.builder.nodes if node.platforms] if self.builder else []
        own = [platforms[0] for platforms in nodes if target.runs_on(platforms[0])]
        listed = [platforms[0] for platforms in nodes if any(target.runs_on(one) for one in platforms)]
        return next(iter([*own, *listed, *(platforms[0] for platforms in nodes)]), self.default)


def buildx_version(text: str) -> str:
    """The version in what ``docker buildx version`` prints; empty where it does not say one."""
    found = re.search(r"\bv?(\d+\.\d+\.\d+\S*)", text)
    return found.group(1) if found else ""


def too_old(version: str) -> bool:
    """Whether a buildx is older than :data:`OLDEST_BUILDX`; one that does not say its version is not."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found.group(1)), int(found.group(2))) < OLDEST_BUILDX


def pushed_digest(lines: Sequence[str]) -> str | None:
    """The digest in what ``docker push`` prints: ``TAG: digest: sha256:… size: N``."""
    for line in reversed(lines):
        if (found := re.search(r"\bdigest: (sha256:[0-9a-f]{64})\b", line)) is not None:
            return found.group(1)
    return None
