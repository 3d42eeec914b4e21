"""Pipeline: plan, build and render in one line."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    ArchkitError,
    Artifact,
    BuildError,
    BuildResult,
    Cluster,
    ClusterInspector,
    FilesBuilder,
    LayoutSink,
    Mode,
    Pipeline,
    RegistrySink,
    TargetsError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry

POD = """\
kind: Pod
apiVersion: v1
metadata: {name: hello}
spec:
  containers:
  - {name: hello, image: hello}  # ours
"""


def cluster(*cpus: str) -> Cluster:
    nodes = [{"metadata": {"name": cpu, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": cpu}}} for cpu in cpus]
    return ClusterInspector.from_nodes(nodes).inspect()


MIXED = cluster("amd64", "arm64")


@pytest.fixture
def hello(tmp_path: Path) -> Artifact:
    files = {}
    for cpu, machine in (("amd64", 62), ("arm64", 183)):
        folder = tmp_path / "build" / cpu
        folder.mkdir(parents=True)
        (folder / "hello").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine) + bytes(44))
        files[f"linux/{cpu}"] = folder
    return Artifact("hello", tmp_path / "build", builder=FilesBuilder(files=files, entrypoint="/hello"))


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    path = tmp_path / "k8s" / "pod.yaml"
    path.parent.mkdir()
    path.write_text(POD)
    return path


def test_the_whole_path(hello: Artifact, pod: Path, archkit_registry: EmbeddedRegistry) -> None:
    pipeline = Pipeline(hello, manifests=pod, cluster=MIXED, default_repo=archkit_registry.host, tag="1")

    result = pipeline.build()
    rendering = pipeline.render()[pod]

    assert str(archkit_registry.platforms("hello:1")) == "linux/amd64,linux/arm64"
    assert result.images[0].reference in rendering.text
    assert rendering.text.count("kubernetes.io/arch") == 2
    assert rendering.text.endswith("  # ours\n")
    assert rendering.findings == ()
    assert pod.read_text() == POD


def test_a_plan_writes_nothing_and_says_why(hello: Artifact, archkit_registry: EmbeddedRegistry) -> None:
    plan = Pipeline(hello, cluster=MIXED, default_repo=archkit_registry.host, tag="1").plan()

    told = plan.explain()
    assert all(
        text in told for text in ("mode: run", "linux/amd64, linux/arm64", "the cluster has", f"{archkit_registry.host}/hello:1", "files")
    )
    assert not [exchange for exchange in archkit_registry.log if exchange.method not in {"GET", "HEAD"}]


@pytest.mark.parametrize(
    ("mode", "requested", "expected"),
    [
        (Mode.RUN, None, 2),
        (Mode.BUILD, "linux/arm64", 1),
        (Mode.DEV, None, 1),
        (Mode.DEV, "linux/arm64,linux/amd64", 1),
        (Mode.DEBUG, "all", 1),
        (Mode.RUN, "all", 2),
    ],
    ids=str,
)
def test_the_mode_decides_how_many_platforms_are_built(
    mode: Mode, requested: str | None, expected: int, hello: Artifact, archkit_registry: EmbeddedRegistry
) -> None:
    pipeline = Pipeline(hello, cluster=MIXED, default_repo=archkit_registry.host, tag="1", requested=requested)

    assert len(pipeline.build(mode).images[0].platforms or ()) == expected


def test_a_build_is_what_was_planned_last(hello: Artifact, archkit_registry: EmbeddedRegistry) -> None:
    pipeline = Pipeline(hello, cluster=MIXED, default_repo=archkit_registry.host, tag="1")

    plan = pipeline.plan(Mode.DEV)

    assert plan.build is not None
    assert pipeline.build().images[0].platforms == plan.build.builds[0].platforms
    assert len(plan.build.builds[0].platforms) == 1


def test_in_dev_all_artifacts_get_one_common_platform(hello: Artifact, archkit_registry: EmbeddedRegistry) -> None:
    other = Artifact("other", hello.context, builder=hello.builder, platforms="linux/arm64")
    pipeline = Pipeline([hello, other], cluster=MIXED, default_repo=archkit_registry.host, tag="1")

    plan = pipeline.plan(Mode.DEV)

    assert [str(targets.platforms) for _, targets in plan.targets] == ["linux/arm64", "linux/arm64"]


def test_in_dev_artifacts_without_a_common_platform_get_their_own(hello: Artifact, archkit_registry: EmbeddedRegistry) -> None:
    artifacts = [Artifact(cpu, hello.context, builder=hello.builder, platforms=f"linux/{cpu}") for cpu in ("amd64", "arm64")]

    plan = Pipeline(artifacts, cluster=MIXED, default_repo=archkit_registry.host, tag="1").plan(Mode.DEV)

    assert [str(targets.platforms) for _, targets in plan.targets] == ["linux/amd64", "linux/arm64"]


def test_findings_of_cluster_targets_and_build_are_told_once(hello: Artifact, archkit_registry: EmbeddedRegistry) -> None:
    empty = ClusterInspector.from_nodes({"items": []}).inspect()

    plan = Pipeline(
        [hello, Artifact("two", hello.context, builder=hello.builder)], cluster=empty, default_repo=archkit_registry.host, tag="1"
    ).plan()

    assert [finding.code for finding in plan.findings] == ["no-nodes"]
    assert plan.explain().count("no-nodes") == 1


def test_a_result_file_can_be_rendered_elsewhere(tmp_path: Path, hello: Artifact, pod: Path, archkit_registry: EmbeddedRegistry) -> None:
    first = Pipeline(hello, manifests=[pod], cluster=MIXED, default_repo=archkit_registry.host, tag="1")
    (tmp_path / "build.json").write_text(first.build().to_json())

    second = Pipeline(hello, manifests=pod.parent, cluster=MIXED)

    expected = first.render()[pod].text
    assert second.render(tmp_path / "build.json")[pod].text == expected
    assert second.render(BuildResult.from_json((tmp_path / "build.json").read_bytes()))[pod].text == expected
    assert json.loads((tmp_path / "build.json").read_text())["builds"][0]["imageName"] == "hello"


def test_the_renderer_gets_the_callers_keywords(hello: Artifact, pod: Path, archkit_registry: EmbeddedRegistry) -> None:
    pipeline = Pipeline(
        hello,
        manifests=pod,
        default_repo=archkit_registry.host,
        tag="1",
        requested="linux/amd64,linux/arm64",
        renderer={"affinity": "always"},
    )
    pipeline.build()

    assert pipeline.render()[pod].text.count("kubernetes.io/arch") == 2


def test_of_a_folder_all_manifests_are_rendered(hello: Artifact, pod: Path, archkit_registry: EmbeddedRegistry) -> None:
    (pod.parent / "more.json").write_text('{"kind": "ConfigMap", "apiVersion": "v1"}')
    (pod.parent / "notes.txt").write_text("not a manifest: [")
    pipeline = Pipeline(hello, manifests=str(pod.parent), cluster=MIXED, default_repo=archkit_registry.host, tag="1")
    pipeline.build()

    assert list(pipeline.render()) == [pod.parent / "more.json", pod]


def test_images_can_go_into_a_layout(tmp_path: Path, hello: Artifact) -> None:
    assert Pipeline(hello, sink=LayoutSink(tmp_path / "out"), tag="1", requested="linux/arm64,linux/amd64").build().images[0].platforms


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        pytest.param({"tag": None, "default_repo": "ghcr.io/x"}, BuildError, ["hello", "tag"], id="no tag"),
        pytest.param({"requested": "linux/amd64,linux/arm64"}, BuildError, ["hello", "default_repo"], id="nowhere to push"),
        pytest.param(
            {"default_repo": "ghcr.io/x", "requested": "linux/s390x"}, TargetsError, ["linux/s390x", "linux/amd64"], id="not supported"
        ),
    ],
)
def test_refused_before_anything_is_built(options: dict[str, Any], error: type[ArchkitError], names: list[str], hello: Artifact) -> None:
    with pytest.raises(error) as caught:
        Pipeline(hello, **{"tag": "1", **options}).build()

    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    "options", [{"sink": LayoutSink("x")}, {"sink": RegistrySink("ghcr.io/y")}], ids=["a layout", "another repository"]
)
def test_a_sink_that_does_not_go_with_the_default_repo_is_refused(options: dict[str, Any], hello: Artifact) -> None:
    with pytest.raises(BuildError, match="does not go with"):
        Pipeline(hello, default_repo="ghcr.io/x", **options)


def test_a_sink_without_repository_takes_the_default_repo(hello: Artifact) -> None:
    assert Pipeline(hello, sink=RegistrySink(), default_repo="ghcr.io/x").sink == RegistrySink("ghcr.io/x")


def test_a_requested_platform_that_is_none_is_refused_at_once(hello: Artifact) -> None:
    with pytest.raises(ArchkitError, match="linux/arm46"):
        Pipeline(hello, requested="linux/arm46")


def test_a_plan_without_tag_tells_the_targets(hello: Artifact) -> None:
    plan = Pipeline(hello, cluster=MIXED).plan()

    assert plan.build is None
    assert "nothing can be built yet" in plan.explain()


def test_rendering_before_building_is_refused(hello: Artifact, pod: Path) -> None:
    with pytest.raises(BuildError, match="nothing has been built yet"):
        Pipeline(hello, manifests=pod).render()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("{", "cannot be read"), ('{"builds": [{"imageName": 5}]}', "cannot be read"), ("[]", "cannot be read")],
    ids=str,
)
def test_a_result_file_that_cannot_be_read_is_named(content: str | None, reason: str, tmp_path: Path, hello: Artifact, pod: Path) -> None:
    path = tmp_path / "build.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(BuildError, match=reason):
        Pipeline(hello, manifests=pod).render(path)
