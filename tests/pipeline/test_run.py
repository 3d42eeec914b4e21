"""Pipeline.run: from source to running pods on one connection, and what stops it before anything is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    Artifact,
    BuildError,
    BuildResult,
    ClusterConnection,
    ClusterError,
    ClusterInspector,
    CustomBuilder,
    Event,
    FilesBuilder,
    FindingsError,
    ManifestSyntaxError,
    Mode,
    Pipeline,
    Pool,
    RolloutError,
    RolloutTimeoutError,
)
from archkit.testing import FakeRunner

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.testing import EmbeddedCluster, EmbeddedRegistry

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello}
spec:
  replicas: 4
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      containers:
      - {name: hello, image: hello}  # ours
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: hello}\nspec: {selector: {app: hello}, ports: [{port: 80}]}\n"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.fixture
def hello(tmp_path: Path) -> Artifact:
    """Texts instead of programs: nothing runs here."""
    files = {}
    for cpu in ("amd64", "arm64"):
        folder = tmp_path / "build" / cpu
        folder.mkdir(parents=True)
        (folder / "hello.txt").write_text(cpu)
        files[f"linux/{cpu}"] = folder
    (tmp_path / "source").mkdir()
    return Artifact("hello", tmp_path / "source", builder=FilesBuilder(files=files, entrypoint=["/hello.txt"]))


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "k8s"
    folder.mkdir()
    (folder / "a.yaml").write_text(DEPLOYMENT)
    (folder / "b.yaml").write_text(SERVICE)
    return folder


@pytest.fixture
def connection(archkit_cluster: EmbeddedCluster) -> ClusterConnection:
    return ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)


def spec_of(cluster: EmbeddedCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("Deployment", "hello")["spec"]["template"]["spec"]
    return found


def terms_of(cluster: EmbeddedCluster) -> list[dict[str, str]]:
    """Label and value of each term."""
    selector = spec_of(cluster).get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED, {})
    return [{one["key"]: ",".join(one["values"]) for one in term["matchExpressions"]} for term in selector.get("nodeSelectorTerms", [])]


def test_from_source_to_available(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node("linux/amd64")
    archkit_cluster.add_node("linux/arm64", arch_taint=True)
    events: list[Event] = []
    pipeline = Pipeline(
        hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1", on_event=events.append
    )

    done = pipeline.run()

    assert str(archkit_registry.platforms("hello:1")) == "linux/amd64,linux/arm64"
    assert spec_of(archkit_cluster)["containers"][0]["image"] == done.build.images[0].reference
    assert terms_of(archkit_cluster) == [{"kubernetes.io/os": "linux", "kubernetes.io/arch": cpu} for cpu in ("amd64", "arm64")]
    assert [one["value"] for one in spec_of(archkit_cluster)["tolerations"]] == ["arm64"]
    assert dict(done.rollout.workloads) == {"Deployment/default/hello": "4 of 4 replicas are available"}
    assert [item.label for item in done.applied.objects] == ["Service/default/hello", "Deployment/default/hello"]
    assert (manifests / "a.yaml").read_text() == DEPLOYMENT
    works = [event.work for event in events if event.stage == "finished"]
    assert works[:2] == ["inspect", "build"]
    assert "2 nodes, linux/amd64, linux/arm64" in next(event.message for event in events if event.stage == "finished")
    assert works[-4:] == ["tag", "check", "apply", "wait"]
    assert f"hello: {done.build.images[0].reference}" in done.explain()
    assert "Deployment/default/hello created" in done.explain()


def test_one_connection_is_enough(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node()
    Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1").run()
    lists = [one for one in archkit_cluster.log if one.kind == "nodes" and one.verb == "list"]
    assert len(lists) == 1
    assert {one.user for one in archkit_cluster.log} == {archkit_cluster.log[0].user}


def test_the_plan_names_context_and_server(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact
) -> None:
    archkit_cluster.add_node()
    planned = Pipeline(hello, connection=connection, default_repo=archkit_registry.host, tag="1").plan()
    assert planned.target == connection.name
    assert connection.context in planned.explain()
    assert connection.server in planned.explain()
    assert str(planned.targets[0][1].platforms) == "linux/amd64"
    assert [one for one in archkit_cluster.log if one.method != "GET"] == []


def test_a_given_cluster_is_not_asked_for(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node("linux/amd64")
    archkit_cluster.deny("list", "nodes")
    given = ClusterInspector.from_nodes([], declared=[Pool("later", "linux/amd64,linux/arm64")]).inspect()
    Pipeline(hello, manifests=manifests, connection=connection, cluster=given, default_repo=archkit_registry.host, tag="1").run()
    assert str(archkit_registry.platforms("hello:1")) == "linux/amd64,linux/arm64"
    assert not any(one.kind == "nodes" for one in archkit_cluster.log)
    assert len(terms_of(archkit_cluster)) == 2


def test_each_run_looks_at_the_nodes_anew(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node("linux/amd64")
    pipeline = Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1")
    pipeline.run()
    assert terms_of(archkit_cluster) == []
    archkit_cluster.add_node("linux/arm64")
    assert len(pipeline.plan().targets[0][1].platforms or ()) == 1  # what was planned stays while one plans
    pipeline.run()
    assert len(terms_of(archkit_cluster)) == 2


# ---- what stops it -----------------------------------------------------------------------------------------------


def test_without_a_connection_there_is_nowhere_to_run(archkit_registry: EmbeddedRegistry, hello: Artifact, manifests: Path) -> None:
    with pytest.raises(ClusterError, match="give the pipeline a `connection`"):
        Pipeline(hello, manifests=manifests, default_repo=archkit_registry.host, tag="1").run()


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (None, BuildError, "give the pipeline `manifests`"),
        ("# nothing\n", BuildError, "there is nothing to apply"),
        ("a: [\n", ManifestSyntaxError, "a.yaml"),
        ("kind: Pod\n", ManifestSyntaxError, "no apiVersion"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Values.name }}}\n", ManifestSyntaxError, "template"),
    ],
)
def test_manifests_that_cannot_be_applied_stop_it_before_the_build(
    archkit_registry: EmbeddedRegistry,
    connection: ClusterConnection,
    hello: Artifact,
    tmp_path: Path,
    text: str | None,
    error: type[Exception],
    says: str,
) -> None:
    files: list[Path] = []
    if text is not None:
        files.append(tmp_path / "a.yaml")
        files[0].write_text(text)
    with pytest.raises(error, match=says):
        Pipeline(hello, manifests=files, connection=connection, default_repo=archkit_registry.host, tag="1").run()
    assert list(archkit_registry.log) == []


def test_a_cluster_that_cannot_be_read_stops_it_before_the_build(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.deny("list", "nodes")
    events: list[Event] = []
    with pytest.raises(ClusterError, match="nodes"):
        Pipeline(
            hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1", on_event=events.append
        ).run()
    assert [(event.work, event.stage) for event in events] == [("inspect", "started"), ("inspect", "failed")]
    assert [one for one in archkit_registry.log if one.method not in {"GET", "HEAD"}] == []


def test_a_failed_build_applies_nothing(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, tmp_path: Path, manifests: Path
) -> None:
    archkit_cluster.add_node()

    def fail(*_: object) -> None:
        raise RuntimeError("no compiler")

    broken = Artifact("hello", tmp_path, builder=CustomBuilder(fail))
    with pytest.raises(BuildError, match="no compiler"):
        Pipeline(broken, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1", runner=FakeRunner()).run()
    assert [one for one in archkit_cluster.log if one.method != "GET"] == []


def test_error_findings_stop_it_unless_they_are_allowed(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node()
    pinned = DEPLOYMENT.replace("      containers:", "      nodeSelector: {kubernetes.io/arch: s390x}\n      containers:")
    (manifests / "a.yaml").write_text(pinned)
    pipeline = Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1")

    with pytest.raises(FindingsError) as caught:
        pipeline.run()

    assert {finding.severity for finding in caught.value.findings} == {"error"}
    assert [one for one in archkit_cluster.log if one.method != "GET"] == []
    codes = {finding.code for finding in caught.value.findings}
    if len(codes) > 1:
        with pytest.raises(FindingsError):
            pipeline.run(allow=min(codes))
    with pytest.raises(RolloutTimeoutError, match="the scheduler finds no node"):
        pipeline.run(allow=codes, timeout=3)
    assert archkit_cluster.get("Deployment", "hello")["spec"]["replicas"] == 4


def test_what_gets_not_ready_is_an_error_and_stays(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node("linux/arm64", labels={"kubernetes.io/arch": "amd64"})  # its label lies
    with pytest.raises(RolloutError) as caught:
        Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1").run(timeout=30)
    assert caught.value.workloads[0][0] == "Deployment/default/hello"
    assert "exec format error" in str(caught.value)
    assert "the node is linux/arm64, though its labels say linux/amd64" in str(caught.value)
    assert archkit_cluster.get("Deployment", "hello")


def test_render_and_build_use_what_the_connection_tells(
    archkit_registry: EmbeddedRegistry, archkit_cluster: EmbeddedCluster, connection: ClusterConnection, hello: Artifact, manifests: Path
) -> None:
    archkit_cluster.add_node("linux/amd64")
    archkit_cluster.add_node("linux/arm64")
    pipeline = Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1")
    result = pipeline.build(Mode.BUILD)
    assert isinstance(result, BuildResult)
    assert pipeline.render()[manifests / "a.yaml"].text.count("kubernetes.io/arch") == 2
    assert len([one for one in archkit_cluster.log if one.kind == "nodes" and one.verb == "list"]) == 1


def test_manifests_of_images_that_others_built_need_no_artifact(
    archkit_cluster: EmbeddedCluster, connection: ClusterConnection, manifests: Path
) -> None:
    archkit_cluster.add_node("linux/arm64")
    done = Pipeline([], manifests=manifests, connection=connection, renderer={"platforms": {"hello": "linux/arm64"}}).run()
    assert done.build == BuildResult(())
    assert dict(done.rollout.workloads) == {"Deployment/default/hello": "4 of 4 replicas are available"}
    assert "nothing is built" in done.plan.explain()
