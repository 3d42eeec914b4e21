"""What a repository of an embedded registry allows: how registries differ, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal

import attrs

Action = Literal["pull", "push", "delete"]
TagDeletion = Literal["tag", "manifest", "refused"]
_ALL_TOO = "*"


def _frozen(actions: Iterable[Action]) -> frozenset[Action]:
    return frozenset(actions)


@attrs.frozen(kw_only=True)
class RepositoryRules:
    """What may be done in a repository; each of these is the habit of some registry."""

    immutable_tags: bool = False
    """A tag that exists is not written again, not even with the same content (ECR's 400 ``TAG_INVALID``)."""
    denied: frozenset[Action] = attrs.field(factory=frozenset, converter=_frozen)
    """What nobody may do here, whoever they are: 403 ``DENIED``."""
    index: bool = True
    """Whether indexes and manifest lists are stored; otherwise 400 ``MANIFEST_INVALID``, as of Harbor 1."""
    delete: bool = True
    """Whether manifests, tags and blobs are deleted; otherwise 405 ``UNSUPPORTED``."""
    tag_delete: TagDeletion = "tag"
    """What the deletion of a tag removes: the tag, its manifest with all other tags of it, or nothing (400, as of distribution 2)."""
    referrers: bool = True
    """Whether it keeps a list of what names a manifest as its subject; otherwise 404, and no ``OCI-Subject``."""
    tag_parameters: bool = True
    """Whether a manifest stored by digest gets the tags that its query names, each confirmed by ``OCI-Tag``."""
    mounts: bool = True
    """Whether blobs are mounted from other repositories; otherwise an upload is opened."""


Rules = RepositoryRules | Mapping[str, RepositoryRules]
"""One set of rules for every repository, or one by path; ``team/*`` is every path that begins so, the first that fits counts."""


def rules_of(rules: Rules, repository: str) -> RepositoryRules:
    """The rules that count in a repository."""
    if isinstance(rules, RepositoryRules):
        return rules
    return next((found for pattern, found in rules.items() if pattern == _ALL_TOO or fnmatchcase(repository, pattern)), RepositoryRules())
