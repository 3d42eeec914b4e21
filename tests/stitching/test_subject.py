"""Indexes that are about another image: subject, artifact type, and who lists them as referrers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from archkit.model.oci import OCI_INDEX, Index
from archkit.planning.index import encode_index

if TYPE_CHECKING:
    from archkit.testing import EmbeddedRegistry, ImageFactory, Response


def with_subject(answer: Response, digest: str | None) -> Response:
    """The answer as a registry gives it that lists referrers, or None: that does not."""
    headers = {name: value for name, value in answer.headers.items() if name != "OCI-Subject"}
    return attrs.evolve(answer, headers=headers if digest is None else {**headers, "OCI-Subject": digest})


@pytest.mark.parametrize("listed", [False, True])
def test_the_registry_says_whether_it_lists_referrers(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, listed: bool
) -> None:
    image = archkit_images.push("app:1", "linux/amd64")
    about = encode_index(Index(OCI_INDEX, tuple(image.children.values()), subject=image.descriptor))

    archkit_registry.on("PUT", kind="manifest", reference="about").tamper(
        lambda answer: with_subject(answer, image.digest if listed else None)
    )
    assert archkit_registry.client().put_referrer(f"{archkit_registry.host}/app:about", about) is listed
    assert archkit_registry.manifest("app:about") == about
