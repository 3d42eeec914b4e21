"""Where each kind has its pods."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from archkit import AffinityRenderer, BuiltImage, KindRule, PlatformSet, PodPlace, Rendering

REFERENCE = "r.example/web:1@sha256:" + "3" * 64
TEMPLATE = "spec.template.spec"
BUILT = [BuiltImage("web", REFERENCE, PlatformSet("linux/arm64"))]


def manifest(version: str, kind: str, path: str, value: Any) -> dict[str, Any]:
    """An object with a value at a path; ``[]`` makes a list of one."""
    for step in reversed(path.replace("[]", ".[]").split(".")):
        value = [value] if step == "[]" else {step: value}
    return {"apiVersion": version, "kind": kind, **value}


def render(data: Any, **options: Any) -> Rendering:
    return AffinityRenderer(builds=BUILT, affinity="always", **options).render(yaml.safe_dump(data, sort_keys=False))


def at(data: Any, path: str) -> Any:
    for step in path.replace("[]", ".[]").split("."):
        data = data[0] if step == "[]" else data[step]
    return data


POD_SPECS = [
    ("v1", "Pod", "spec"),
    ("v1", "PodTemplate", "template.spec"),
    ("v1", "ReplicationController", TEMPLATE),
    *(
        (version, kind, TEMPLATE)
        for version in ("apps/v1", "extensions/v1beta1", "apps/v1beta2")
        for kind in ("Deployment", "ReplicaSet", "DaemonSet")
    ),
    ("apps/v1", "StatefulSet", TEMPLATE),
    ("batch/v1", "Job", TEMPLATE),
    ("batch/v1", "CronJob", f"spec.jobTemplate.{TEMPLATE}"),
    ("batch/v1beta1", "CronJob", f"spec.jobTemplate.{TEMPLATE}"),
    ("argoproj.io/v1alpha1", "Rollout", TEMPLATE),
    ("argoproj.io/v1alpha1", "Experiment", "spec.templates[].template.spec"),
    ("argoproj.io/v1alpha1", "AnalysisTemplate", "spec.metrics[].provider.job.spec.template.spec"),
    ("serving.knative.dev/v1", "Service", TEMPLATE),
    ("serving.knative.dev/v1", "Configuration", TEMPLATE),
    ("batch.volcano.sh/v1alpha1", "Job", "spec.tasks[].template.spec"),
    ("apps.kruise.io/v1alpha1", "CloneSet", TEMPLATE),
    ("apps.kruise.io/v1beta1", "StatefulSet", TEMPLATE),
    ("ray.io/v1", "RayCluster", "spec.headGroupSpec.template.spec"),
    ("ray.io/v1", "RayCluster", "spec.workerGroupSpecs[].template.spec"),
    ("ray.io/v1", "RayJob", "spec.rayClusterSpec.workerGroupSpecs[].template.spec"),
    ("ray.io/v1", "RayJob", "spec.submitterPodTemplate.spec"),
    ("ray.io/v1", "RayService", "spec.rayClusterConfig.headGroupSpec.template.spec"),
    ("jobset.x-k8s.io/v1alpha2", "JobSet", "spec.replicatedJobs[].template.spec.template.spec"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "spec.leaderWorkerTemplate.leaderTemplate.spec"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "spec.leaderWorkerTemplate.workerTemplate.spec"),
]


@pytest.mark.parametrize(("version", "kind", "path"), POD_SPECS)
def test_a_pod_spec_is_found_pinned_and_placed(version: str, kind: str, path: str) -> None:
    rendered = render(manifest(version, kind, path, {"containers": [{"name": "c", "image": "web"}]}))

    spec = at(yaml.safe_load(rendered.text), path)
    assert spec["containers"][0]["image"] == REFERENCE
    assert "nodeAffinity" in spec["affinity"]
    assert [pod.where.split()[-1] for pod in rendered.pods] == [path.replace("[]", "[0]")]


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        pytest.param("v1", "Deployment", id="Deployment is not in the core group"),
        pytest.param("example.com/v1", "Pod", id="Pod of another group"),
        pytest.param("v1", "Service", id="Service has a spec but no pod"),
        pytest.param("serving.knative.dev/v1", "Route", id="Knative without pods"),
        pytest.param("batch/v1", "Task", id="no such kind"),
    ],
)
def test_group_and_kind_decide_never_the_kind_alone(version: str, kind: str) -> None:
    for path in ("spec", TEMPLATE):
        rendered = render(manifest(version, kind, path, {"containers": [{"image": "web"}]}))
        assert not rendered.changes
        assert not rendered.pods


@pytest.mark.parametrize(
    ("version", "kind", "item"),
    [
        pytest.param("v1", "List", {"apiVersion": "v1", "kind": "Pod"}, id="List"),
        pytest.param("v1", "PodList", {"apiVersion": "v1", "kind": "Pod"}, id="typed list"),
        pytest.param("v1", "PodList", {}, id="typed list whose items leave out their kind"),
        pytest.param("example.com/v1", "MixedList", {"apiVersion": "v1", "kind": "Pod"}, id="any list"),
    ],
)
def test_lists_are_entered(version: str, kind: str, item: dict[str, Any]) -> None:
    pod = {**item, "spec": {"containers": [{"image": "web"}]}}
    rendered = render({"apiVersion": version, "kind": kind, "items": [{"apiVersion": "v1", "kind": "Service"}, {**pod}]})

    assert [pod.where.split()[-1] for pod in rendered.pods] == ["items[1].spec"]
    assert "affinity" in yaml.safe_load(rendered.text)["items"][1]["spec"]


def test_a_list_in_a_list_is_entered() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "web"}]}}
    inner = {"apiVersion": "v1", "kind": "List", "items": [pod]}
    assert len(render({"apiVersion": "v1", "kind": "List", "items": [inner, dict(pod)]}).pods) == 2


def test_each_pod_of_an_object_is_placed_by_its_own_images() -> None:
    workers = [{"template": {"spec": {"containers": [{"image": image}]}}} for image in ("web", "gpu")]
    head = {"template": {"spec": {"containers": [{"image": "gpu"}]}}}
    data = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": {"headGroupSpec": head, "workerGroupSpecs": workers}}
    rendered = render(data, platforms={"gpu": "linux/amd64"})

    assert [str(pod.platforms) for pod in rendered.pods] == ["linux/amd64", "linux/arm64", "linux/amd64"]


def test_the_autoscaler_of_ray_runs_in_the_head_pod() -> None:
    head = {"template": {"spec": {"containers": [{"image": "gpu"}]}}}
    spec = {"headGroupSpec": head, "workerGroupSpecs": [], "autoscalerOptions": {"image": "scaler"}}
    rendered = render(
        {"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": spec},
        platforms={"gpu": "linux/amd64,linux/arm64", "scaler": "linux/arm64"},
    )

    assert rendered.pods[0].images == ("gpu", "scaler")
    assert str(rendered.pods[0].platforms) == "linux/arm64"


def test_the_prometheus_operator_has_the_pod_in_the_spec_itself() -> None:
    spec = {"image": "web", "containers": [{"name": "x", "image": "gpu"}]}
    rendered = render({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "spec": spec}, platforms={"gpu": "linux/arm64"})

    assert yaml.safe_load(rendered.text)["spec"]["image"] == REFERENCE
    assert len(rendered.pods) == 1


def test_a_kind_that_cannot_hold_affinity_gets_its_images_pinned_and_a_finding() -> None:
    data = {"apiVersion": "tekton.dev/v1", "kind": "Task", "spec": {"steps": [{"image": "web"}, {"image": "web"}]}}
    rendered = render(data)

    assert yaml.safe_load(rendered.text)["spec"] == {"steps": [{"image": REFERENCE}] * 2}
    assert [finding.code for finding in rendered.findings] == ["kind-without-affinity"]


def test_knative_gets_affinity_and_a_warning_about_its_feature_flag() -> None:
    rendered = render(manifest("serving.knative.dev/v1", "Service", TEMPLATE, {"containers": [{"image": "web"}]}))

    assert [finding.code for finding in rendered.findings] == ["kind-without-affinity"]
    assert "kubernetes.podspec-affinity" in rendered.findings[0].message


def test_a_caller_adds_a_kind_in_a_line() -> None:
    data = manifest("example.com/v1", "Robot", "spec.arms[].pod", {"containers": [{"image": "web"}]})

    assert not render(data).pods
    rendered = render(data, kinds=[KindRule("example.com", "Robot", "spec.arms[].pod")])
    assert "affinity" in yaml.safe_load(rendered.text)["spec"]["arms"][0]["pod"]


@pytest.mark.parametrize("template", [None, {}, {"pod": None}, {"pod": {}}, {"pod": {"metadata": {"labels": {}}}}], ids=str)
def test_a_callers_kind_may_have_image_and_affinity_apart(template: Any) -> None:
    rule = KindRule("kafka.example", "Kafka", [PodPlace("spec.*", ("baseImage", "sidecars[].ref"), (), affinity="template.pod")])
    part = {"baseImage": "web", "sidecars": [{"ref": "web"}]}
    data = {
        "apiVersion": "kafka.example/v1",
        "kind": "Kafka",
        "spec": {"kafka": part if template is None else {**part, "template": template}},
    }
    rendered = render(data, kinds=[rule])

    kafka = yaml.safe_load(rendered.text)["spec"]["kafka"]
    assert kafka["baseImage"] == kafka["sidecars"][0]["ref"] == REFERENCE
    assert "nodeAffinity" in kafka["template"]["pod"]["affinity"]
    assert not render(yaml.safe_load(rendered.text), kinds=[rule]).changes


def test_a_callers_rule_replaces_the_built_in_one() -> None:
    data = manifest("v1", "Pod", "spec", {"containers": [{"image": "web"}]})
    assert not render(data, kinds=[KindRule("", "Pod", ())]).pods


@pytest.mark.parametrize(
    "spec", [None, [], "text", {"containers": None}, {"containers": {}}, {"containers": ["x", None, {"image": 5}, {"image": None}]}]
)
def test_what_does_not_look_like_a_pod_is_left_alone(spec: Any) -> None:
    rendered = render({"apiVersion": "v1", "kind": "Pod", "spec": spec, "image": "web"})
    assert not rendered.changes
