"""What tools print when they fail, as it was seen with the real ones, and what archkit makes of it."""

from __future__ import annotations

import pickle

import pytest

from archkit import (
    BuildError,
    BuildToolError,
    CommandError,
    CommandTimeoutError,
    EmulationMissing,
    RegistryError,
    ToolNotFoundError,
    ToolTooOldError,
)
from archkit.planning.tool_output import diagnose, tool_failure

SEEN = [
    ("tool-missing", "docker: unknown command: docker buildx\n\nRun 'docker --help' for more information"),
    ("tool-missing", "ERROR: BuildKit is enabled but the buildx component is missing or broken."),
    ("builder-missing", 'ERROR: no builder "nope" found'),
    ("tool-too-old", "unknown flag: --progress\nSee 'docker build --help'."),
    ("engine-down", "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?"),
    (
        "engine-down",
        "ERROR: failed to connect to the docker API at unix:///x.sock; check if the path is correct and if the daemon is running",
    ),
    ("engine-down", "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. dial tcp: connect: connection refused"),
    ("base-lacks-platform", "Error: failed to publish images: no matching platforms in base image index"),
    ("base-lacks-platform", 'Error: base image platform "linux/amd64" does not match desired platforms [linux/arm64]'),
    ("base-lacks-platform", "no matching manifest for linux/s390x in the manifest list entries"),
    (
        "base-lacks-platform",
        "ERROR: failed to solve: failed to resolve source metadata for 127.0.0.1:5/base:1: no match for platform in manifest: not found",
    ),
    ("base-missing", "Error: fetching base image: pulling x: GET http://x/v2/base/manifests/1: MANIFEST_UNKNOWN: manifest unknown"),
    ("base-missing", "manifest for 127.0.0.1:5/nope:1 not found: manifest unknown: manifest unknown"),
    ("invalid-platform", '"bogus": unknown operating system or architecture: invalid argument'),
    ("invalid-platform", '"amd64,linux" is an invalid component of "linux/amd64,linux/arm64"'),
    ("multi-platform-unsupported", "ERROR: Multi-platform build is not supported for the docker driver."),
    ("multi-platform-unsupported", "ERROR: OCI exporter is not supported for the docker driver."),
    ("emulation-missing", "exec /bin/sh: exec format error\nThe command '/bin/sh -c true' returned a non-zero code: 1"),
    (
        "emulation-missing",
        '#9 0.2 exec /bin/sh: exec format error\nERROR: process "/bin/sh -c x" did not complete successfully: exit code: 1',
    ),
    ("emulator-crashed", "qemu: uncaught target signal 11 (Segmentation fault) - core dumped"),
    ("sign-in-refused", "no basic auth credentials"),
    ("sign-in-refused", "unauthorized: authentication required"),
    ("sign-in-refused", "ERROR: failed to push 127.0.0.1:5/x:1: unexpected status from POST request: 401 Unauthorized"),
    ("sign-in-refused", "Error: fetching base image: pulling x: unexpected status code 401 Unauthorized (HEAD responses have no body)"),
    ("push-denied", "denied: requested access to the resource is denied"),
    ("push-denied", "denied"),
    ("push-denied", "ERROR: failed to push 127.0.0.1:5/team/app:1: denied"),
    ("push-denied", "Error: PUT http://127.0.0.1:5/v2/app/manifests/1: DENIED: requested access to the resource is denied"),
    ("pull-denied", "pull access denied for team/base, repository does not exist or may require 'docker login': denied: requested access"),
    ("disk-full", "write /var/lib/docker/tmp/x: no space left on device"),
    ("rate-limited", "toomanyrequests: You have reached your pull rate limit."),
    ("registry-unreachable", 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
    ("registry-unreachable", "http: server gave HTTP response to HTTPS client"),
    ("registry-untrusted", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
]


@pytest.mark.parametrize(("kind", "printed"), SEEN, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(SEEN)])
@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_what_was_seen_is_known(kind: str, printed: str, stream: str) -> None:
    found = diagnose(**{"stderr": "", "stdout": "", stream: f"some progress\n{printed}\n"})
    assert found is not None
    assert found.kind == kind
    assert found.line in printed
    assert found.remedy or kind == "emulation-missing"


@pytest.mark.parametrize(
    "printed", ["", "go: compile error", "npm ERR! missing script: build", "undenied", "the word denied in a test name_denied_ok"]
)
def test_what_is_not_known_is_left_alone(printed: str) -> None:
    assert diagnose(printed, printed) is None


def test_what_was_printed_long_before_the_end_is_not_the_reason() -> None:
    assert diagnose("connection refused\n" + "compiling\n" * 100) is None


def test_the_error_says_what_the_tool_said_and_what_to_do() -> None:
    failed = CommandError(("docker", "push"), 1, "x\nunauthorized: authentication required\n", "The push refers to repository [x]\n")
    error = tool_failure(failed, "web", builder="docker", platform="linux/arm64")
    assert isinstance(error, BuildToolError)
    assert (error.kind, error.platform) == ("sign-in-refused", "linux/arm64")
    assert error.log == "The push refers to repository [x]\nx\nunauthorized: authentication required"
    assert str(error) == (
        "cannot build web for linux/arm64: docker failed: docker ended with status 1: unauthorized: authentication required; "
        "sign in with `docker login HOST` (or the tool's own way), or check that the login has not run out"
    )
    assert pickle.loads(pickle.dumps(error)).kind == error.kind


def test_a_missing_emulator_is_an_error_of_its_own() -> None:
    error = tool_failure(CommandError(("docker",), 1, "exec /bin/sh: exec format error"), "web", builder="docker", platform="linux/arm64")
    assert isinstance(error, EmulationMissing)
    assert error.kind == "emulation-missing"
    assert all(word in str(error) for word in ("linux/arm64", "qemu-user-static", "--install arm64", "--platform=$BUILDPLATFORM"))


@pytest.mark.parametrize(
    ("cause", "kind", "says"),
    [
        (ToolNotFoundError("ko", "install it"), "tool-missing", "ko needs ko, which is not installed or not on PATH; install it"),
        (ToolTooOldError("ko", "0.1", "0.15"), "tool-too-old", "ko is version 0.1; 0.15 or later is needed"),
        (CommandTimeoutError(("ko",), -15, "pulling", "", 9.0), "timeout", "did not end within 9 s .*give it more time"),
        (CommandError(("ko",), 1, "no such package"), "failed", "ko ended with status 1: no such package"),
    ],
)
def test_every_end_of_a_tool_has_its_code(cause: CommandError, kind: str, says: str) -> None:
    error = tool_failure(cause, "web", builder="ko")
    assert isinstance(error, BuildToolError)
    assert error.kind == kind
    with pytest.raises(BuildToolError, match=says):
        raise error


def test_another_error_is_told_as_it_is() -> None:
    own = BuildError("web", "no")
    assert tool_failure(own, "web", builder="ko") is own
    told = tool_failure(RegistryError("x.io/web", "gone"), "web", builder="ko")
    assert (type(told), told.reason) == (BuildError, "ko failed: registry, x.io/web: gone")


def test_a_very_long_line_is_cut() -> None:
    found = diagnose("x" * 10_000 + " no space left on device")
    assert found is not None
    assert len(found.line) < 600


def test_the_line_that_says_error_counts_not_the_advice_behind_it() -> None:
    error = CommandError(("docker", "buildx"), 1, "#1 DONE\nERROR: Cache export is not supported\nLearn more at https://example.com\n")
    told = tool_failure(error, "app", builder="docker")
    assert str(told) == "cannot build app: docker failed: docker ended with status 1: ERROR: Cache export is not supported"
