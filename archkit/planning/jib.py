"""Which build tool a Java project needs, its command line, and what it prints. Pure.

Sources: jib's documentation of its Maven and Gradle plugins; Skaffold's choice between them (``jib.go``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from archkit.model.secret import Secret

Tool = Literal["maven", "gradle"]

GRADLE_FILES = ("build.gradle", "build.gradle.kts", "gradle.properties", "settings.gradle", "settings.gradle.kts", "gradlew")
MAVEN_FILES = ("pom.xml", ".mvn", "mvnw")
WRAPPERS: Mapping[Tool, str] = {"maven": "mvnw", "gradle": "gradlew"}
PROGRAMS: Mapping[Tool, str] = {"maven": "mvn", "gradle": "gradle"}
PLUGIN = "com.google.cloud.tools:jib-maven-plugin"
PLUGIN_VERSION = "3.5.2"
"""The jib that is used for a POM without it. Before 3.5.2 it reads no index whose entries have an ``artifactType``."""
IN_POM = b"<artifactId>jib-maven-plugin</artifactId>"
"""What a POM with jib has in it."""
JAVA_OPTIONS = "JAVA_TOOL_OPTIONS"
"""Options that every Java reads from its environment, so that they stand on no command line."""
OLDEST = "2.3.0"
"""The first version of jib's plugins that builds several platforms."""

_ERROR = re.compile(r"^\[ERROR\] Failed to execute goal \S+ \([^)]*\) on project \S+: (.*)", re.DOTALL)
_GRADLE_CAUSE = re.compile(r"\* What went wrong:\n(.*?)\n\n", re.DOTALL)
_HELP = re.compile(r"\s*-> \[Help \d+\].*", re.DOTALL)
_TOO_OLD = re.compile(r"Jib plugin version is (\S+) but is required to be (\S+)")
_NO_JAVA = re.compile(
    r"JAVA_HOME (?:environment variable )?is not (?:defined|set)|JAVA_HOME is not set and no 'java' command|java: not found"
)


def choose_tool(names: Collection[str]) -> Tool | None:
    """The tool for a folder with these names in it: Gradle's files win, as Skaffold has it; None where there are neither."""
    if any(name in names for name in GRADLE_FILES):
        return "gradle"
    return "maven" if any(name in names for name in MAVEN_FILES) else None


def properties(
    *,
    image: str,
    base: str | None,
    platforms: Sequence[str],
    report: str,
    image_format: str | None,
    insecure: bool,
    send_credentials: bool,
    own: Mapping[str, str],
) -> list[str]:
    """jib's settings, as system properties of Maven and Gradle alike.

    Args:
        image: What is pushed, with its tag.
        base: The base; None: as the build file says.
        platforms: ``os/architecture`` each.
        report: A file that jib writes the digest into.
        image_format: ``Docker`` or ``OCI``; None: as the build file says.
        insecure: Whether http and unknown certificates are allowed.
        send_credentials: Whether credentials go over http.
        own: The caller's, which win.
    """
    settings = {
        **({} if base is None else {"jib.from.image": base}),
        "jib.from.platforms": ",".join(platforms),
        "jib.to.image": image,
        "jib.outputPaths.imageJson": report,
        "jib.console": "plain",
        "jib.disableUpdateChecks": "true",
        **({} if image_format is None else {"jib.container.format": image_format}),
        **({"jib.allowInsecureRegistries": "true"} if insecure else {}),
        **({"sendCredentialsOverHttp": "true"} if send_credentials else {}),
        **own,
    }
    return [f"-D{name}={value}" for name, value in settings.items()]


def java_options(before: str, settings: Mapping[str, Secret]) -> str:
    """Settings for the environment variable :data:`JAVA_OPTIONS`, behind what stands there.

    Raises:
        ValueError: A value has both kinds of quotes, which Java cannot read there. The value is not told.

    Source: JVM Tool Interface, ``JAVA_TOOL_OPTIONS``: words between spaces, in quotes of either kind, nothing escaped.
    """
    words: list[str] = []
    for name, secret in settings.items():
        value = secret.reveal()
        if {"'", '"'} <= {*value} or "\n" in value:
            raise ValueError(f"the value of {name} has both kinds of quotes or several lines, which Java's options cannot hold")
        quote = '"' if "'" in value else "'"
        words.append(f"-D{name}={quote}{value}{quote}")
    return " ".join(filter(None, [before.strip(), *words]))


def maven(
    program: str, *, module: str, profiles: Sequence[str], plugin: str | None, settings: Iterable[str], more: Iterable[str]
) -> list[str]:
    """The Maven command.

    Args:
        program: Maven, or its wrapper.
        module: A module of a multi-module build, as ``--projects`` names it; empty: the folder's own project.
        profiles: To activate.
        plugin: The version of jib to use; None: the one that the POM names.
        settings: See :func:`properties`.
        more: Further arguments.
    """
    prefix = "jib" if plugin is None else f"{PLUGIN}:{plugin}"
    check = [f"{prefix}:_skaffold-fail-if-jib-out-of-date", f"-Djib.requiredVersion={OLDEST}"]
    command = [program, "--batch-mode", "-Dstyle.color=never", *([f"--activate-profiles={','.join(profiles)}"] if profiles else [])]
    if module:
        command += [f"--projects={module}", "--also-make", *check, "package", f"{prefix}:build", f"-Djib.containerize={module}"]
    else:
        command += ["--non-recursive", *check, "prepare-package", f"{prefix}:build"]
    return [*command, *settings, *more]


def gradle(program: str, *, module: str, image: str, settings: Iterable[str], more: Iterable[str]) -> list[str]:
    """The Gradle command; no daemon stays behind.

    Args:
        program: Gradle, or its wrapper.
        module: A project of a multi-project build, ``services:web``; empty: the root.
        image: What is pushed.
        settings: See :func:`properties`.
        more: Further arguments.
    """
    prefix = f":{module.strip(':')}:" if module.strip(":") else ":"
    check = [f"{prefix}_skaffoldFailIfJibOutOfDate", f"-Djib.requiredVersion={OLDEST}"]
    return [program, "--console=plain", "--no-daemon", *check, f"{prefix}jib", f"--image={image}", *settings, *more]


def failure(output: str) -> str:
    """What Maven or Gradle says went wrong; an empty text where neither says it as usual."""
    text = "\n".join(line for line in output.splitlines())
    at = text.find("[ERROR] Failed to execute goal")
    if at >= 0 and (found := _ERROR.match(text[at:])):
        reason = _HELP.sub("", found[1])
        return "\n".join(line.removeprefix("[ERROR] ").rstrip() for line in reason.splitlines()[:20]).strip()
    cause = _GRADLE_CAUSE.search(f"{text}\n\n")
    return cause[1].strip() if cause else ""


def too_old(output: str) -> tuple[str, str] | None:
    """Which version of jib there is and which is needed, where its own check failed."""
    found = _TOO_OLD.search(output)
    return (found[1], found[2]) if found else None


def misses_java(output: str) -> bool:
    """Whether the build tool found no Java."""
    return _NO_JAVA.search(output) is not None
