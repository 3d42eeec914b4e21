"""Errors: typed, also the built-in that a stranger would catch, plain fields that survive pickling, advice in the text."""

from __future__ import annotations

import builtins
import inspect
import pickle
from typing import Any

import pytest

import archkit.errors
from archkit import ArchkitError, BuildError, ClusterError, Finding, FindingsError, PlatformNotDelivered, PlatformSyntaxError, RegistryError
from archkit.model.finding import SEVERITIES

FINDING = Finding.of("no-common-platform", "web has linux/amd64, sidecar linux/arm64", "pod.yaml:3 Pod/web")

CASES: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    (
        "PlatformSyntaxError",
        ("linux/amr64", "there is no CPU 'amr64'", "linux/arm64"),
        ValueError,
        "not a platform: 'linux/amr64' (there is no CPU 'amr64'); did you mean linux/arm64?",
    ),
    ("PlatformSyntaxError", ("?",), ValueError, "not a platform: '?'; write os/arch or os/arch/variant, for example linux/arm64"),
    (
        "ReferenceSyntaxError",
        ("A B", "not a tag"),
        ValueError,
        "not an image reference: 'A B' (not a tag); write [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST] in lower case, for example ghcr.io/team/app:1.2",
    ),
    ("ManifestSyntaxError", ("pod.yaml", "a tab", 3, 1), ValueError, "cannot read the manifest pod.yaml:3:1: a tab"),
    ("ManifestSyntaxError", ("pod.yaml", "a tab"), ValueError, "cannot read the manifest pod.yaml: a tab"),
    (
        "ManifestTooLarge",
        ("all.yaml", "more than 64 MiB"),
        ValueError,
        "cannot read the manifest all.yaml: more than 64 MiB; split the manifest, or raise the limit that is named",
    ),
    (
        "NodeListError",
        ("nodes.json", "it is a Pod"),
        ValueError,
        "cannot read a node list from nodes.json: it is a Pod; record one with `kubectl get nodes -o json`",
    ),
    ("ClusterError", ("kind", "refused", "sign in"), OSError, "cluster kind: refused; sign in"),
    ("KubeconfigError", ("kind", "no such context", "it has: a"), ValueError, "cluster kind: no such context; it has: a"),
    ("ClusterUnreachableError", ("kind", "no connection", "start it"), ConnectionError, "cluster kind: no connection; start it"),
    ("ClusterSignInError", ("kind", "expired", "sign in"), PermissionError, "cluster kind: expired; sign in"),
    (
        "ClusterForbiddenError",
        ("kind", "bob may not list nodes", "have this applied:", "kind: ClusterRole"),
        PermissionError,
        "cluster kind: bob may not list nodes; have this applied:\nkind: ClusterRole",
    ),
    (
        "ApplyError",
        ("kind", "1 of 2 objects was refused; nothing was applied", "", (("Service/x/web (a.yaml:3)", "no such port"),)),
        OSError,
        "cluster kind: 1 of 2 objects was refused; nothing was applied\n  Service/x/web (a.yaml:3): no such port",
    ),
    (
        "ApplyError",
        ("kind", "stopped: no answer", "apply again", (), ("Namespace/x",), ("Pod/x/b",), ("Pod/x/a",)),
        OSError,
        "cluster kind: stopped: no answer\n  applied: Namespace/x\n  applied or not: Pod/x/a\n  not applied: Pod/x/b\napply again",
    ),
    (
        "FieldConflictError",
        (
            "kind",
            "nothing was applied",
            "force=True",
            (("Pod/x/a", "kubectl manages .spec"),),
            (),
            ("Pod/x/a",),
            (),
            (("Pod/x/a", "kubectl", ".spec"),),
        ),
        OSError,
        "cluster kind: nothing was applied\n  Pod/x/a: kubectl manages .spec\nforce=True",
    ),
    (
        "ImmutableFieldError",
        ("kind", "nothing was applied", "", (), (), (), (), (("Pod/x/a", "spec"),)),
        OSError,
        "cluster kind: nothing was applied",
    ),
    (
        "RolloutError",
        ("kind", "1 of 2 workloads failed", "look", (("Deployment/x/web", "no node"),)),
        OSError,
        "cluster kind: 1 of 2 workloads failed\n  Deployment/x/web: no node\nlook",
    ),
    (
        "RolloutTimeoutError",
        ("kind", "not ready within 5 s", "", (("Deployment/x/web", "no node"),), 5.0),
        TimeoutError,
        "cluster kind: not ready within 5 s\n  Deployment/x/web: no node",
    ),
    (
        "RegistryError",
        ("x.io/web:1", "unknown", 404, ("MANIFEST_UNKNOWN",), "push it first"),
        OSError,
        "registry, x.io/web:1: unknown (HTTP 404); push it first",
    ),
    ("RegistryError", ("x.io/web:1", "no answer"), OSError, "registry, x.io/web:1: no answer"),
    ("ContentError", ("x.io/web:1", "it is too long"), OSError, "registry, x.io/web:1: it is too long"),
    ("DefectiveImageError", ("x.io/web:1", "the image has no defect"), OSError, "registry, x.io/web:1: the image has no defect"),
    (
        "DefectiveImageError",
        ("x.io/web:1", "the image has 1 defect", None, (), "", (), (FINDING,)),
        OSError,
        "registry, x.io/web:1: the image has 1 defect:\n  error: pod.yaml:3 Pod/web: web has linux/amd64, sidecar linux/arm64 [no-common-platform]",
    ),
    ("BuildError", ("web", "no context", "linux/arm64", "name it"), RuntimeError, "cannot build web for linux/arm64: no context; name it"),
    ("BuildError", ("web", "no context"), RuntimeError, "cannot build web: no context"),
    (
        "PlatformNotDelivered",
        ("web", "the config says so", "linux/arm64", "use buildx", ("linux/arm64",), ("linux/amd64",), "docker"),
        RuntimeError,
        "docker was asked to build web for linux/arm64 and delivered linux/amd64: the config says so; use buildx",
    ),
    (
        "PlatformNotDelivered",
        ("web", "nothing was pushed"),
        RuntimeError,
        "the builder was asked to build web for nothing and delivered nothing: nothing was pushed",
    ),
    (
        "TargetsError",
        ("the request cannot be had", "linux/arm64", "linux/amd64", "drop it"),
        ValueError,
        "the request cannot be had; drop it",
    ),
    ("ToolNotFoundError", ("ko",), FileNotFoundError, "ko is not installed or not on PATH; install ko"),
    ("ToolNotFoundError", ("ko", "go install it"), FileNotFoundError, "ko is not installed or not on PATH; go install it"),
    ("CommandError", (("ko", "build"), 2, "a\nno Go\n"), RuntimeError, "ko ended with status 2: no Go"),
    ("CommandError", ((), 1), RuntimeError, "command ended with status 1: no message"),
    ("CommandError", (("mvn",), 1, " ", "a\nBUILD FAILURE\n"), RuntimeError, "mvn ended with status 1: BUILD FAILURE"),
    (
        "ToolTooOldError",
        ("docker", "19.3", "20.10"),
        RuntimeError,
        "docker is version 19.3; 20.10 or later is needed; install docker 20.10 or later",
    ),
    ("BuildToolError", ("web", "ko failed", "", "start it", "engine-down", "x"), RuntimeError, "cannot build web: ko failed; start it"),
    ("EmulationMissing", ("web", "no qemu", "linux/arm64"), RuntimeError, "cannot build web for linux/arm64: no qemu"),
    (
        "CommandTimeoutError",
        (("ko", "build"), -15, "pulling\n", "", 30.0),
        TimeoutError,
        "ko did not end within 30 s and was ended; it said last: pulling; give it more time with `timeout`",
    ),
    ("StitchError", ("x.io/web:1", "twice linux/amd64", "drop one"), ValueError, "cannot stitch x.io/web:1: twice linux/amd64; drop one"),
    (
        "TagMovedError",
        ("x.io/web:1", "it is sha256:b, expected was sha256:a", "stitch again", "sha256:a", "sha256:b"),
        ValueError,
        "cannot stitch x.io/web:1: it is sha256:b, expected was sha256:a; stitch again",
    ),
    (
        "FindingsError",
        ([FINDING],),
        ValueError,
        "1 finding:\n  error: pod.yaml:3 Pod/web: web has linux/amd64, sidecar linux/arm64 [no-common-platform]",
    ),
    ("CancelledError", ("build of web",), RuntimeError, "cancelled: build of web"),
]
named = pytest.mark.parametrize(("name", "values", "builtin", "text"), CASES, ids=[f"{case[0]}-{len(case[1])}" for case in CASES])


