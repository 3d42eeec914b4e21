"""What an API server's refusals mean. The texts are those of kube-apiserver 1.36."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit.planning.refusals import Conflict, read_refusal

POD_FORBIDDEN = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.tolerations`"
    ' (only additions to existing tolerations)\n @@ -5,7 +5,9 @@\n {"Name": "c", "Value": "hunter2"}'
)


def status(message: str, *causes: dict[str, str], reason: str = "Invalid") -> bytes:
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "details": {"causes": list(causes)}}).encode()


def cause(field: str, message: str, reason: str = "FieldValueInvalid") -> dict[str, str]:
    return {"reason": reason, "message": message, "field": field}


def test_conflicts_name_managers_and_fields() -> None:
    causes = [
        cause(".spec.replicas", 'conflict with "kubectl" using apps/v1', "FieldManagerConflict"),
        cause(
            '.spec.template.spec.containers[name="web"].image',
            'conflict with "kube \\"q\\"" with subresource "scale"',
            "FieldManagerConflict",
        ),
        cause(".spec.paused", 'conflict with "kubectl" using apps/v1', "FieldManagerConflict"),
    ]
    found = read_refusal(409, status("Apply failed with 3 conflicts", *causes, reason="Conflict"))
    assert (found.kind, found.conflicts[0]) == ("conflict", Conflict("kubectl", ".spec.replicas"))
    assert [one.manager for one in found.conflicts] == ["kubectl", 'kube \\"q\\"', "kubectl"]
    assert "kubectl manages .spec.replicas, .spec.paused" in found.message


def test_another_conflict_is_none_of_fields() -> None:
    assert read_refusal(409, status("the object has been modified", reason="Conflict")).kind == "other"


@pytest.mark.parametrize(
    ("field", "message", "shown"),
    [
        (
            "spec.template",
            'Invalid value: {"spec":{"containers":[{"env":[{"value":"hunter2"}]}]}}: field is immutable',
            "spec.template: field is immutable",
        ),
        ("spec.selector", 'Invalid value: {"matchLabels":{"app":"web"}}: field is immutable', "spec.selector: field is immutable"),
        ("spec", POD_FORBIDDEN, "spec: Forbidden: pod updates may not change fields other than"),
        ("spec", "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden", "spec: Forbidden: updates"),
        (
            "spec.clusterIP",
            'Invalid value: "10.96.0.9": may not change once set',
            'spec.clusterIP: Invalid value: "10.96.0.9": may not change',
        ),
        ("roleRef", 'Invalid value: {"name":"x"}: cannot change roleRef', "roleRef: cannot change roleRef"),
        ("data", "Forbidden: field is immutable when `immutable` is set", "data: Forbidden: field is immutable"),
    ],
)
def test_fields_that_cannot_change_are_told(field: str, message: str, shown: str) -> None:
    found = read_refusal(422, status(f'Job "x" is invalid: {field}: {message}', cause(field, message)))
    assert (found.kind, found.fields) == ("immutable", (field,))
    assert found.message.startswith(shown)
    assert "hunter2" not in found.message


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Invalid value: -1: must be greater than or equal to 0", "spec.x: Invalid value: -1: must be greater than or equal to 0"),
        (
            'Unsupported value: "Sometimes": supported values: "Always"',
            'spec.x: Unsupported value: "Sometimes": supported values: "Always"',
        ),
        (f'Invalid value: "{"a" * 100}": too long', "spec.x: too long"),
        ("Required value", "spec.x: Required value"),
        ('Invalid value: "a: b": must not have colons', 'spec.x: Invalid value: "a: b": must not have colons'),
    ],
)
def test_what_is_wrong_is_told_with_short_values(message: str, shown: str) -> None:
    found = read_refusal(422, status("Deployment is invalid", cause("spec.x", message)))
    assert (found.kind, found.message) == ("invalid", shown)


@pytest.mark.parametrize(
    "body",
    [
        status("is invalid", cause("data[a]", 'Invalid value: "hunter2": must be base64')),
        status("is invalid", cause("data[a]", "Invalid value: hunter2: must be base64")),
        status(
            'failed to create typed patch object (shop/s; /v1, Kind=Secret): .stringData.a: expected string, got &value{Value:"hunter2"}'
        ),
        status("failed to create typed patch object (shop/s; /v1, Kind=Secret): .stringData.a: expected string, got hunter2"),
        status('Secret in version "v1" cannot be handled: "hunter2" is no base64'),
    ],
)
def test_nothing_that_a_secret_holds_is_shown(body: bytes) -> None:
    found = read_refusal(422, body, secret=True)
    assert "hunter2" not in found.message
    assert "hunter2" not in repr(found)


def test_the_value_of_a_variable_is_not_shown() -> None:
    field = "spec.template.spec.containers[0].env[0].value"
    found = read_refusal(422, status("is invalid", cause(field, 'Invalid value: "hunter2": no')))
    assert found.message == f"{field}: no"


def test_an_answer_that_is_too_deep_is_a_text() -> None:
    assert read_refusal(500, b"[" * 100_000).kind == "other"


@pytest.mark.parametrize(
    ("code", "body", "kind", "shown"),
    [
        (
            400,
            status('strict decoding error: unknown field "spec.replica"'),
            "invalid",
            'strict decoding error: unknown field "spec.replica"',
        ),
        (401, status("Unauthorized"), "signed-out", "Unauthorized"),
        (403, status('pods is forbidden: User "x" cannot patch resource "pods"'), "forbidden", 'pods is forbidden: User "x" cannot patch'),
        (
            403,
            status('deployments.apps "web" is forbidden: exceeded quota: q, requested: pods=1'),
            "other",
            'deployments.apps "web" is forbidden',
        ),
        (403, status("unable to create new content in namespace shop because it is being terminated"), "other", "unable to create"),
        (404, b"404 page not found\n", "invalid", "404 page not found"),
        (429, status("too many requests"), "busy", "too many requests"),
        (500, b"", "other", "HTTP status 500"),
        (503, b"\xff[1]", "other", "\ufffd[1]"),
    ],
)
def test_other_answers(code: int, body: bytes, kind: str, shown: str) -> None:
    found = read_refusal(code, body)
    assert found.kind == kind
    assert found.message.startswith(shown)


def test_long_answers_are_cut() -> None:
    assert len(read_refusal(500, b"x" * 100_000).message) < 1000


@given(
    st.integers(400, 599),
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.text() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["message", "details", "causes", "field", "reason"]), inner),
            max_leaves=8,
        ),
    ),
    st.booleans(),
)
def test_any_answer_can_be_read(code: int, body: Any, secret: bool) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert read_refusal(code, content, secret=secret).status == code
