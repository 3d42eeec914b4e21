"""What applying and waiting give."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

Outcome: TypeAlias = Literal["created", "configured", "unchanged", "replaced"]


@attrs.frozen
class AppliedObject:
    """What became of one object, or of a dry run would become of it."""

    api_version: str
    kind: str
    namespace: str
    """Empty for objects of no namespace."""
    name: str
    outcome: Outcome
    """``unchanged``: it was as the document wants it already."""
    diff: str
    """What changed, a line each (``+`` came, ``-`` went, ``~`` became something else); what a Secret holds is ``***``."""
    where: str
    """Where the document stands: ``file:line``."""
    path: str
    """Where the API has it, such as ``/apis/apps/v1/namespaces/shop/deployments/web``."""

    @property
    def label(self) -> str:
        """``Kind/namespace/name``."""
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))

    def __str__(self) -> str:
        return f"{self.label} {self.outcome}"


@attrs.frozen
class Applied:
    """What became of the objects of a manifest, in the order in which they were applied."""

    objects: tuple[AppliedObject, ...]
    cluster: str
    """Context and server."""
    dry_run: bool = False
    """Whether nothing was changed: this is what would be done."""
    unchecked: tuple[tuple[str, str], ...] = ()
    """Objects that the server could not check before anything was applied, each with the reason: what they need is in
    the same manifest."""

    @property
    def changed(self) -> bool:
        """Whether anything changed."""
        return any(item.outcome != "unchanged" for item in self.objects)

    def explain(self) -> str:
        """The same for a person, with the diffs: of objects that are new only after a dry run."""
        lines = [f"{'dry run: ' if self.dry_run else ''}{counted(len(self.objects))}, cluster {self.cluster}"]
        for item in self.objects:
            told = self.dry_run or item.outcome != "created"
            lines += [str(item), *(f"  {line}" for line in item.diff.splitlines() if told)]
        lines += [f"not checked before: {name}: {reason}" for name, reason in self.unchecked]
        return "\n".join(lines)


def counted(objects: int) -> str:
    """So many objects, as people say it."""
    return "1 object" if objects == 1 else f"{objects} objects"


@attrs.frozen
class Rollout:
    """Workloads that are where their manifests want them."""

    workloads: tuple[tuple[str, str], ...]
    """Each as ``Kind/namespace/name``, with what there is of it."""

    def explain(self) -> str:
        """The same for a person."""
        return "\n".join(f"{name}: {reason}" for name, reason in self.workloads) or "no workloads"
