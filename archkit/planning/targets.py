"""Which platforms to build for: what the caller asked, the cluster, what can be built, and the mode, in that order."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from archkit.errors import TargetsError
from archkit.model.finding import Finding
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.model.cluster import Cluster


class Mode(Enum):
    """What the build is for; it decides whether the cluster narrows a request, and whether one platform is enough."""

    BUILD = "build"
    """Images for any cluster: a request is built as it stands."""
    RENDER = "render"
    """Manifests for any cluster: as BUILD."""
    RUN = "run"
    """Onto this cluster: a request is narrowed to what the cluster has."""
    DEV = "dev"
    """As RUN, with one platform only: the build has to be quick."""
    DEBUG = "debug"
    """As DEV."""

    @property
    def one_platform(self) -> bool:
        """Whether one platform is built, however many there are."""
        return self in {Mode.DEV, Mode.DEBUG}

    @property
    def narrows_to_cluster(self) -> bool:
        """Whether what was requested is narrowed by the cluster."""
        return self in {Mode.RUN, Mode.DEV, Mode.DEBUG}


@attrs.frozen
class Targets:
    """The platforms to build for, and how that was decided."""

    platforms: PlatformSet | None
    """In the caller's order, or sorted where the cluster decided; None: the builder's own default."""
    reasons: tuple[str, ...] = ()
    """Sentences, in the order of the decisions."""
    findings: tuple[Finding, ...] = ()
    requested: bool = False
    """Whether somebody asked for these platforms (a request is refused where a mere preference would shrink)."""

    def explain(self) -> str:
        """The targets, the reasons and the findings, a line each."""
        names = "the builder's default" if self.platforms is None else str(self.platforms).replace(",", ", ")
        lines = [f"targets: {names}", *(f"  {reason}" for reason in self.reasons), *(f"  {finding}" for finding in self.findings)]
        return "\n".join(lines)


def resolve_targets(
    *,
    requested: PlatformSet | str | Iterable[Platform | str] | None = None,
    supported: PlatformSet | str | Iterable[Platform | str] | None = None,
    cluster: Cluster | None = None,
    host: Platform | None = None,
    mode: Mode = Mode.RUN,
    can_hold_index: bool = True,
) -> Targets:
    """The platforms to build for.

    Args:
        requested: What somebody asked for; None: nobody did.
        supported: What the artifact and its builder can be built for: a constraint, never an override. None: unknown.
        cluster: Where it will run; None: not known.
        host: What this machine's containers run; None: ``Platform.host()``.
        mode: DEV and DEBUG end with one platform; BUILD and RENDER do not narrow a request by the cluster.
        can_hold_index: Whether there is a place for a result of several platforms.

    Returns:
        Targets in the order of the request, or sorted by text where the cluster decided.

    Raises:
        PlatformSyntaxError: A text is no platform.
        TargetsError: An empty set was requested, nothing requested can be built, or several platforms were
            requested and no place can hold them.
    """
    wanted = None if requested is None else PlatformSet.parse(requested)
    possible = None if supported is None else PlatformSet.parse(supported)
    if possible is not None and possible.is_all:
        possible = None
    if wanted is not None and not wanted:
        raise TargetsError("an empty set of platforms was requested", "", "", "leave `requested` out to have no preference")
    decision = _Decision(wanted, asked=wanted is not None, supported=possible, cluster=cluster, host=host, mode=mode)
    decision.start()
    decision.narrow_by_cluster()
    decision.narrow_by_support()
    decision.shrink_to_one(can_hold_index=can_hold_index)
    return decision.targets()


def narrow_targets(
    targets: Targets,
    *,
    supported: PlatformSet | None = None,
    host: Platform | None = None,
    mode: Mode = Mode.BUILD,
    can_hold_index: bool = True,
) -> Targets:
    """Targets that were decided for all artifacts, narrowed to what one of them can be built for.

    Raises:
        TargetsError: As :func:`resolve_targets`.
    """
    possible = None if supported is None or supported.is_all else supported
    decision = _Decision(targets.platforms, asked=targets.requested, supported=possible, cluster=None, host=host, mode=mode)
    decision.reasons += targets.reasons
    decision.findings += targets.findings
    decision.narrow_by_support()
    decision.shrink_to_one(can_hold_index=can_hold_index)
    return decision.targets()


class _Decision:
    """One run through the rules; every step says what it did."""

    def __init__(
        self,
        platforms: PlatformSet | None,
        *,
        asked: bool,
        supported: PlatformSet | None,
        cluster: Cluster | None,
        host: Platform | None,
        mode: Mode,
    ) -> None:
        self.platforms, self.asked = platforms, asked
        self.supported, self.cluster, self.mode = supported, cluster, mode
        self._host = host
        self.reasons: list[str] = []
        self.findings: list[Finding] = []

    @property
    def host(self) -> Platform:
        if self._host is None:
            self._host = Platform.host()
        return self._host

    def targets(self) -> Targets:
        return Targets(self.platforms, tuple(self.reasons), tuple(self.findings), self.asked)

    def start(self) -> None:
        if self.platforms is not None:
            self.reasons.append(f"{_names(self.platforms)} requested")
            return
        if self.cluster is None:
            return
        if not self.cluster.platforms:
            if not (self.cluster.nodes or self.cluster.pools):
                hint = "declare the pools that will bring nodes, or request platforms"
                self.findings.append(
                    Finding.of("no-nodes", "the cluster has no nodes and no pools are declared", self.cluster.source, hint)
                )
            self.reasons.append("the cluster tells no platform: it has no node that ordinary pods may run on")
            return
        self.platforms = self._without_windows_by_chance(self.cluster.platforms)
        self.reasons.append(f"the cluster has {_names(self.platforms)}" + self._counts(self.platforms))
        if self.cluster.open_ended:
            pools = ", ".join(pool.name for pool in self.cluster.pools if pool.open_ended)
            message = f"nodes of other platforms may come at any time ({pools}); only those seen or declared are built for"
            self.findings.append(Finding.of("cluster-open-ended", message, self.cluster.source, "request platforms to be sure"))

    def _without_windows_by_chance(self, found: PlatformSet) -> PlatformSet:
        """One Windows node must not change a build of Linux images."""
        others = PlatformSet(platform for platform in found if platform.os != "windows")
        named = self.supported is not None and any(platform.os == "windows" for platform in self.supported)
        if named or not others or len(others) == len(found):
            return found
        left_out = PlatformSet(platform for platform in found if platform.os == "windows")
        self.reasons.append(f"{_names(left_out)} left out: nothing says that this can be built for Windows")
        return others

    def _counts(self, platforms: PlatformSet) -> str:
        counts = [f"{self.cluster.count(platform)} x {platform}" for platform in platforms] if self.cluster else []
        return f" (nodes: {', '.join(counts)})" if counts else ""

    def narrow_by_cluster(self) -> None:
        requested = self.platforms
        if not self.asked or requested is None or self.cluster is None:
            return
        if not self.mode.narrows_to_cluster or not self.cluster.platforms:
            return
        if self.cluster.open_ended:
            self.reasons.append("the request is not narrowed by the cluster: nodes of other platforms may come")
            return
        if requested.is_all:
            self.platforms = self.cluster.platforms
            self.reasons.append(f"of all platforms the cluster has {_names(self.platforms)}")
            return
        available = {platform.os_arch for platform in self.cluster.platforms}
        kept = PlatformSet(platform for platform in requested if platform.os_arch in available)
        if not kept:
            message = f"{_names(requested)} was requested, the cluster has {_names(self.cluster.platforms)}"
            hint = "pods will not find a node unless such nodes come, or the nodes emulate"
            self.findings.append(Finding.of("requested-not-in-cluster", message, self.cluster.source, hint))
            self.reasons.append("no requested platform is in the cluster; the request is kept as it stands")
            return
        for platform in requested:
            if platform not in kept:
                message = f"{platform} was requested, no node of the cluster has it"
                self.findings.append(
                    Finding.of("requested-dropped", message, self.cluster.source, "use Mode.BUILD to build for any cluster")
                )
        if len(kept) < len(requested):
            self.reasons.append(f"narrowed to {_names(kept)} by the cluster, which has {_names(self.cluster.platforms)}")
        self.platforms = kept

    def narrow_by_support(self) -> None:
        if self.supported is None:
            return
        if not self.supported:
            raise TargetsError("the artifact and its builder have no platform in common", str(self.platforms or ""), "")
        if self.platforms is None:
            return
        if self.platforms.is_all:
            self.platforms = self.supported
            self.reasons.append(f"of all platforms {_names(self.supported)} can be built")
            return
        same = _asked if self.asked else _same_node
        kept = PlatformSet(able for platform in self.platforms for able in self.supported if same(platform, able))
        if not kept:
            who = "requested" if self.asked else "in the cluster"
            raise TargetsError(
                f"{_names(self.platforms)} {who}, but only {_names(self.supported)} can be built",
                str(self.platforms),
                str(self.supported),
                "request one of these, or widen the artifact's `platforms`",
            )
        dropped = [platform for platform in self.platforms if not any(same(platform, able) for able in kept)]
        if dropped:
            self.reasons.append(f"narrowed to {_names(kept)}: {_names(self.supported)} can be built")
        if self.asked:
            for platform in dropped:
                message = f"{platform} was requested, only {_names(self.supported)} can be built"
                self.findings.append(
                    Finding.of("requested-dropped", message, "", "widen the artifact's `platforms` or use another builder")
                )
        self.platforms = kept

    def shrink_to_one(self, *, can_hold_index: bool) -> None:
        if self.platforms is None:
            if self.mode.one_platform:
                self.platforms = PlatformSet([self._preferred(self.supported or PlatformSet([self.host]))])
                self.reasons.append(f"nothing else is known: {_names(self.platforms)} for {self.mode.value}")
            else:
                self.reasons.append("nothing was requested and no cluster says: the builder's own default")
            return
        if not self.platforms.is_all and len(self.platforms) == 1:
            return
        if self.mode.one_platform:
            several, self.platforms = self.platforms, PlatformSet([self._preferred(self.platforms)])
            self.reasons.append(f"{self.mode.value} builds one platform: {self._why_preferred(several)}")
        elif not can_hold_index and self.asked:
            raise TargetsError(
                f"{_names(self.platforms)} requested, but there is nowhere to put an image of several platforms",
                str(self.platforms),
                "",
                "push to a registry or write an OCI layout, or request one platform",
            )
        elif not can_hold_index:
            several, self.platforms = self.platforms, PlatformSet([self._preferred(self.platforms)])
            self.reasons.append(f"nowhere to put an image of several platforms: {self._why_preferred(several)}")

    def _preferred(self, platforms: PlatformSet) -> Platform:
        if platforms.is_all or self.host in platforms:
            return self.host
        running = [platform for platform in platforms if platform.os_arch == self.host.os_arch and platform.runs_on(self.host)]
        return running[0] if running else next(iter(platforms))

    def _why_preferred(self, platforms: PlatformSet) -> str:
        chosen = self._preferred(platforms)
        return f"{chosen}, as this machine has" if chosen.os_arch == self.host.os_arch else f"{chosen}, the first of {_names(platforms)}"


def _asked(platform: Platform, able: Platform) -> bool:
    return able.satisfies(platform)


def _same_node(platform: Platform, able: Platform) -> bool:
    """Whether ``able`` is for nodes of this platform, which have no variant."""
    return platform.os_arch == able.os_arch


def _names(platforms: PlatformSet) -> str:
    return str(platforms).replace(",", ", ") if platforms else "nothing"