def error_classes() -> dict[str, type[ArchkitError]]:
    """Every error that archkit defines, its base apart."""
    found = inspect.getmembers(archkit.errors, inspect.isclass)
    return {name: value for name, value in found if issubclass(value, ArchkitError) and value is not ArchkitError}


def test_every_error_is_in_the_table_and_public() -> None:
    assert {case[0] for case in CASES} == set(error_classes())
    assert set(error_classes()) <= set(dir(archkit))


@named
def test_it_is_an_archkit_error_and_the_builtin_that_a_stranger_would_catch(
    name: str, values: tuple[Any, ...], builtin: type[Exception], text: str
) -> None:
    error = error_classes()[name](*values)
    assert isinstance(error, ArchkitError)
    assert isinstance(error, builtin)
    assert builtin.__name__ in dir(builtins)


@named
def test_the_text_names_the_input_and_what_to_do(name: str, values: tuple[Any, ...], builtin: type[Exception], text: str) -> None:
    assert str(error_classes()[name](*values)) == text


@named
def test_it_survives_pickling(name: str, values: tuple[Any, ...], builtin: type[Exception], text: str) -> None:
    error = error_classes()[name](*values)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert (str(again), repr(again), again.args) == (text, repr(error), error.args)


def test_fields_are_positional_named_and_have_their_defaults() -> None:
    error = PlatformNotDelivered("web", "why", builder="ko", asked=("linux/arm64",))
    assert (error.image, error.reason, error.platform, error.remedy, error.asked, error.delivered, error.builder) == (
        "web",
        "why",
        "",
        "",
        ("linux/arm64",),
        (),
        "ko",
    )
    assert isinstance(error, BuildError)
    assert repr(ClusterError("kind", "refused")) == "ClusterError(context='kind', reason='refused', remedy='')"


