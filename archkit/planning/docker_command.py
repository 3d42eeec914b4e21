"""The command lines of Docker builds. Pure.

Values never stand on a command line where it can be helped, since everybody on a machine can read those: build
arguments and secrets go through the client's environment (``--build-arg NAME``, ``--secret id=…,env=…``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.model.secret import Secret
from archkit.planning.go_csv import csv_field
from archkit.planning.handed_values import flags, handed, refuse_exposed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.platform import Platform
    from archkit.model.platform_set import PlatformSet

Form = Literal["buildx", "classic", "podman"]


@attrs.frozen
class DockerOptions:
    """What a caller wants of a build, whatever builds it."""

    file: Path
    target: str
    build_args: Mapping[str, str]
    secrets: Mapping[str, str | Path]
    ssh: tuple[str, ...]
    cache_from: tuple[str, ...]
    cache_to: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    provenance: bool | str | None
    sbom: bool | str | None
    network: str
    pull: bool

    def needs_buildkit(self) -> tuple[str, ...]:
        """The options that only BuildKit knows, by name."""
        wanted = {
            "secrets": self.secrets,
            "ssh": self.ssh,
            "cache_to": self.cache_to,
            "annotations": self.annotations,
            "provenance": self.provenance,
            "sbom": self.sbom,
        }
        return tuple(name for name, value in wanted.items() if value)

    def needs_exporter(self) -> tuple[str, ...]:
        """The options whose result an engine with one platform per image cannot keep, by name."""
        wanted = {"annotations": self.annotations, "provenance": self.provenance, "sbom": self.sbom}
        return tuple(name for name, value in wanted.items() if value)

    def environment(self) -> dict[str, str]:
        """What goes through the client's environment."""
        found = handed(self.build_args)
        found |= {name: Secret(value) for name, (_, value) in self._secret_values().items()}
        return found

    def refuse_exposed(self, image: str) -> None:
        """Refuse a secret that would have to stand on the command line.

        Raises:
            BuildError: A build argument that is a ``Secret``, or called like one, has a name that the client itself looks at.
        """
        refuse_exposed(image, "build argument", self.build_args, "mount it instead, with secrets={...} and RUN --mount=type=secret")

    def words(self, platforms: PlatformSet, form: Form) -> list[str]:
        """The options on the command line, platforms first."""
        words = ["--platform", str(platforms)]
        if self.pull:
            words.append("--pull=always" if form == "podman" else "--pull")
        words += ["--file", str(self.file)]
        if self.target:
            words += ["--target", self.target]
        words += self._given()
        for flag, values in (("--ssh", self.ssh), ("--cache-from", self.cache_from), ("--cache-to", self.cache_to)):
            for value in values:
                words += [flag, _for_platforms(value, list(platforms))]
        for flag, texts in (("--label", self.labels), ("--annotation", self.annotations)):
            for name, value in texts.items():
                words += [flag, f"{name}={value}"]
        if self.network:
            words += ["--network", self.network]
        if form == "buildx":
            words += ["--progress", "plain", f"--provenance={_choice(self.provenance)}"]
            if self.sbom:
                words.append(f"--sbom={_choice(self.sbom)}")
        elif form == "classic":
            words.append("--force-rm")  # no container of a step that failed is left
        return words

    def _given(self) -> list[str]:
        """Build arguments and secrets."""
        words: list[str] = []
        words += flags("--build-arg", self.build_args)
        for variable, (identity, _) in self._secret_values().items():
            words += ["--secret", f"id={identity},env={variable}"]
        for identity, source in self.secrets.items():
            if isinstance(source, Path):
                words += ["--secret", _csv(f"id={identity}", f"src={source}")]
        return words

    def _secret_values(self) -> dict[str, tuple[str, str]]:
        values = [(identity, source) for identity, source in self.secrets.items() if not isinstance(source, Path)]
        return {f"ARCHKIT_SECRET_{number}": pair for number, pair in enumerate(values)}


def image_output(name: str, *, by_digest: bool = True) -> list[str]:
    """Push to a repository by digest, without any tag; or under the tag in the name. An engine keeps no name of it."""
    how = "push-by-digest=true,name-canonical=true" if by_digest else "store=false"
    return ["--output", f"type=image,name={name},push=true,{how}"]


def layout_output(folder: Path) -> list[str]:
    """Write an OCI layout."""
    return ["--output", _csv("type=oci", f"dest={folder}", "tar=false")]


def _for_platforms(text: str, platforms: Sequence[Platform]) -> str:
    """A cache's address with ``{platform}`` filled in, such as ``linux_arm64``."""
    return text.replace("{platform}", "-".join(platform.tag_suffix for platform in platforms))


def _csv(*fields: str) -> str:
    """Fields of one value."""
    return ",".join(map(csv_field, fields))


def _choice(value: bool | str | None) -> str:
    return value if isinstance(value, str) else "true" if value else "false"
