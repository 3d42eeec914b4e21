"""The local engine through Docker's client (or podman's): what is there, and its images. The only importer of python_on_whales.

python-on-whales gives the client's command line and the types of its answers; the commands run through the Runner,
because its own calls have no time limit and cannot be cancelled.
"""

from __future__ import annotations

import json
import platform as machine
import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import attrs

from archkit.adapters.process import ProcessRunner, environment
from archkit.errors import CommandError, ToolNotFoundError, ToolTooOldError
from archkit.model.engine import EngineImage, EngineInfo
from archkit.model.frozen import one_or_more
from archkit.model.oci import DOCKER_LIST, OCI_INDEX
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.docker import OLDEST_BUILDX, BuilderFacts, DockerFacts, buildx_version, too_old
from archkit.ports.runner import Completed, Runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archkit.model.reference import ImageReference
    from archkit.ports.engine import Engine

_PROBE_SECONDS = 60.0
_LOAD_SECONDS = 1800.0
_ANSWER_LIMIT = 8 << 20
"""Bytes of an answer that are read."""
_COMMON = tuple(
    Platform.parse(f"linux/{cpu}") for cpu in ("amd64", "arm64", "arm/v7", "arm/v6", "386", "ppc64le", "riscv64", "s390x", "loong64")
)
"""Platforms that an image of several is asked for, beside the one that the engine shows."""
_GET = {
    "docker": 'install Docker\'s client (https://docs.docker.com/engine/install/), or name another with client_call=, such as ["podman"]',
    "podman": "install podman (https://podman.io/docs/installation)",
}


