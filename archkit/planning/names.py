"""What an image will be called: the artifact's name, the sink's repository and the tag, joined."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archkit.errors import BuildError, ReferenceSyntaxError
from archkit.model.build import RegistrySink
from archkit.model.reference import ImageReference

if TYPE_CHECKING:
    from archkit.model.build import Sink

KO = "ko://"
"""What stands before a Go import path where manifests for ko name an image."""
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]+")


def final_reference(image: str, sink: Sink, tag: str) -> ImageReference:
    """The full name that an artifact's image gets.

    Below a ``default_repo`` a name without a registry keeps its path, and one with a registry is flattened: runs of
    other than letters and digits become ``_`` (as Skaffold's ``--default-repo``). A name that stands below it already
    stays.

    >>> str(final_reference("gcr.io/k8s/app", RegistrySink("127.0.0.1:5000/dev"), "1"))
    '127.0.0.1:5000/dev/gcr_io_k8s_app:1'

    A ``ko://`` name is a Go import path: its host is no registry, and capital letters become small ones.

    Raises:
        ReferenceSyntaxError: The name, the tag or ``default_repo`` is not in the grammar.
        BuildError: The name has a tag or digest of its own; or the image would go to a registry that nobody named.
    """
    written, image = image, image.removeprefix(KO).lower() if image.startswith(KO) else image
    named = ImageReference.parse(image)
    if named.tag is not None or named.digest is not None:
        raise BuildError(written, "an artifact's image is a name without tag and digest", "", "give the tag as `tag`")
    if not isinstance(sink, RegistrySink):
        return named.with_tag(tag)
    if sink.default_repo is None:
        if written is not image:
            raise BuildError(written, "an import path says what is built and not where it goes", "", "give a default_repo")
        if not writes_registry(image):
            remedy = f"name the registry, as in HOST/{image}, or give a default_repo"
            raise BuildError(image, "the name has no registry and there is no default_repo; it would go to Docker Hub", "", remedy)
        return named.with_tag(tag)
    base = sink.default_repo.rstrip("/")
    if not writes_registry(f"{base}/x"):
        raise ReferenceSyntaxError(sink.default_repo, "a default_repo starts with a registry host")
    if image.startswith(f"{base}/"):
        return named.with_tag(tag)
    path = _NOT_ALPHANUMERIC.sub("_", image).strip("_").lower() if writes_registry(image) else image
    return ImageReference.parse(f"{base}/{path}").with_tag(tag)


def writes_registry(image: str) -> bool:
    """Whether a name spells out its registry's host (``docker.io/web`` does, ``team/web`` does not)."""
    first, slash, _ = image.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first or first.lower() != first)
