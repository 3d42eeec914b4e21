"""What applying would change, for a person."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit.planning.object_diff import difference

BEFORE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "labels": {"app.kubernetes.io/name": "web"},
        "resourceVersion": "5",
        "managedFields": [{"manager": "x"}],
    },
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [{"name": "web", "image": "web:1", "args": ["a", "b"], "env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}]
            }
        },
    },
    "status": {"replicas": 2},
}


def changed(**_: Any) -> dict[str, Any]:
    after = copy.deepcopy(BEFORE)
    after["metadata"] |= {"resourceVersion": "9", "generation": 4, "uid": "u", "managedFields": []}
    after["status"] = {"replicas": 9}
    return after


def test_what_the_server_keeps_for_itself_is_no_change() -> None:
    assert difference(BEFORE, changed()) == ""


def test_changes_come_with_their_paths() -> None:
    after = changed()
    after["spec"]["replicas"] = 3
    web = after["spec"]["template"]["spec"]["containers"][0]
    web |= {"image": "web:2", "args": ["a"], "ports": [{"containerPort": 80}]}
    after["spec"]["template"]["spec"]["containers"].insert(0, {"name": "side", "image": "side:1"})
    del after["metadata"]["labels"]
    assert difference(BEFORE, after).splitlines() == [
        "- metadata.labels[app.kubernetes.io/name]: web",
        "~ spec.replicas: 2 -> 3",
        "+ spec.template.spec.containers[side].name: side",
        "+ spec.template.spec.containers[side].image: side:1",
        "~ spec.template.spec.containers[web].image: web:1 -> web:2",
        "- spec.template.spec.containers[web].args[1]: b",
        "+ spec.template.spec.containers[web].ports[0].containerPort: 80",
    ]


def test_a_new_object_is_told_without_what_its_name_says() -> None:
    lines = difference(None, BEFORE).splitlines()
    assert lines[:2] == ["+ metadata.labels[app.kubernetes.io/name]: web", "+ spec.replicas: 2"]


def test_types_count_and_odd_texts_are_quoted() -> None:
    before, after = {"data": {"a": "1", "b": "x", "c": "", "d": True}}, {"data": {"a": 1, "b": "x\ny", "c": None, "d": 1}}
    assert difference(before, after).splitlines() == [
        "~ data.a: 1 -> 1",
        '~ data.b: x -> "x\\ny"',
        '~ data.c: "" -> null',
        "~ data.d: true -> 1",
    ]


def test_empty_collections_are_told() -> None:
    assert difference({"spec": {"a": {}, "b": []}}, {"spec": {"a": {"x": 1}, "b": [], "c": {}}}).splitlines() == [
        "+ spec.a.x: 1",
        "+ spec.c: {}",
    ]


def test_another_order_of_containers_is_told() -> None:
    first, second = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}
    found = difference({"spec": {"containers": [first, second]}}, {"spec": {"containers": [second, {**first, "image": "a:2"}]}})
    assert found.splitlines() == ["~ spec.containers: another order", "~ spec.containers[a].image: a:1 -> a:2"]


def test_a_secret_keeps_its_values() -> None:
    before = {"kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "data": {"a": "aHVudGVyMg==", "b": "eA=="}}
    after = {"kind": "Secret", "metadata": {"name": "s"}, "type": "other", "data": {"a": "aHVudGVyMw==", "c": "eA=="}}
    found = difference(before, after, secret=True)
    assert found.splitlines() == ["~ type: Opaque -> other", "~ data.a: *** (another value)", "+ data.c: ***", "- data.b: ***"]
    assert "aHVud" not in difference(None, after, secret=True)


def test_variables_whose_names_speak_of_secrets_keep_their_values() -> None:
    after = changed()
    after["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "DB_PASSWORD", "value": "hunter3"},
        {"name": "COLOR", "value": "red"},
    ]
    assert difference(BEFORE, after).splitlines() == [
        "~ spec.template.spec.containers[web].env[DB_PASSWORD].value: *** (another value)",
        "+ spec.template.spec.containers[web].env[COLOR].name: COLOR",
        "+ spec.template.spec.containers[web].env[COLOR].value: red",
    ]


def test_kubectls_copy_of_the_object_is_not_shown() -> None:
    after = changed()
    after["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":"hunter2"}'}
    assert difference(BEFORE, after) == ""


def test_long_values_are_cut() -> None:
    assert len(difference(None, {"data": {"a": "x" * 10_000}})) < 300


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["spec", "data", "metadata"]), values))
def test_no_difference_to_itself(fields: dict[str, Any]) -> None:
    assert difference(fields, copy.deepcopy(fields)) == ""


@given(st.dictionaries(st.sampled_from(["spec", "data"]), values), st.dictionaries(st.sampled_from(["spec", "data"]), values))
def test_what_differs_is_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    same = repr(before) == repr(after)
    if not same and before != after:
        assert difference(before, after) != ""


@pytest.mark.parametrize("key", ["controller-uid", "batch.kubernetes.io/controller-uid"])
def test_the_labels_by_which_a_job_finds_its_pods_are_its_own(key: str) -> None:
    assert difference({"spec": {"selector": {"matchLabels": {key: "a"}}}}, {"spec": {"selector": {"matchLabels": {key: "b"}}}}) == ""
