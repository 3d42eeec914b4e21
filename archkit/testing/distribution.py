"""The OCI distribution API over what a registry holds: request in, response out, no socket.

Source: OCI distribution specification 1.1; where it leaves a choice, what github.com/distribution/distribution does.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from archkit.testing.contents import Refusal, as_digest
from archkit.testing.messages import Response, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.testing.contents import RegistryContents, Repository
    from archkit.testing.messages import Request, Route

_API = {"Docker-Distribution-Api-Version": "registry/2.0"}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = re.compile(r"(\d+)-(\d+)")
_JSON = "application/json"


class DistributionApi:
    """Answers the requests of the distribution API.

    Args:
        contents: What the registry holds.
        delete: Whether manifests, tags and blobs may be deleted.
    """

    def __init__(self, contents: RegistryContents, *, delete: bool = True) -> None:
        self._contents = contents
        self._delete = delete
        self._handlers = {
            "base": self._base,
            "manifest": self._manifest,
            "blob": self._blob,
            "upload": self._upload,
            "tags": self._tags,
        }

    def handle(self, request: Request) -> Response:
        """The answer to a request; what is asked for is done when this returns."""
        where = route(request.path)
        handler = self._handlers.get(where.kind, _no_such_path)
        try:
            with self._contents.lock:
                response = handler(request, where)
        except Refusal as refusal:
            response = Response(refusal.status, {"Content-Type": _JSON}, json.dumps({"errors": refusal.errors}).encode())
        return Response(response.status, {**_API, **response.headers}, response.body)

    def _base(self, request: Request, _: Route) -> Response:
        _allowed(request, "GET", "HEAD")
        return Response(200, {"Content-Type": _JSON}, b"{}")

    def _manifest(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD", "PUT", "DELETE")
        if ":" in where.reference:
            as_digest(where.reference)
        if request.method == "PUT":
            media_type = request.headers.get("content-type", "").partition(";")[0].strip()
            digest = self._contents.store_manifest(where.repository, where.reference, request.body, media_type)
            return Response(201, {"Location": f"/v2/{where.repository}/manifests/{digest}", "Docker-Content-Digest": digest})
        if request.method == "DELETE":
            self._must_delete()
            self._contents.remove_manifest(where.repository, where.reference)
            return Response(202)
        found = self._contents.find_manifest(where.repository, where.reference)
        if not _accepts(request, found.media_type):
            message = f"the manifest is {found.media_type}, which Accept does not list"
            raise Refusal(404, "MANIFEST_UNKNOWN", message, {"reference": where.reference})
        name: str = where.reference if ":" in where.reference else found.digest
        return Response(200, {"Content-Type": found.media_type, "Docker-Content-Digest": name, "ETag": f'"{name}"'}, found.content)

    def _blob(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD", "DELETE")
        digest = as_digest(where.reference)
        content = self._contents.find_blob(where.repository, digest)
        if request.method == "DELETE":
            self._must_delete()
            del self._contents.repository(where.repository).blobs[digest]
            return Response(202)
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes",
        }
        return _part(request, headers, content)

    def _upload(self, request: Request, where: Route) -> Response:
        if not where.reference:
            _allowed(request, "POST")
            return self._begin(request, where.repository)
        _allowed(request, "GET", "PATCH", "PUT", "DELETE")
        repository = self._contents.repository(where.repository)
        session = repository.uploads.get(where.reference)
        if session is None:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload", {"upload": where.reference})
        if request.method == "DELETE":
            del repository.uploads[where.reference]
            return Response(204)
        if request.method == "GET":
            return Response(204, _session_headers(where.repository, where.reference, len(session)))
        digest = as_digest(request.query.get("digest", "")) if request.method == "PUT" else None
        _check_chunk(request, len(session), where)
        session += request.body
        if digest is None:
            return Response(202, _session_headers(where.repository, where.reference, len(session)))
        del repository.uploads[where.reference]
        self._contents.store_blob(where.repository, bytes(session), digest)
        return _stored(where.repository, digest)

    def _begin(self, request: Request, name: str) -> Response:
        query = request.query
        repository: Repository = self._contents.made_repository(name)
        if "mount" in query:
            digest = as_digest(query["mount"])
            try:
                repository.blobs[digest] = self._contents.find_blob(query.get("from", ""), digest)
            except Refusal:
                pass  # an upload is opened instead
            else:
                return _stored(name, digest)
        if "digest" in query:
            digest = as_digest(query["digest"])
            self._contents.store_blob(name, request.body, digest)
            return _stored(name, digest)
        session = uuid.uuid4().hex
        repository.uploads[session] = bytearray()
        return Response(202, _session_headers(name, session, 0))

    def _tags(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD")
        tags = sorted(self._contents.repository(where.repository).tags)
        query = request.query
        if "last" in query:
            tags = [tag for tag in tags if tag > query["last"]]
        headers = {"Content-Type": _JSON}
        if "n" in query:
            if not query["n"].isdigit():
                raise Refusal(400, "PAGINATION_NUMBER_INVALID", "n is no number", {"n": query["n"]})
            count = int(query["n"])
            if 0 < count < len(tags):
                more = urlencode({"n": count, "last": tags[count - 1]})
                headers["Link"] = f'</v2/{where.repository}/tags/list?{more}>; rel="next"'
            tags = tags[:count]
        return Response(200, headers, json.dumps({"name": where.repository, "tags": tags}).encode())

    def _must_delete(self) -> None:
        if not self._delete:
            raise Refusal(405, "UNSUPPORTED", "this registry does not delete")


def _no_such_path(request: Request, _: Route) -> Response:
    raise Refusal(404, "UNSUPPORTED", "this registry has no such path", {"path": request.path})


def _allowed(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refusal(405, "UNSUPPORTED", f"{request.method} is not possible here", {"allowed": methods})


def _accepts(request: Request, media_type: str) -> bool:
    """Whether Accept lists the type; a client that sends none takes anything."""
    accept = request.headers.get("accept")
    if accept is None:
        return True
    listed = {entry.partition(";")[0].strip() for entry in accept.split(",")}
    return bool(listed & {media_type, "application/*", "*/*"})


def _session_headers(name: str, session: str, size: int) -> Mapping[str, str]:
    location = f"/v2/{name}/blobs/uploads/{session}"
    return {"Location": location, "Range": f"0-{max(size - 1, 0)}", "Docker-Upload-UUID": session}


def _stored(name: str, digest: str) -> Response:
    return Response(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def _check_chunk(request: Request, size: int, where: Route) -> None:
    """Chunks come in order: a Content-Range must begin where the upload ends (416 otherwise)."""
    stated = request.headers.get("content-range")
    if stated is None:
        return
    found = _CHUNK.fullmatch(stated)
    if found is None:
        raise Refusal(400, "BLOB_UPLOAD_INVALID", "Content-Range is no FIRST-LAST", {"Content-Range": stated})
    first, last = map(int, found.groups())
    if first != size or last - first + 1 != len(request.body):
        detail = {"Content-Range": stated, "expected": size, "upload": where.reference}
        raise Refusal(416, "BLOB_UPLOAD_INVALID", "the chunk does not continue the upload", detail)


def _part(request: Request, headers: Mapping[str, str], content: bytes) -> Response:
    """The content, or the one range of it that was asked for (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or found.groups() == ("", ""):
        return Response(200, headers, content)
    first, last = found.groups()
    size = len(content)
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or end < start:
        raise Refusal(416, "RANGE_INVALID", "there is no such range in the blob", {"size": size})
    return Response(206, {**headers, "Content-Range": f"bytes {start}-{end}/{size}"}, content[start : end + 1])
