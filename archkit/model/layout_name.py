"""``oci:PATH[:TAG][@DIGEST]``: how texts name what is in an OCI layout, as skopeo and BuildKit's tools write it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from archkit.errors import ReferenceSyntaxError
from archkit.model.reference import Digest, ImageReference

OCI_PREFIX = "oci:"
_DIGEST = re.compile(r"sha[0-9]+:[^/\\]*$")


def layout_reference(tag: str | None = None, digest: str | None = None) -> ImageReference:
    """A reference for a tag or digest of a layout, with a made-up repository; with neither, the only entry.

    Raises:
        ReferenceSyntaxError: The tag or the digest is none.
    """
    return ImageReference("localhost", "layout", tag, Digest(digest) if digest is not None else None)


def layout_name(path: str | os.PathLike[str], tag: str | None = None, digest: str | None = None) -> str:
    """The text for what stands under a tag or digest of the layout in this folder."""
    return f"{OCI_PREFIX}{os.fspath(path)}" + (f":{tag}" if tag is not None else "") + (f"@{digest}" if digest is not None else "")


def read_layout_name(text: str) -> tuple[Path, ImageReference] | None:
    """The folder, and what is meant in it; None when a text names no layout.

    Raises:
        ReferenceSyntaxError: The path is missing, or what stands behind it is no tag or no digest.
    """
    if not text.startswith(OCI_PREFIX):
        return None
    rest = text.removeprefix(OCI_PREFIX)
    before, _, digest = rest.rpartition("@")
    if _DIGEST.match(digest):
        rest = before
    else:  # a folder may have an @ in its name
        digest = ""
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag or "\\" in tag:
        path, tag = rest, ""
    if not path:
        raise ReferenceSyntaxError(text, "the path of the layout is missing")
    try:
        return Path(path), layout_reference(tag or None, digest or None)
    except ReferenceSyntaxError as error:
        raise ReferenceSyntaxError(text, error.reason) from None
