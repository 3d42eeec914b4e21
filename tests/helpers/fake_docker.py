"""A docker client that does what a test says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from archkit.testing import Answer, FakeRunner, ImageFactory

if TYPE_CHECKING:
    from archkit.testing import Call, CommandRule

INFO: dict[str, Any] = {
    "ServerVersion": "20.10.24",
    "OSType": "linux",
    "Architecture": "x86_64",
    "KernelVersion": "other",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
}
CONTAINERD = {**INFO, "ServerVersion": "29.0.0", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}


@attrs.define
class FakeDocker:
    """The client, an engine with images, and a registry to push to."""

    runner: FakeRunner
    images: ImageFactory
    program: str = "docker"
    local: dict[str, str] = attrs.field(factory=dict)
    """Platform of each image in the engine."""
    lies: dict[str, str] = attrs.field(factory=dict)
    """What is built instead of what was asked."""

    def on(self, *words: Any, **options: Any) -> CommandRule:
        return self.runner.on(self.program, *words, **options)

    def has(self, *, buildx: str = "", builder: str = "", info: dict[str, Any] | None = INFO) -> FakeDocker:
        """What is there: version of buildx, what `buildx inspect` prints, and `docker info`."""
        if buildx:
            self.on("buildx", "version").answer(f"github.com/docker/buildx v{buildx} abc\n").optional()
            self.on("buildx", "inspect", ...).answer(builder).optional()
        else:
            self.on("buildx", "version").answer(stderr="docker: unknown command: docker buildx\n", status=1).optional()
        if info is None:
            message = "ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n"
            self.on("info", ...).answer("{}", message, status=1).optional()
        else:
            self.on("info", ...).answer(json.dumps(info)).optional()
        return self

    def builds(self, *way: str) -> CommandRule:
        """`docker build` leaves an image in the engine."""
        return self.on(*way, ...).do(self.build)

    def inspects_and_pushes(self) -> None:
        self.on("image", "inspect", ...).do(self._inspect).optional()
        self.on("push", ...).do(self.push).optional()

    def names(self) -> None:
        """`docker tag` and `docker image rm`."""

        def tag(call: Call) -> None:
            self.local[call.command[-1]] = self.local[call.command[-2]]

        def remove(call: Call) -> None:
            del self.local[call.command[-1]]

        self.on("tag", ...).do(tag)
        self.on("image", "rm", ...).do(remove)

    def build(self, call: Call) -> None:
        platform = call.command[call.command.index("--platform") + 1]
        self.local[call.command[call.command.index("--tag") + 1]] = self.lies.get(platform, platform)

    def _inspect(self, call: Call) -> Answer:
        found = self.local.get(call.command[-1])
        if found is None:
            return Answer("[]", "Error: No such image: x\n", 1)
        system, _, cpu = found.partition("/")
        return Answer(json.dumps([{"Id": "sha256:" + "1" * 64, "Os": system, "Architecture": cpu}]))

    def push(self, call: Call) -> Answer:
        reference = call.command[-1]
        pushed = self.images.push(reference, [self.local[reference]])
        return Answer(f"v1: digest: {pushed.digest} size: 1\n")

    def builds_natively(self) -> CommandRule:
        """`docker buildx build` pushes an index by digest and says which."""

        def build(call: Call) -> None:
            platforms = call.command[call.command.index("--platform") + 1].split(",")
            found = re.search(r"name=([^,]+)", call.command[call.command.index("--output") + 1])
            assert found is not None
            name = found.group(1)
            tagged = ":" in name.rpartition("/")[2]
            pushed = self.images.push(name if tagged else f"{name}:by-digest", [self.lies.get(one, one) for one in platforms], index=True)
            metadata = Path(call.command[call.command.index("--metadata-file") + 1])
            metadata.write_text(json.dumps({"containerimage.digest": str(pushed.digest)}))

        return self.on("buildx", "build", ...).do(build)
