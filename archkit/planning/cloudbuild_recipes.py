"""The steps that Cloud Build runs for each kind of source. Pure.

A ``$`` in a step is one that the program in the step gets to see, unless it is in the name of a declared substitution;
:mod:`archkit.planning.cloudbuild` writes it as Cloud Build wants it. ``/workspace``, the engine of the build machine and
``$HOME`` outlive a step; what a step writes to ``$BUILDER_OUTPUT/output`` comes back in ``results.buildStepOutputs``.

Sources: the reference of the Build resource and of its configuration file; Skaffold's requests (``pkg/skaffold/build/gcb``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts, one_or_more
from archkit.model.platform import Platform
from archkit.model.reference import Digest
from archkit.planning.jib import PLUGIN_VERSION, PROGRAMS, WRAPPERS, Tool, choose_tool, gradle, maven, properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import ImageReference

MACHINE = Platform("linux", "amd64")
"""What Cloud Build's machines are. Source: its reference of ``machineType``."""
EMULATED = ("386", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x")
"""CPUs of the emulators in :data:`BINFMT`, in Go's spelling."""
BINFMT = "docker.io/tonistiigi/binfmt:qemu-v8.1.5"
DOCKER = "gcr.io/cloud-builders/docker"

_RESULT = "/tmp/archkit-result"  # noqa: S108 - in the container of a step, which is alone in it
_AND_TELL = f'"$@" && cp {_RESULT} "$BUILDER_OUTPUT/output"'
"""A shell's program: run the arguments, and hand what they left in a file to Cloud Build."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@attrs.frozen
class Source:
    """What is known of the source folder."""

    names: frozenset[str] = frozenset()
    """What is directly in it."""
    has_jib: bool = False
    """Whether its POM names jib's plugin."""


@attrs.frozen
class Steps:
    """What a build does."""

    steps: tuple[Mapping[str, Any], ...]
    images: tuple[str, ...] = ()
    """What Cloud Build itself pushes from the machine's engine when the steps are done."""
    tells: bool = False
    """Whether the last step hands over what it pushed."""


@attrs.frozen(kw_only=True)
class DockerRecipe:
    """A Dockerfile: all platforms by one BuildKit, or each by a build of its own."""

    dockerfile: str = "Dockerfile"
    """The file, from the artifact's folder."""
    target: str = ""
    """The stage to build; empty: the last."""
    build_args: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """They stand in the request, which everybody who may see the project's builds can read."""
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    per_platform: bool = False
    """True: one build for each platform, at the same time, on machines of their own; archkit stitches."""
    image: str = DOCKER
    """The image of the steps; it has Docker's client with buildx, and ``sh``."""
    binfmt: str = BINFMT
    """The image that registers emulators, when there is something to emulate."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return "docker"

    @property
    def native(self) -> bool:
        """Whether one build makes all the platforms."""
        return not self.per_platform

    @property
    def base(self) -> str | None:
        """Bases stand in the Dockerfile."""
        return None

    def steps(self, platforms: PlatformSet, reference: ImageReference, *, emulate: Sequence[str], source: Source) -> Steps:  # noqa: ARG002 - of all recipes
        """The steps that build and, where they are native, push."""
        words = ["--pull", "--platform", str(platforms), "--file", self.dockerfile]
        words += ["--target", self.target] if self.target else []
        for flag, texts in (("--build-arg", self.build_args), ("--label", self.labels)):
            for name, value in texts.items():
                words += [flag, f"{name}={value}"]
        before = _emulators(self.image, self.binfmt, emulate)
        if self.per_platform:
            build = {
                "id": "build",
                "name": self.image,
                "env": ["DOCKER_BUILDKIT=1"],
                "args": ["build", *words, "--tag", str(reference), "."],
            }
            return Steps((*before, build), (str(reference),))
        create = {
            "id": "buildkit",
            "name": self.image,
            "args": ["buildx", "create", "--name", "archkit", "--driver", "docker-container", "--use"],
        }
        command = ["docker", "buildx", "build", *words, "--provenance=false", "--progress", "plain"]
        command += ["--metadata-file", _RESULT, "--tag", str(reference), "--push", "."]
        return Steps((*before, create, {**_telling(self.image, command), "env": ["BUILDX_METADATA_PROVENANCE=disabled"]}), tells=True)


@attrs.frozen(kw_only=True)
class KoRecipe:
    """A Go program, compiled by ko for all platforms; nothing is emulated."""

    main: str = "."
    """The package, from the artifact's folder, such as ``./cmd/web``."""
    base: str | None = None
    """The base image; None: as ``.ko.yaml`` says, or ko's own choice."""
    flags: tuple[str, ...] = attrs.field(default=(), converter=one_or_more)
    """More flags of ``ko build``, such as ``--image-label=team=web``."""
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    version: str = "v0.19.1"
    """ko's."""
    image: str = "docker.io/library/golang:1.26"
    """The image of the step; it has Go and ``sh``."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return "ko"

    @property
    def native(self) -> bool:
        """Whether one build makes all the platforms."""
        return True

    def steps(self, platforms: PlatformSet, reference: ImageReference, *, emulate: Sequence[str], source: Source) -> Steps:  # noqa: ARG002 - of all recipes
        """The step that compiles and pushes."""
        command = ["go", "run", f"github.com/google/ko@{self.version}", "build", self.main, f"--platform={platforms}", "--bare"]
        command += ["--sbom=none", f"--tags={reference.tag}", f"--image-refs={_RESULT}", *self.flags]
        env = {"KO_DOCKER_REPO": reference.name, **({} if self.base is None else {"KO_DEFAULTBASEIMAGE": self.base}), **self.env}
        return Steps(({**_telling(self.image, command), "env": [f"{name}={value}" for name, value in env.items()]},), tells=True)


@attrs.frozen(kw_only=True)
class JibRecipe:
    """A Java program, put on a base for all platforms by jib in Maven or Gradle; nothing is emulated."""

    tool: Tool | None = None
    """None: Gradle where the folder has one of its files, else Maven."""
    module: str = ""
    """A module of a multi-module build; empty: the folder's own project."""
    base: str | None = None
    """The base image; None: as the build file says, or jib's own choice."""
    profiles: tuple[str, ...] = attrs.field(default=(), converter=one_or_more)
    """Maven's profiles to activate."""
    plugin: str | None = None
    """The version of jib's Maven plugin; None: the one of the POM, or of a POM without it 3.5.2."""
    properties: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """More settings, such as ``{"jib.container.mainClass": "demo.Main"}``."""
    args: tuple[str, ...] = attrs.field(default=(), converter=one_or_more)
    """More arguments of Maven or Gradle, such as ``-DskipTests``."""
    image: str | None = None
    """The image of the step; it has a JDK, the tool or the project's wrapper, and ``sh``. None: Maven's or Gradle's own."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return "jib"

    @property
    def native(self) -> bool:
        """Whether one build makes all the platforms."""
        return True

    def chosen(self, source: Source) -> Tool | None:
        """The build tool for a folder; None where it has no build file."""
        return self.tool or choose_tool(source.names)

    def steps(self, platforms: PlatformSet, reference: ImageReference, *, emulate: Sequence[str], source: Source) -> Steps:  # noqa: ARG002 - of all recipes
        """The step that compiles and pushes."""
        tool: Tool = self.chosen(source) or "maven"
        program = f"./{WRAPPERS[tool]}" if WRAPPERS[tool] in source.names else PROGRAMS[tool]
        settings = properties(
            image=str(reference),
            base=self.base,
            platforms=[f"{platform.os}/{platform.arch}" for platform in platforms],
            report=_RESULT,
            image_format=None,
            insecure=False,
            send_credentials=False,
            own=self.properties,
        )
        if tool == "gradle":
            command = gradle(program, module=self.module, image=str(reference), settings=settings, more=self.args)
        else:
            plugin = self.plugin or (None if source.has_jib else PLUGIN_VERSION)
            command = maven(program, module=self.module, profiles=self.profiles, plugin=plugin, settings=settings, more=self.args)
        image = self.image or ("docker.io/library/gradle:8-jdk21" if tool == "gradle" else "docker.io/library/maven:3-eclipse-temurin-21")
        # Java's own home folder is not $HOME, where Cloud Build puts the credentials for registries
        return Steps((_telling(image, command, before='export DOCKER_CONFIG="$HOME/.docker"; '),), tells=True)


@attrs.frozen(kw_only=True)
class BuildpacksRecipe:
    """Sources that Buildpacks know, each platform by a build of its own; what is not amd64 is emulated."""

    builder: str
    """The builder image; it has each platform."""
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """For the buildpacks."""
    buildpacks: tuple[str, ...] = attrs.field(default=(), converter=one_or_more)
    """In order; none: those of the builder."""
    trust: bool = True
    """Whether the builder is trusted: its lifecycle runs in one container then."""
    args: tuple[str, ...] = attrs.field(default=(), converter=one_or_more)
    """More arguments of ``pack build``."""
    image: str = "docker.io/buildpacksio/pack:0.38.2"
    """The image of the step, which runs pack."""
    docker: str = DOCKER
    """The image of the step that registers emulators; it has Docker's client."""
    binfmt: str = BINFMT

    @property
    def name(self) -> str:
        """What messages call it."""
        return "buildpacks"

    @property
    def native(self) -> bool:
        """Whether one build makes all the platforms."""
        return False

    @property
    def base(self) -> str | None:
        """The image that is looked at for platforms."""
        return self.builder

    def steps(self, platforms: PlatformSet, reference: ImageReference, *, emulate: Sequence[str], source: Source) -> Steps:  # noqa: ARG002 - of all recipes
        """The step that builds into the machine's engine."""
        command = ["build", str(reference), "--builder", self.builder, "--path", ".", "--platform", str(platforms)]
        command += ["--pull-policy", "always", "--network", "cloudbuild", *(["--trust-builder"] if self.trust else [])]
        for flag, values in (("--env", (f"{name}={value}" for name, value in self.env.items())), ("--buildpack", self.buildpacks)):
            for value in values:
                command += [flag, value]
        build = {"id": "build", "name": self.image, "args": [*command, *self.args]}
        return Steps((*_emulators(self.docker, self.binfmt, emulate), build), (str(reference),))


Recipe = DockerRecipe | KoRecipe | JibRecipe | BuildpacksRecipe
"""How Cloud Build makes an image of a folder."""


def told_digest(output: bytes) -> Digest | None:
    """The digest in what a step handed over; None where there is none.

    Args:
        output: The metadata of buildx, the report of jib, or the references of ko, of which the first is the image's own.
    """
    text = output.decode("utf-8", "replace")
    try:
        fields = json.loads(text)
    except ValueError:
        found = _DIGEST.search(text)
        return Digest(found[0]) if found else None
    named = [fields.get(name) for name in ("containerimage.digest", "imageDigest")] if isinstance(fields, dict) else []
    digest = next((one for one in named if isinstance(one, str) and _DIGEST.fullmatch(one)), None)
    return Digest(digest) if digest else None


def _emulators(image: str, binfmt: str, cpus: Iterable[str]) -> list[dict[str, Any]]:
    names = ",".join(cpus)
    arguments = ["run", "--privileged", "--rm", binfmt, "--install", names]
    return [{"id": "emulators", "name": image, "args": arguments}] if names else []


def _telling(image: str, command: Iterable[str], *, before: str = "") -> dict[str, Any]:
    """A step that runs a command and hands over what it left in the result's file; no shell looks at the arguments."""
    return {"id": "build", "name": image, "entrypoint": "sh", "args": ["-c", before + _AND_TELL, "sh", *command]}