@attrs.frozen
class DockerEngine:
    """A local engine, for :class:`archkit.EngineSink` and for what Docker builds.

    Raises:
        ToolNotFoundError: There is no such client; raised by the first call.
        BuildError, CommandError: The engine does not answer.
    """

    host: str | None = attrs.field(default=None, kw_only=True)
    """The engine's address, such as ``unix:///run/docker.sock``; None: what the client is set to (DOCKER_HOST, context)."""
    context: str | None = attrs.field(default=None, kw_only=True)
    """A docker context."""
    client_call: tuple[str, ...] = attrs.field(default=("docker",), converter=one_or_more, kw_only=True)
    """The client's program and first arguments."""
    runner: Runner = attrs.field(factory=ProcessRunner, kw_only=True, repr=False, eq=False)
    cancel: threading.Event | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)

    @property
    def kind(self) -> str:
        """``docker``, ``podman`` or whatever else the client is called."""
        name = self.client_call[0].replace("\\", "/").rpartition("/")[2]
        return "podman" if name.startswith("podman") else "docker" if name.startswith("docker") else name

    def command(self) -> list[str]:
        """The client's command line, as python-on-whales configures it; the Runner looks for the program."""
        from python_on_whales import ClientNotFoundError, DockerClient

        try:
            client = DockerClient(host=self.host, context=self.context, client_call=[*self.client_call])
            return [self.client_call[0], *map(str, client.client_config.docker_cmd[1:])]
        except ClientNotFoundError:  # the Runner says so, if it is none that only pretends to start programs
            given = (("--context", self.context), ("--host", self.host))
            return [*self.client_call, *(word for flag, value in given if value is not None for word in (flag, value))]

    # ---- what is there -------------------------------------------------------------------------------------------

    def facts(self, builder: str | None = None) -> DockerFacts:
        """What images can be built with here.

        Args:
            builder: A buildx builder; None: the one that the client uses.

        Raises:
            ToolNotFoundError, ToolTooOldError: There is no client, or the buildx plugin is too old.
            CommandError: There is no such builder, or the engine does not answer.
        """
        version = None if self.kind == "podman" else self._buildx()
        if version is None:
            if builder is not None:
                raise CommandError((*self.client_call, "buildx"), 1, "unknown command: docker buildx")
            info, here = self._info()
            return DockerFacts(engine=info, engine_is_here=here)
        found = BuilderFacts.parse(self._ask("buildx", "inspect", *([builder] if builder else [])))
        if found.driver != "docker":
            return DockerFacts(version, found)
        info, here = self._info()
        return DockerFacts(version, found, info, here)

    def machine(self) -> DockerFacts:
        """The engine alone, for tools that use it without buildx.

        Raises:
            ToolNotFoundError: There is no client.
            CommandError: The engine does not answer.
        """
        info, here = self._info()
        return DockerFacts(engine=info, engine_is_here=here)

    def info(self) -> EngineInfo:
        """See :meth:`archkit.ports.engine.Engine.info`."""
        return self._info()[0]

    def _info(self) -> tuple[EngineInfo, bool]:
        """The engine, and whether it runs on this machine's kernel."""
        if self.kind == "podman":
            fields = json.loads(self._ask("info", "--format", "json"))
            host, version = fields["host"], fields.get("version", {})
            own = Platform.from_oci({"os": host["os"], "architecture": host["arch"]})
            return EngineInfo("podman", str(version.get("Version", "")), own), self._is_here(host.get("kernel"))
        from python_on_whales.components.system.models import SystemInfo

        found = SystemInfo(**json.loads(self._ask("info", "--format", "{{json .}}")))
        if not found.server_version:
            raise CommandError((*self.client_call, "info"), 1, "Cannot connect to the Docker daemon")
        own = Platform.parse(f"{found.os_type or 'linux'}/{found.architecture}")
        store = any("io.containerd.snapshotter" in value for pair in found.driver_status or [] for value in pair)
        return EngineInfo(self.kind, found.server_version, own, store), self._is_here(found.kernel_version)

    @staticmethod
    def _is_here(kernel: str | None) -> bool:
        return sys.platform == "linux" and kernel == machine.release()

    def _buildx(self) -> str | None:
        """Version of the buildx plugin; None where there is none."""
        done = self._run("buildx", "version", check=False)
        if done.status:
            return None
        version = buildx_version(done.output)
        if too_old(version):
            remedy = "install a newer buildx plugin (https://github.com/docker/buildx)"
            raise ToolTooOldError("buildx", version, ".".join(map(str, OLDEST_BUILDX)), remedy)
        return version or "of unknown version"

    # ---- its images -----------------------------------------------------------------------------------------------

    def find(self, reference: ImageReference) -> EngineImage | None:
        """See :meth:`archkit.ports.engine.Engine.find`."""
        done = self._run("image", "inspect", str(reference), check=False)
        if done.status:
            if "no such image" in done.messages.lower() or "image not known" in done.messages.lower():
                return None
            raise CommandError(done.command, done.status, done.messages)
        fields: dict[str, Any] = json.loads(done.output)[0]
        found = [_platform(fields)]
        if (fields.get("Descriptor") or {}).get("mediaType") in {OCI_INDEX, DOCKER_LIST}:  # containerd's image store: several platforms
            others = [platform for platform in _COMMON if platform not in found]
            found += [platform for platform in others if self._has(reference, platform)]
        labels = (fields.get("Config") or {}).get("Labels") or {}
        return EngineImage(str(fields.get("Id", "")), PlatformSet(found), labels)

    def _has(self, reference: ImageReference, platform: Platform) -> bool:
        """Whether an image of several platforms is there for this one, not only listed; the client cannot list them."""
        return self._run("image", "inspect", "--platform", str(platform), str(reference), check=False).status == 0

    def load(self, archive: Path) -> None:
        """See :meth:`archkit.ports.engine.Engine.load`."""
        self._run("load", "--input", str(archive), timeout=_LOAD_SECONDS)

    def tag(self, source: ImageReference, target: ImageReference) -> None:
        """See :meth:`archkit.ports.engine.Engine.tag`."""
        self._ask("tag", str(source), str(target))

    def remove(self, reference: ImageReference) -> None:
        """See :meth:`archkit.ports.engine.Engine.remove`."""
        done = self._run("image", "rm", str(reference), check=False)
        if done.status and self.find(reference) is not None:
            raise CommandError(done.command, done.status, done.messages)

    # ---- what tools leave in it ------------------------------------------------------------------------------------

    def remove_abandoned(self, *, label: str, marks: str, volumes: Sequence[str], images: str, seconds: float) -> None:
        """Remove the containers of a tool that was killed, which removes them itself as soon as they have ended.

        Args:
            label: What the tool's containers have, ``name=value``.
            marks: How a volume is called, at its beginning, that only archkit's containers of the tool use.
            volumes: How the volumes are called, at their beginning, that go with such a container.
            images: The same of the image that it was made from.
            seconds: How long ago, by the engine's clock, it must have ended.

        Raises:
            ToolNotFoundError: There is no client.
            CommandError: The engine does not answer.
        """
        ended = self._ask("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}", "--filter", "status=exited").split()
        if not ended:
            return
        now = _time(self._ask("info", "--format", "{{.SystemTime}}"))
        for fields in json.loads(self._run("inspect", *ended, check=False).output or "[]"):  # some may be gone by now
            names = [str(mount.get("Name", "")) for mount in fields["Mounts"] if mount.get("Type") == "volume"]
            if not any(name.startswith(marks) for name in names) or now - _time(fields["State"]["FinishedAt"]) < seconds:
                continue
            self._run("rm", "--force", str(fields["Id"]), check=False)
            for name in names:
                if name.startswith(tuple(volumes)):
                    self._run("volume", "rm", name, check=False)
            if str(fields["Config"]["Image"]).startswith(images):
                self._run("image", "rm", str(fields["Config"]["Image"]), check=False)

    # ---- running --------------------------------------------------------------------------------------------------

    def _ask(self, *words: str) -> str:
        return self._run(*words).output

    def _run(self, *words: str, check: bool = True, timeout: float = _PROBE_SECONDS) -> Completed:
        command = [*self.command(), *words]
        try:
            return self.runner.run(command, env=client_environment(), timeout=timeout, check=check, cancel=self.cancel, limit=_ANSWER_LIMIT)
        except ToolNotFoundError:
            raise ToolNotFoundError(self.client_call[0], _GET.get(self.kind, "")) from None


def _platform(fields: dict[str, Any]) -> Platform:
    names = {"os": "Os", "architecture": "Architecture", "variant": "Variant", "os.version": "OsVersion"}
    return Platform.from_oci({name: fields[key] for name, key in names.items() if fields.get(key)})


def _time(text: str) -> float:
    """Seconds of a time as the engine writes it, whose fractions Python 3.10 cannot read."""
    return datetime.strptime(text.strip()[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


def client_environment(changes: dict[str, str | None] | None = None) -> dict[str, str]:
    """What the client runs with: ours, without what would make it choose platforms by itself."""
    own: dict[str, str | None] = {
        "DOCKER_DEFAULT_PLATFORM": None,
        "DOCKER_CLI_HINTS": "false",
        "BUILDX_METADATA_PROVENANCE": "disabled",  # it would hold the build arguments
        "NO_COLOR": "1",
    }
    return environment({**own, **(changes or {})})


if TYPE_CHECKING:
    _conforms: type[Engine] = DockerEngine
