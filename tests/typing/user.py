"""A script as a user would write it: mypy checks it, and the tests run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit import (
    AffinityRenderer,
    Applied,
    Applier,
    ArchkitError,
    Artifact,
    BuiltImage,
    ClusterApi,
    ClusterConnection,
    ClusterInspector,
    Digest,
    FieldConflictError,
    FilesBuilder,
    Finding,
    ImageReference,
    Mode,
    Pipeline,
    PipelineRun,
    Platform,
    PlatformSet,
    PlatformSyntaxError,
    Rendering,
    Rollout,
    RolloutTimeoutError,
    Targets,
    resolve_targets,
)

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: object, kind: object) -> None:
        """What a type checker looks at."""


NODES = {"items": [{"metadata": {"name": "a", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}}]}
POD = """\
kind: Pod
apiVersion: v1
metadata: {name: web}
spec:
  containers:
  - image: web
"""

cluster = ClusterInspector.from_nodes(NODES).inspect()
assert_type(cluster.platforms, PlatformSet)
assert_type([node.platform for node in cluster.nodes], list[Platform | None])

targets = resolve_targets(requested="linux/amd64,linux/arm64", supported=PlatformSet("linux/arm64"), cluster=cluster, mode=Mode.DEV)
assert_type(targets, Targets)
assert_type(targets.platforms, PlatformSet | None)
assert_type(targets.findings, tuple[Finding, ...])

reference = ImageReference.parse("web:1")
assert_type(reference.digest, Digest | None)

artifact = Artifact(
    "web",
    "src",
    platforms=["linux/arm64", Platform.parse("linux/amd64")],
    builder=FilesBuilder(files={"linux/arm64": "build/arm64", "linux/amd64": "build/amd64"}, entrypoint=["/web"]),
)
assert_type(artifact.platforms, PlatformSet | None)

image = BuiltImage("web", "x.io/web:1", PlatformSet("linux/arm64"))
rendering = AffinityRenderer(builds=[image], affinity="always").render(POD)
assert_type(rendering, Rendering)
print(rendering.text)

try:
    Platform.parse("linux/amr64")
except PlatformSyntaxError as error:
    assert_type(error.suggestion, str)
    print(error.suggestion)
except ArchkitError as error:
    print(error.problem())


def ship(connection: ClusterConnection, manifest: str) -> Rollout:
    """Checked and not called: there is no cluster here."""
    api: ClusterApi = connection
    applier = Applier(api, on_event=print)
    try:
        applied = applier.apply({"web.yaml": manifest}, dry_run=False)
    except FieldConflictError as error:
        assert_type(error.conflicts, tuple[tuple[str, str, str], ...])
        applied = applier.apply(manifest, force=True)
    assert_type(applied, Applied)
    assert_type([item.outcome == "created" for item in applied.objects], list[bool])
    try:
        return applier.wait(applied, timeout=60)
    except RolloutTimeoutError as error:
        assert_type(error.workloads, tuple[tuple[str, str], ...])
        done = Pipeline(artifact, manifests="k8s", connection=connection, default_repo="x.io", tag="1").run(allow={"no-node-for-pod"})
        assert_type(done, PipelineRun)
        return done.rollout


# What is wrong must be an error: mypy reports an ignore that nothing needs.
if TYPE_CHECKING:
    Platform("linux")  # type: ignore[call-arg]
    Platform("linux", "arm64").os = "windows"  # type: ignore[misc]
    resolve_targets(mode="dev")  # type: ignore[arg-type]
    AffinityRenderer(affinity="sometimes")  # type: ignore[arg-type]
    PlatformSyntaxError()  # type: ignore[call-arg]
    PlatformSyntaxError("x", 7)  # type: ignore[arg-type]