@pytest.mark.parametrize(
    ("values", "named_values", "message"),
    [
        ((), {}, "ClusterError misses 'context'"),
        (("kind",), {}, "ClusterError misses 'reason'"),
        (("kind", "refused", "sign in", "again"), {}, "at most 3 values (context, reason, remedy), 4 were given"),
        (("kind", "refused"), {"reason": "again"}, "two values for 'reason'"),
        (("kind", "refused"), {"why": "again"}, "an unknown field 'why'"),
    ],
)
def test_a_wrong_call_is_a_type_error(values: tuple[str, ...], named_values: dict[str, str], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        ClusterError(*values, **named_values)
    assert message in str(caught.value)


def test_an_oserror_among_them_makes_no_error_number_of_its_fields() -> None:
    error = RegistryError("x.io/web", "no answer")
    assert (error.errno, error.strerror, error.filename) == (None, None, None)


def test_errors_are_told_apart_by_identity() -> None:
    one, other = PlatformSyntaxError("x"), PlatformSyntaxError("x")
    assert one != other
    assert len({one, other}) == 2


# ---- findings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(SEVERITIES))
def test_every_code_has_its_severity(code: str) -> None:
    finding = Finding.of(code, "something")
    assert finding.severity == SEVERITIES[code]
    assert finding.at_least(finding.severity)
    assert finding.at_least("info")
    assert finding.at_least("error") is (finding.severity == "error")


def test_a_finding_reads_as_one_line() -> None:
    assert str(Finding("my-code", "info", "pod.yaml:1", "what", "do this")) == "info: pod.yaml:1: what [my-code] (do this)"
    assert str(Finding.of("no-nodes", "none")) == "warning: none [no-nodes]"
    assert pickle.loads(pickle.dumps(FINDING)) == FINDING
    assert {FINDING} == {Finding.of(FINDING.code, FINDING.message, FINDING.where)}


def test_findings_are_counted_in_the_error() -> None:
    error = FindingsError([FINDING, Finding.of("no-nodes", "none")])
    assert str(error).splitlines() == ["2 findings:", f"  {FINDING}", "  warning: none [no-nodes]"]
