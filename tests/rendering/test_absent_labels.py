"""A rule that asks for nodes without a platform label admits nodes of no platform at all, so it has to be closed."""

from __future__ import annotations

import pytest
from kube_scheduler import admits

from archkit import AffinityRenderer

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OS, ARCH = "kubernetes.io/os", "kubernetes.io/arch"


@pytest.mark.parametrize(
    "expressions",
    [
        pytest.param([{"key": OS, "operator": "DoesNotExist"}], id="no operating system"),
        pytest.param([{"key": ARCH, "operator": "DoesNotExist"}], id="no CPU"),
        pytest.param([{"key": OS, "operator": "NotIn", "values": ["windows"]}], id="another operating system, or none"),
    ],
)
@pytest.mark.parametrize("beside", [True, False], ids=["beside a live term", "alone"])
def test_no_node_without_labels_is_admitted(expressions: list[dict[str, object]], beside: bool) -> None:
    live = [{"matchExpressions": [{"key": OS, "operator": "In", "values": ["linux"]}]}] if beside else []
    terms = [*live, {"matchExpressions": expressions}]
    spec = {"containers": [{"name": "a", "image": "a"}], "affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}

    rendered = AffinityRenderer(platforms={"a": "linux/amd64,linux/arm64"}, affinity="always").render_objects([pod])

    if rendered.findings and any(finding.severity == "error" for finding in rendered.findings):
        assert not beside
        return
    after = rendered.objects[0]["spec"]
    assert not admits(after, {"disk": "ssd"}, "bare")
    assert admits(after, {OS: "linux", ARCH: "arm64"}, "right") or not beside
