"""What a registry's answers say: pure functions from answer to value or error."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from archkit.errors import RegistryError
from archkit.model.oci import READABLE_TYPES, Descriptor
from archkit.model.reference import Digest

if TYPE_CHECKING:
    from archkit.ports.http import HttpResponse

_UNKNOWN = frozenset({"MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_DIGEST = re.compile(r"sha(?:256|384|512):[0-9a-f]{64,128}")
_LONGEST_REASON = 400
_MOST_ERRORS = 5
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_NOT_TEXT = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_NOT_PRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_NEXT = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\b", re.IGNORECASE)


def refused(name: str, response: HttpResponse, advice: str = "") -> RegistryError:
    """The error for an answer with a status that says no.

    Args:
        name: The reference that was asked for.
        response: The answer.
        advice: What to do where the registry knows the caller too little, or does not let them.
    """
    codes, said = what_was_said(response)
    try:
        phrase = HTTPStatus(response.status).phrase.lower()
    except ValueError:
        phrase = "an unknown status"
    if response.status == 401:
        reason = f"the registry asks for sign-in ({said})" if said else "the registry asks for sign-in"
        return RegistryError(name, reason, 401, codes, advice)
    if 300 <= response.status < 400:
        return RegistryError(name, f"the registry points elsewhere ({_elsewhere(response)})", response.status, codes)
    remedy = advice if response.status == 403 else ""
    if wait := response.headers.get("retry-after"):
        remedy = f"the registry says to try again {'in ' + wait + ' s' if wait.isdigit() else 'after ' + wait}"
    return RegistryError(name, said or phrase, response.status, codes, remedy, tuple(sorted(unknown_digests(response) or ())))


def what_was_said(response: HttpResponse) -> tuple[tuple[str, ...], str]:
    """The error codes of an answer, and what it says, in one short line."""
    text = response.body.decode("utf-8", "replace")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    errors = fields.get("errors") if isinstance(fields, dict) else None
    if not isinstance(errors, list):
        return (), _short(_plain(text))
    entries = [entry for entry in errors if isinstance(entry, dict)]
    codes = tuple(str(entry["code"]) for entry in entries if entry.get("code"))
    return codes, _short("; ".join(map(_error_line, entries[:_MOST_ERRORS])))


def _elsewhere(response: HttpResponse) -> str:
    """Where an answer points, without the query, in which signatures stand."""
    parts = urlsplit(urljoin(response.url, response.headers.get("location", "")))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if "location" in response.headers else "it does not say where"


def _error_line(entry: dict[str, Any]) -> str:
    line = ": ".join(str(entry[key]) for key in ("code", "message") if entry.get(key))
    detail = entry.get("detail")
    if not detail:
        return line
    return f"{line} ({detail if isinstance(detail, str) else json.dumps(detail)})"


def _plain(text: str) -> str:
    """A page's title, or its text without tags."""
    if "<" not in text:
        return text
    title = _TITLE.search(text)
    return _NOT_TEXT.sub(" ", title.group(1) if title else text)


def _short(text: str) -> str:
    text = _NOT_PRINTABLE.sub(" ", text).strip()
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


def unknown_digests(response: HttpResponse) -> frozenset[str] | None:
    """The digests that a registry says it does not know, which it may leave unsaid; None where it refuses for another reason.

    Source: distribution answers one ``MANIFEST_BLOB_UNKNOWN`` per missing blob or manifest, with the digest as its detail.
    """
    if response.status not in {400, 404, 422}:
        return None
    try:
        errors = json.loads(response.body)["errors"]
        codes = {str(entry["code"]) for entry in errors}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not codes or not codes <= _UNKNOWN:
        return None
    return frozenset(_DIGEST.findall(json.dumps([entry.get("detail") for entry in errors])))


def described(response: HttpResponse) -> Descriptor | None:
    """The manifest that the headers of an answer describe; None when they leave something out, as older registries do."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip()
    digest, length = response.headers.get("docker-content-digest", ""), response.headers.get("content-length", "")
    if media_type not in READABLE_TYPES or not length.isdigit():
        return None
    try:
        return Descriptor(media_type, Digest(digest), int(length))
    except ValueError:
        return None


def next_page(response: HttpResponse) -> str | None:
    """The URL of the next page (RFC 8288 ``Link`` with ``rel="next"``); None on the last one."""
    found = _NEXT.search(response.headers.get("link", ""))
    return urljoin(response.url, found.group(1)) if found else None


def session_url(response: HttpResponse) -> str | None:
    """The upload session that an answer opens, absolute; None when it names none."""
    location = response.headers.get("location")
    return urljoin(response.url, location) if location else None


def closing_url(session: str, digest: Digest) -> str:
    """What a session is closed with: the session with the digest behind what its query already says."""
    parts = urlsplit(session)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("digest", str(digest))]
    return urlunsplit(parts._replace(query=urlencode(query)))


def tag_page(response: HttpResponse, name: str) -> list[str]:
    """The tags of one page of a tag list.

    Raises:
        RegistryError: The answer is no list of tags.
    """
    try:
        tags = json.loads(response.body)["tags"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RegistryError(name, "the answer is no list of tags", response.status) from error
    if tags is None:  # what Go writes for no tags
        return []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RegistryError(name, "the answer is no list of tags", response.status)
    return tags
