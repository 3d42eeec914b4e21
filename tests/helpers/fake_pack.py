"""A pack that exists only in a test: it does what its command line says, or lies; and the images that it works with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from fake_docker import INFO, FakeDocker

from archkit.errors import ToolNotFoundError
from archkit.model.build import BuildResult
from archkit.model.reference import ImageReference
from archkit.testing import EmbeddedRegistry, ImageFactory
from archkit.testing.processes import Answer, Call

BOTH = "linux/amd64,linux/arm64"
Run = Callable[..., BuildResult]
"""Builds `web` with the options of a BuildpacksBuilder."""
LABEL = "io.buildpacks.builder.metadata"


def metadata(run: str, **more: Any) -> str:
    """What the label of a builder image says."""
    fields = {
        "buildpacks": [{"id": "archkit/hello", "version": "0.0.1"}],
        "stack": {"runImage": {"image": run, "mirrors": None}},
        "images": [{"image": run, "mirrors": None}],
        "lifecycle": {"version": "0.20.5"},
    }
    return json.dumps({**fields, **more})


@attrs.define
class Pack:
    """What the pack of a test does."""

    docker: FakeDocker
    images: ImageFactory
    registry: EmbeddedRegistry
    version: str = "0.38.2+git-0000000.build-1"
    trusts: str = "Trusted Builders:\n  heroku/builder:24\n"
    delivers: str | None = None
    """The platform that it delivers whatever it is asked for; None: that of the builder image that it is given."""
    instead: Callable[[Call], Answer] | None = None
    """What a build does instead."""
    installed: bool = True
    info: Answer | None = attrs.field(factory=lambda: Answer(json.dumps(INFO)))
    """What `docker info` says; None: there is no docker client."""
    ended: list[dict[str, Any]] = attrs.field(factory=list)
    """Containers of pack that have ended and are still there, as `docker inspect` tells."""
    removed: list[str] = attrs.field(factory=list)
    """What `docker rm`, `docker volume` and `docker image` were asked to remove of it."""
    labels: dict[str, str] = attrs.field(factory=dict)
    """Of the images that the engine has."""

    def there(self) -> None:
        """pack and an engine are installed; the registry has builder, run and lifecycle images for both platforms."""
        run = f"{self.registry.host}/run:1"
        self.images.push("builder:1", BOTH, labels={LABEL: metadata(run)})
        for name in ("run:1", "lifecycle:0.20.5"):
            self.images.push(name, BOTH)
        runner = self.docker.runner
        runner.on("docker", ..., "info", "--format", "{{.SystemTime}}").answer("2026-11-24T20:00:00.123456789Z\n").optional()
        runner.on("docker", ..., "info", ...).do(self._info).optional()
        runner.on("docker", ..., "ps", ...).do(lambda _: self._listed()).optional()
        runner.on("docker", "inspect", ...).do(lambda _: Answer(json.dumps(self.ended))).optional()
        runner.on("docker", re.compile("rm|volume"), ...).do(lambda call: self.removed.append(" ".join(call.command[1:]))).optional()
        runner.on("docker", "image", "inspect", ...).do(self._inspect).optional()
        runner.on("docker", re.compile("tag|image"), ...).do(self._names).optional()
        runner.on("pack", "version", ...).do(self._version).optional()
        runner.on("pack", "config", "trusted-builders", "list", ...).do(lambda _: Answer(self.trusts)).optional()
        runner.on("pack", "build", ...).do(self.act).optional()

    def _listed(self) -> Answer:
        if self.info is None:
            raise ToolNotFoundError("docker")
        return Answer("".join(f"{one['Id']}\n" for one in self.ended))

    def _version(self, _: Call) -> Answer:
        if not self.installed:
            raise ToolNotFoundError("pack")
        return Answer(f"{self.version}\n")

    def _info(self, _: Call) -> Answer:
        if self.info is None:
            raise ToolNotFoundError("docker")
        return self.info

    def _inspect(self, call: Call) -> Answer:
        found = self.docker.local.get(call.command[-1])
        if found is None:
            return Answer("[]", "Error: No such image: x\n", 1)
        system, _, cpu = found.partition("/")
        return Answer(json.dumps([{"Id": "x", "Os": system, "Architecture": cpu, "Config": {"Labels": self.labels or None}}]))

    def _names(self, call: Call) -> None:
        if call.command[1] == "tag":
            self.docker.local[call.command[-1]] = self.docker.local[call.command[-2]]
        elif self.docker.local.pop(call.command[-1], None) is None:
            self.removed.append(" ".join(call.command[1:]))

    def act(self, call: Call) -> Answer:
        """Build, or what the test wants instead."""
        return self.instead(call) if self.instead else self.build(call)

    def build(self, call: Call) -> Answer:
        """Push or keep what the builder image's platform is, as pack does, whatever was asked for."""
        name, builder = call.command[2], after(call, "--builder")
        reference = ImageReference.parse(builder)
        platform = self.delivers
        if platform is None and reference.digest:
            (platform,) = map(str, self.registry.platforms(reference) or ())
        platform = platform or self.docker.local[builder]
        if "--publish" in call.command:
            pushed = self.images.push(name, [platform])
            report = f'[image]\ntags = ["{name}"]\ndigest = "{pushed.digest}"\nmanifest-size = 1\n'
        else:
            self.docker.local[name] = platform
            report = f'[image]\ntags = ["{name}"]\nimage-id = "0"\n'
        Path(after(call, "--report-output-dir"), "report.toml").write_text(report)
        return Answer(f"===> BUILDING\nSuccessfully built image '{name}'\n")

    @property
    def builds(self) -> list[Call]:
        """The builds that were run."""
        return [call for call in self.docker.runner.calls if call.command[:2] == ("pack", "build")]


def after(call: Call, flag: str) -> str:
    """The word behind a flag."""
    return call.command[call.command.index(flag) + 1]
