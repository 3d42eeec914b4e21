"""The whole path on this machine: a recorded cluster, a program for two CPUs, a registry, an index, a pinned Pod.

Needs no root, no engine and no cluster: the cluster is a recording of `kubectl get nodes -o json`, the registry is
the one that archkit's test kit carries, and the program is written byte by byte.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hello.make_hello import make_hello

from archkit import Artifact, ClusterInspector, Event, FilesBuilder, Mode, Pipeline
from archkit.testing import EmbeddedRegistry

HERE = Path(__file__).parent


def title(text: str) -> None:
    """A heading."""
    print(f"\n── {text} {'─' * max(0, 100 - len(text))}")


def tell(event: Event) -> None:
    """One line for each finished step."""
    if event.stage == "finished":
        platform = f" {event.platform}" if event.platform else ""
        print(f"{event.work:>7}{platform}: {event.message}")


def main() -> None:
    """Plan, build, push, stitch, render."""
    cluster = ClusterInspector.from_nodes(HERE / "clusters" / "gke-mixed.json").inspect()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRegistry() as registry:
        programs = make_hello(Path(folder))
        hello = Artifact("hello", folder, builder=FilesBuilder(files=programs, entrypoint=["/hello"], native=False))
        pipeline = Pipeline(
            hello,
            manifests=HERE / "hello" / "pod.yaml",
            cluster=cluster,
            default_repo=f"{registry.host}/demo",
            tag="latest",
            on_event=tell,
        )

        title("The plan: what would be built, and why")
        print(pipeline.plan(Mode.RUN).explain())

        title(f"Build, push to {registry.host}, verify, stitch")
        image = pipeline.build().images[0]
        print(f"\nbuilt {image.reference}")
        print(f"tags in the registry: {', '.join(registry.tags('demo/hello'))}")

        title("The index, as `docker manifest inspect` shows it")
        print(json.dumps(json.loads(registry.manifest(image.reference).content), indent=3))

        title("The Pod: image pinned to the index, and only on nodes that the image runs on")
        for path, rendering in pipeline.render().items():
            print(rendering.text, end="")
            rendering.raise_for_findings()
            print(f"\n{path.name}: {len(rendering.changes)} changes, every other byte as it was")
            for finding in rendering.findings:
                print(finding)


if __name__ == "__main__":
    main()
