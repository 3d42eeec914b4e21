"""Pools whose nodes have more labels than are known: whoever asks for such a label may still be placed there."""

from __future__ import annotations

from typing import Any

import pytest

from archkit import Cluster, PlatformSet, Pool, Taint
from archkit.planning.placement import place

ARM = PlatformSet("linux/arm64")
KNOWN = {"team": "shop"}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}}


def wants(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("pod", "open_labels", "closed_labels"),
    [
        pytest.param({}, True, True, id="asks for nothing"),
        pytest.param({"nodeSelector": {"team": "shop"}}, True, True, id="a label that is known"),
        pytest.param({"nodeSelector": {"team": "other"}}, False, False, id="another value of one that is known"),
        pytest.param({"nodeSelector": {"zone": "a"}}, True, False, id="a label that may be there"),
        pytest.param({"nodeSelector": {"kubernetes.io/arch": "amd64"}}, False, False, id="another CPU"),
        pytest.param(required(wants("zone", "In", "a")), True, False, id="a term on one that may be there"),
        pytest.param(required(wants("gpu", "Exists")), True, False, id="a label that must be there"),
        pytest.param(required(wants("team", "NotIn", "shop")), False, False, id="a term against one that is known"),
        pytest.param(required(wants("team", "NotIn", "shop"), wants("zone", "In", "a")), True, False, id="one of two terms"),
        pytest.param(required({}), False, False, id="an empty term matches nothing"),
        pytest.param(
            required({"matchExpressions": [*wants("zone", "In", "a")["matchExpressions"], *wants("team", "In", "x")["matchExpressions"]]}),
            False,
            False,
            id="both in one term",
        ),
    ],
)
def test_a_label_that_is_not_known_keeps_nobody_off_a_provisioned_pool(pod: dict[str, Any], open_labels: bool, closed_labels: bool) -> None:
    for more, fits in ((True, open_labels), (False, closed_labels)):
        pool = Pool("x", "linux/arm64", KNOWN, more_labels=more)
        assert (place(ARM, pod, Cluster(pools=[pool])).pools == ("x",)) is fits


def test_taints_of_a_provisioned_pool_are_known() -> None:
    pool = Pool("x", "linux/arm64", KNOWN, (Taint("spot"),), more_labels=True)

    assert place(ARM, {}, Cluster(pools=[pool])).pools == ()
    assert place(ARM, {"tolerations": [{"key": "spot", "operator": "Exists"}]}, Cluster(pools=[pool])).pools == ("x",)
