"""The documents of a manifest that is to be applied: what is read, what is refused, and the order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import ManifestSyntaxError, ManifestTooLarge
from archkit.adapters.yaml.data import load_documents
from archkit.adapters.yaml.documents import ManifestLimits
from archkit.planning.documents import Document, check_unique, defined_kinds, documents_of, in_order, waits_for

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def read(text: str) -> list[Document]:
    return documents_of(((one.line, one.data) for one in load_documents(text, "app.yaml")), "app.yaml")


def document(kind: str, name: str = "x", *, api_version: str = "v1", namespace: str = "", **fields: Any) -> Document:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return Document(api_version, kind, namespace, name, "app.yaml:1", {"metadata": metadata, **fields})


def test_documents_come_with_their_lines_and_empty_ones_are_left_out() -> None:
    found = read(f"# nothing\n---\n---\n{POD}---\n# a comment\n{POD.replace('name: a', 'name: b, namespace: shop')}...\n")
    assert [(one.label, one.where) for one in found] == [("Pod/a", "app.yaml:4"), ("Pod/shop/b", "app.yaml:9")]


def test_scalars_are_read_as_kubectl_reads_them() -> None:
    data = "{a: on, b: 0644, c: '386', d: 1.5, e: 2024-01-01, f: ~, g: !!str 5, h: 1_000}"
    found = read(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {data}\n")[0].fields["data"]
    assert found == {"a": True, "b": 420, "c": "386", "d": 1.5, "e": "2024-01-01", "f": None, "g": "5", "h": 1000}


def test_aliases_and_merges_are_written_out() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: &l {a: b}, annotations: {<<: *l, c: d}}\n"
    assert read(text)[0].fields["metadata"]["annotations"] == {"a": "b", "c": "d"}


@pytest.mark.parametrize("kind", ["List", "PodList"])
def test_lists_are_taken_apart(kind: str) -> None:
    items = [json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}) for name in "ab"]
    text = f"apiVersion: v1\nkind: {kind}\nitems:\n- {items[0]}\n- {items[1]}\n"
    assert [one.label for one in read(text)] == ["Pod/a", "Pod/b"]


def test_items_of_a_typed_list_need_not_say_what_they_are() -> None:
    found = read("apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: a}}]\n")
    assert [(one.api_version, one.label) for one in found] == [("apps/v1", "Deployment/a")]


def test_json_is_yaml() -> None:
    assert [one.label for one in read(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, indent="\t"))] == ["Pod/a"]


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        pytest.param("- a\n", "a document is no mapping", 1, id="list"),
        pytest.param(f"{POD}---\nkind: Pod\nmetadata: {{name: b}}\n", "a document has no apiVersion", 5, id="no apiVersion"),
        pytest.param("apiVersion: v1\nmetadata: {name: b}\n", "a document has no kind", 1, id="no kind"),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {generateName: b-}\n", "needs a name, and this has generateName", 1, id="generateName"
        ),
        pytest.param("apiVersion: v1\nkind: Pod\n", "Pod: a name is missing (metadata.name)", 1, id="no metadata"),
        pytest.param("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n", "the name 5 is no text; put it in quotes", 1, id="number"),
        pytest.param("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: on}\n", "the namespace True is no text", 1, id="truth"),
        pytest.param(POD + "spec: {a: 1}\nspec: {a: 2}\n", "the key 'spec' stands twice", 1, id="repeated key"),
        pytest.param(POD + "spec:\n  a: 1\n  b: {c: 1, c: 2}\n", "the key 'c' stands twice", 6, id="repeated key inside"),
        pytest.param(POD + "spec:\n  ? [a]\n  : 1\n", "a key is no text", 5, id="key that is a list"),
        pytest.param(POD + "spec: {{ .Values.x }}\n", "it is a template and not yet YAML", 4, id="template"),
        pytest.param(POD + "spec: [\n", "", None, id="not YAML"),
    ],
)
def test_what_cannot_be_applied_as_written_is_refused(text: str, says: str, line: int | None) -> None:
    with pytest.raises(ManifestSyntaxError) as caught:
        read(text)
    assert says in str(caught.value)
    assert caught.value.name == "app.yaml"
    if line is not None:
        assert caught.value.line == line


def test_there_is_a_limit() -> None:
    with pytest.raises(ManifestTooLarge):
        list(load_documents(POD * 100, "app.yaml", ManifestLimits(characters=1000)))


def test_aliases_inside_aliases_end_somewhere() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(ManifestTooLarge):
        list(load_documents("\n".join(rows), "app.yaml"))


def test_what_a_document_holds_is_not_shown() -> None:
    assert "hunter2" not in repr(read(POD.replace("kind: Pod", "kind: Secret") + "stringData: {a: hunter2}\n"))
    assert "hunter2" not in repr(list(load_documents("a: hunter2", "x")))


# ---- order -------------------------------------------------------------------------------------------------------


def test_what_others_need_goes_first_and_webhooks_last() -> None:
    kinds = [
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ("example.com/v1", "Robot"),
        ("apps/v1", "Deployment"),
        ("serving.knative.dev/v1", "Service"),
        ("v1", "Service"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "ServiceAccount"),
        ("v1", "ResourceQuota"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("v1", "Namespace"),
    ]
    found = in_order(document(kind, api_version=api_version) for api_version, kind in kinds)
    assert [(one.api_version, one.kind) for one in found] == [
        ("v1", "Namespace"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("v1", "ResourceQuota"),
        ("v1", "ServiceAccount"),
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("example.com/v1", "Robot"),
        ("serving.knative.dev/v1", "Service"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ]


@given(st.lists(st.sampled_from(["Pod", "Deployment", "Secret", "Namespace", "Robot"]), max_size=12))
def test_documents_of_one_rank_keep_their_order(kinds: list[str]) -> None:
    given_ = [document(kind, str(number)) for number, kind in enumerate(kinds)]
    found = in_order(given_)
    assert sorted(found, key=lambda one: int(one.name)) == given_
    for kind in set(kinds):
        numbers = [int(one.name) for one in found if one.kind == kind]
        assert numbers == sorted(numbers)


def test_one_object_stands_once() -> None:
    one, other = document("Pod", namespace="shop"), document("Pod", namespace="test")
    check_unique([one, other, document("Service", namespace="shop")])
    with pytest.raises(ManifestSyntaxError, match=r"app\.yaml:1: Pod/shop/x stands twice; the other one is at app\.yaml:1"):
        check_unique([one, other, one])


def test_another_version_of_the_same_kind_is_the_same_object() -> None:
    with pytest.raises(ManifestSyntaxError, match="stands twice"):
        check_unique([document("CronJob", api_version=f"batch/{version}") for version in ("v1", "v1beta1")])


# ---- what is in the same stream ----------------------------------------------------------------------------------


def definition(**spec: Any) -> Document:
    names = {"kind": "Robot", "plural": "robots"}
    versions = [{"name": "v1", "served": True}, {"name": "v1alpha1", "served": False}]
    fields = {"group": "example.com", "names": names, "versions": versions, "scope": "Namespaced", **spec}
    return document("CustomResourceDefinition", "robots.example.com", api_version="apiextensions.k8s.io/v1", spec=fields)


def test_a_definition_brings_the_kinds_that_it_serves() -> None:
    found = defined_kinds([document("Pod"), definition()])
    assert list(found) == [("example.com/v1", "Robot")]
    assert (found["example.com/v1", "Robot"].plural, found["example.com/v1", "Robot"].namespaced) == ("robots", True)
    assert not defined_kinds([definition(scope="Cluster")])["example.com/v1", "Robot"].namespaced


@pytest.mark.parametrize("spec", [{"names": None}, {"versions": "v1"}, {"versions": [None]}, {"names": {"kind": "Robot"}}])
def test_a_broken_definition_brings_nothing(spec: dict[str, Any]) -> None:
    assert defined_kinds([definition(**spec)]) == {}


STREAM = [
    document("Namespace", "shop"),
    document("ServiceAccount", "robot", namespace="shop"),
    document("PriorityClass", "high", api_version="scheduling.k8s.io/v1"),
    document("Role", "reader", namespace="shop", api_version="rbac.authorization.k8s.io/v1"),
]


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (404, 'namespaces "shop" not found', "its namespace is in the same stream: shop"),
        (
            403,
            'pods "x" is forbidden: error looking up service account shop/robot: serviceaccount "robot" not found',
            "it needs ServiceAccount/shop/robot",
        ),
        (403, 'pods "x" is forbidden: no PriorityClass with name high was found', "it needs PriorityClass/high"),
        (404, 'roles.rbac.authorization.k8s.io "reader" not found', "it needs Role/shop/reader"),
        (404, 'namespaces "other" not found', ""),
        (403, 'pods "x" is forbidden: User "robot" cannot create resource "pods" in the namespace "shop"', ""),
        (422, 'namespaces "shop" not found', ""),
    ],
)
def test_a_document_may_wait_for_one_of_the_same_stream(status: int, message: str, reason: str) -> None:
    found = waits_for(document("Pod", namespace="shop"), status, message, STREAM)
    assert found.startswith(reason) if reason else found == ""
