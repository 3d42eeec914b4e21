"""A ko that exists only in a test: it does what its command line says, or lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from archkit.testing import FakeRunner, ImageFactory
from archkit.testing.processes import Answer, Call

IMPORT_PATH = "example.test/app/cmd/web"


@attrs.define
class Ko:
    """What the ko of a test does."""

    runner: FakeRunner
    images: ImageFactory
    folder: Path
    delivers: str | None = None
    """Platforms that it delivers whatever it is asked for; None: those asked for."""
    elf: dict[str, str] | None = None
    """By platform, the CPU that its program is for; None: the platform's."""
    instead: Callable[[Call], Answer] | None = None
    """What a build does instead of pushing."""
    before_push: Callable[[Call], None] = attrs.field(default=lambda _: None)
    after_push: Callable[[Call], None] = attrs.field(default=lambda _: None)

    def build(self, call: Call) -> Answer:
        """Push what the command line says, or the lie."""
        platforms = self.delivers or next(word for word in call.command if word.startswith("--platform=")).partition("=")[2]
        tag = next(word for word in call.command if word.startswith("--tags=")).partition("=")[2]
        self.before_push(call)
        name = f"{call.env['KO_DOCKER_REPO']}:{tag}"
        pushed = self.images.push(name, platforms.split(","), elf=self.elf)
        self.after_push(call)
        log = [f"2026/11/24 14:07:10 Building {IMPORT_PATH} for {platform}" for platform in platforms.split(",")]
        return Answer(f"{name}@{pushed.digest}\n", "\n".join(log) + "\n")

    def act(self, call: Call) -> Answer:
        """Build, or what the test wants instead."""
        return self.instead(call) if self.instead else self.build(call)

    @property
    def builds(self) -> list[Call]:
        """The builds that were run."""
        return [call for call in self.runner.calls if call.command[:2] == ("ko", "build")]
