"""Whatever request of an apply fails, and however: what the error says was applied is there, and nothing else is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from app_manifests import CONFIG, DEFINITION, DEPLOYMENT, JOB, NAMESPACE, POD, ROBOT, SECRET, stream, within

from archkit import Applier, ApplyError, ClusterConnection, ClusterError, Event, Retries

if TYPE_CHECKING:
    from archkit.testing import EmbeddedCluster

STREAM = stream(NAMESPACE, *(within("shop", one) for one in (SECRET, CONFIG, DEPLOYMENT, JOB, POD, ROBOT)), DEFINITION)
KINDS = {
    "Namespace/shop": "namespaces",
    "CustomResourceDefinition/robots.example.com": "customresourcedefinitions",
    "Secret/shop/login": "secrets",
    "ConfigMap/shop/colors": "configmaps",
    "Deployment/shop/web": "deployments",
    "Job/shop/migrate": "jobs",
    "Pod/shop/hello": "pods",
    "Robot/shop/r2": "robots",
}
PATCHES = 14
"""Of a whole apply after the first check: namespace and kind, a check of the six others, and these."""
CHECKS = range(3, 9)


def there(cluster: EmbeddedCluster) -> set[str]:
    found: set[str] = set()
    for label, kind in KINDS.items():
        with suppress(LookupError):  # the kind itself is not there
            found |= {label for one in cluster.objects(kind) if one["metadata"]["name"] == label.rpartition("/")[2]}
    return found


@pytest.mark.parametrize("lost", [False, True], ids=["not carried out", "answer lost"])
@pytest.mark.parametrize("number", range(1, PATCHES + 2))
def test_a_cut_at_any_change(archkit_cluster: EmbeddedCluster, number: int, lost: bool) -> None:
    def cut(event: Event) -> None:
        if (event.work, event.stage) == ("apply", "started"):
            archkit_cluster.on("PATCH").tamper(lambda response: response).times(number - 1)
            archkit_cluster.on("PATCH").drop(after=0 if lost else None).times(1).optional()

    connection = ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)
    connection._retries = Retries(attempts=1)
    if number > PATCHES:
        Applier(connection, on_event=cut).apply(STREAM)
        assert there(archkit_cluster) == set(KINDS)
        return

    with pytest.raises(ApplyError) as caught:
        Applier(connection, on_event=cut).apply(STREAM)

    error, found = caught.value, there(archkit_cluster)
    assert {*error.applied, *error.uncertain, *error.not_applied} == set(KINDS)
    assert len(error.applied) + len(error.uncertain) + len(error.not_applied) == len(KINDS)
    assert set(error.applied) <= found <= {*error.applied, *error.uncertain}
    assert len(error.uncertain) == (0 if number in CHECKS else 1)
    assert (found == set(error.applied)) == (number in CHECKS or not lost)
    assert isinstance(error.__cause__, ClusterError)
    # the same call again makes the rest
    again = Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)).apply(STREAM)
    assert {item.label for item in again.objects} == there(archkit_cluster) == set(KINDS)
    assert {item.label for item in again.objects if item.outcome == "unchanged"} == found
