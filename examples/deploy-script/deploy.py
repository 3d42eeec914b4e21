"""Ships a release of the shop: one index of the images that CI built, pinned manifests, a rollout that is waited for.

    python deploy.py v1.2 --registry ghcr.io/team [--context prod] [--dry-run]

CI pushes one image for each CPU: shop:v1.2-amd64 and shop:v1.2-arm64.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from archkit import (
    AffinityRenderer,
    Applier,
    BuiltImage,
    ClusterConnection,
    ClusterInspector,
    IndexStitcher,
    RegistryClient,
)

MANIFEST = Path(__file__).with_name("shop.yaml")
CPUS = ("amd64", "arm64")


def ship(
    release: str,
    *,
    registry: str,
    cpus: tuple[str, ...] = CPUS,
    context: str | None = None,
    dry_run: bool = False,
    timeout: float = 300,
) -> list[str]:
    """Ship a release; what became of each object.

    Args:
        release: The tag, such as ``v1.2``.
        registry: Where the images are: a host, and a path if there is one.
        cpus: Those that CI built for.
        context: Of the kubeconfig; None: the current one.
        dry_run: Only ask the cluster what would change.
        timeout: Seconds that the rollout may take.
    """
    connection = ClusterConnection.from_kubeconfig(context=context)
    cluster = ClusterInspector(connection).inspect()
    target = f"{registry}/shop:{release}"
    with RegistryClient() as client:
        index = IndexStitcher(client).stitch(target, {f"linux/{cpu}": f"{target}-{cpu}" for cpu in cpus}, dry_run=dry_run)
    image = BuiltImage("shop", str(index.reference), index.platforms)

    rendering = AffinityRenderer(builds=[image], cluster=cluster).render(MANIFEST.read_text(encoding="utf-8"), name=MANIFEST.name)
    rendering.raise_for_findings()

    applier = Applier(connection, field_manager="shop-deploy")
    applied = applier.apply(rendering.text, dry_run=dry_run, name=MANIFEST.name)
    if not dry_run:
        applier.wait(applied, timeout)
    return [str(each) for each in applied.objects]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ship a release of the shop.")
    parser.add_argument("release")
    parser.add_argument("--registry", required=True)
    parser.add_argument("--context")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    for line in ship(options.release, registry=options.registry, context=options.context, dry_run=options.dry_run):
        print(line)


if __name__ == "__main__":
    main()
