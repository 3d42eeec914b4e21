"""Manifests as objects: dicts, and ruamel.yaml's round-trip mappings, whose comments survive."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from archkit import AffinityRenderer, BuiltImage, ManifestLimits, ManifestSyntaxError, ManifestTooLarge, PlatformSet

REFERENCE = "r.example/web:1@sha256:" + "9" * 64
RENDERER = AffinityRenderer(builds=[BuiltImage("web", REFERENCE, PlatformSet("linux/amd64,linux/arm64"))], affinity="always")
TEXT = """\
# head
apiVersion: v1 # version
kind: Pod
spec:
  nodeSelector: {disk: ssd} # disk
  containers:
  # the only one
  - name: "a" # quoted
    image: 'web' # ours
"""


def round_trip() -> Any:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def dumped(data: Any) -> str:
    stream = io.StringIO()
    round_trip().dump(data, stream)
    return stream.getvalue()


def test_comments_quotes_and_order_of_ruamel_mappings_survive() -> None:
    data = round_trip().load(TEXT)

    rendered = RENDERER.render_objects([data])

    text = dumped(rendered.objects[0])
    assert dumped(data) == TEXT, "the caller's object has changed"
    for line in TEXT.replace("'web'", f"'{REFERENCE}'").splitlines():
        assert line in text.splitlines()
    assert text.index("affinity:") < text.index("nodeSelector:")
    again = YAML(typ="safe").load(RENDERER.render(TEXT).text)
    assert YAML(typ="safe").load(text) == again


def test_anchors_of_ruamel_mappings_stay_shared() -> None:
    items = "- &p\n  apiVersion: v1\n  kind: Pod\n  spec: {containers: [{image: web}]}\n- *p\n"
    data = round_trip().load("apiVersion: v1\nkind: List\nitems:\n" + items)

    rendered = RENDERER.render_objects([data])

    first, second = rendered.objects[0]["items"]
    assert first is second
    assert len(rendered.pods) == 2
    assert json.dumps(first).count("nodeAffinity") == 1


def test_an_object_that_something_else_shares_is_left_alone() -> None:
    spec = {"containers": [{"image": "web"}]}
    data = {"apiVersion": "v1", "kind": "Pod", "spec": spec, "copy": spec}

    rendered = RENDERER.render_objects([data])

    assert rendered.objects[0] is data
    assert [finding.code for finding in rendered.findings] == ["shared-by-alias"]


def test_objects_in_objects_out() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"affinity": None, "containers": [{"image": "web"}]}}
    service = {"apiVersion": "v1", "kind": "Service"}
    before = copy.deepcopy([pod, service])

    rendered = RENDERER.render_objects([pod, service, None])

    assert [pod, service] == before
    assert rendered.objects[1] is service
    assert rendered.objects[2] is None
    assert rendered.objects[0]["spec"]["containers"][0]["image"] == REFERENCE
    assert [change.where for change in rendered.changes] == [
        "<objects>[0] Pod/p spec.containers[0].image",
        "<objects>[0] Pod/p spec.affinity",
    ]
    rendered.raise_for_findings("info")


def test_what_is_written_is_not_shared_between_objects() -> None:
    pods = [{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "web"}]}} for _ in range(2)]

    first, second = RENDERER.render_objects(pods).objects
    first["spec"]["affinity"]["nodeAffinity"].clear()

    assert second["spec"]["affinity"]["nodeAffinity"]
    assert RENDERER.render_objects(pods).objects[0]["spec"]["affinity"]["nodeAffinity"]


@pytest.mark.parametrize("value", ["text", 5, ["list"], b"bytes"], ids=str)
def test_what_is_no_mapping_is_refused(value: object) -> None:
    with pytest.raises(ManifestSyntaxError, match=r"pods\[1\]"):
        RENDERER.render_objects([None, value], name="pods")


def test_an_object_that_contains_itself_is_refused() -> None:
    data: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod"}
    data["spec"] = {"containers": [{"image": "web", "self": data}]}

    with pytest.raises(ManifestTooLarge, match="contains itself"):
        RENDERER.render_objects([data])


def test_limits_hold_for_objects() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"x": deep}

    with pytest.raises(ManifestTooLarge, match="depth"):
        RENDERER.render_objects([{"apiVersion": "v1", "kind": "Pod", "spec": deep}])
    with pytest.raises(ManifestTooLarge, match="nodes"):
        AffinityRenderer(limits=ManifestLimits(nodes=3)).render_objects([{"a": {"b": {}}, "c": [[], []]}])
