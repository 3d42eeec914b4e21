"""Which build tool a Java project needs, its command line, and what it prints."""

from __future__ import annotations

from typing import Any

import pytest

from archkit import Secret
from archkit.planning.jib import choose_tool, failure, gradle, java_options, maven, misses_java, properties, too_old

SETTINGS: dict[str, Any] = {
    "image": "ghcr.io/team/web:1",
    "base": None,
    "platforms": ["linux/amd64", "linux/arm64"],
    "report": "/w/image.json",
    "image_format": None,
    "insecure": False,
    "send_credentials": False,
    "own": {},
}


@pytest.mark.parametrize(
    ("names", "tool"),
    [
        (["pom.xml", "src"], "maven"),
        ([".mvn"], "maven"),
        (["build.gradle"], "gradle"),
        (["build.gradle.kts", "pom.xml"], "gradle"),
        (["gradlew"], "gradle"),
        (["go.mod"], None),
        ([], None),
    ],
)
def test_the_tool_is_chosen_as_skaffold_does(names: list[str], tool: str | None) -> None:
    assert choose_tool(names) == tool


def test_settings() -> None:
    assert properties(**SETTINGS) == [
        "-Djib.from.platforms=linux/amd64,linux/arm64",
        "-Djib.to.image=ghcr.io/team/web:1",
        "-Djib.outputPaths.imageJson=/w/image.json",
        "-Djib.console=plain",
        "-Djib.disableUpdateChecks=true",
    ]
    more = {"base": "b:1", "image_format": "OCI", "insecure": True, "send_credentials": True, "own": {"jib.console": "rich", "a": "b"}}
    assert {
        "-Djib.from.image=b:1",
        "-Djib.container.format=OCI",
        "-Djib.allowInsecureRegistries=true",
        "-DsendCredentialsOverHttp=true",
        "-Djib.console=rich",
        "-Da=b",
    } <= {*properties(**{**SETTINGS, **more})}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(
            {"plugin": None}, "--non-recursive jib:CHECK -Djib.requiredVersion=2.3.0 prepare-package jib:build", id="the POM's jib"
        ),
        pytest.param(
            {"plugin": "3.5.2"},
            "--non-recursive com.google.cloud.tools:jib-maven-plugin:3.5.2:CHECK -Djib.requiredVersion=2.3.0 prepare-package "
            "com.google.cloud.tools:jib-maven-plugin:3.5.2:build",
            id="a POM without jib",
        ),
        pytest.param(
            {"plugin": None, "module": "services/web", "profiles": ["a", "b"]},
            "--activate-profiles=a,b --projects=services/web --also-make jib:CHECK -Djib.requiredVersion=2.3.0 package jib:build "
            "-Djib.containerize=services/web",
            id="a module, with profiles",
        ),
    ],
)
def test_maven(options: dict[str, Any], words: str) -> None:
    command = maven("mvn", **{"module": "", "profiles": [], "settings": ["-Dx=y"], "more": ["-o"], **options})

    expected = words.replace("CHECK", "_skaffold-fail-if-jib-out-of-date").split(" ")
    assert command == ["mvn", "--batch-mode", "-Dstyle.color=never", *expected, "-Dx=y", "-o"]


@pytest.mark.parametrize(
    ("module", "prefix"), [("", ":"), ("web", ":web:"), (":services:web", ":services:web:"), ("services:web:", ":services:web:")]
)
def test_gradle(module: str, prefix: str) -> None:
    command = gradle("./gradlew", module=module, image="a/b:1", settings=["-Dx=y"], more=["-x", "test"])

    check = [f"{prefix}_skaffoldFailIfJibOutOfDate", "-Djib.requiredVersion=2.3.0"]
    assert command == ["./gradlew", "--console=plain", "--no-daemon", *check, f"{prefix}jib", "--image=a/b:1", "-Dx=y", "-x", "test"]


MAVEN = """\
[INFO] BUILD FAILURE
[ERROR] Failed to execute goal com.google.cloud.tools:jib-maven-plugin:3.5.2:build (default-cli) on project hello: Build failed because
[ERROR] of this and that -> [Help 1]
[ERROR]
[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.
"""
GRADLE = """\
FAILURE: Build failed with an exception.

* What went wrong:
Execution failed for task ':jib'.
> com.google.cloud.tools.jib.plugins.common.BuildStepsExecutionException: no

* Try:
> Run with --stacktrace
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (MAVEN, "Build failed because\nof this and that"),
        (GRADLE, "Execution failed for task ':jib'.\n> com.google.cloud.tools.jib.plugins.common.BuildStepsExecutionException: no"),
        ("something else", ""),
        ("", ""),
    ],
)
def test_what_went_wrong(output: str, reason: str) -> None:
    assert failure(output) == reason


def test_versions_and_java() -> None:
    assert too_old("... on project hello: Jib plugin version is 2.1.0 but is required to be 2.3.0 -> [Help 1]") == ("2.1.0", "2.3.0")
    assert too_old("fine") is None
    assert misses_java("The JAVA_HOME environment variable is not defined correctly,")
    assert misses_java("ERROR: JAVA_HOME is not set and no 'java' command could be found in your PATH.")
    assert not misses_java("BUILD SUCCESS")


@pytest.mark.parametrize(
    ("before", "value", "options"),
    [
        ("", "hunter2", "-Djib.to.auth.password='hunter2'"),
        ("-Xmx1g", "a b", "-Xmx1g -Djib.to.auth.password='a b'"),
        ("", "it's", '-Djib.to.auth.password="it\'s"'),
    ],
)
def test_secrets_for_java(before: str, value: str, options: str) -> None:
    assert java_options(before, {"jib.to.auth.password": Secret(value)}) == options


@pytest.mark.parametrize("value", ["'\"", "a\nb"])
def test_secrets_that_java_cannot_read(value: str) -> None:
    with pytest.raises(ValueError, match=r"the value of jib\.to\.auth\.password has") as caught:
        java_options("", {"jib.to.auth.password": Secret(value)})
    assert value not in str(caught.value)
