"""The OCI distribution API over what a registry holds: request in, response out, no socket.

Source: OCI distribution specification 1.1; where it leaves a choice, what github.com/distribution/distribution does.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from archkit.model.oci import INDEX_TYPES, OCI_INDEX
from archkit.testing.contents import Refusal, as_digest
from archkit.testing.messages import Response, route
from archkit.testing.rules import RepositoryRules, rules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archkit.testing.contents import RegistryContents
    from archkit.testing.messages import Request, Route
    from archkit.testing.rules import Action, Rules

_API = {"Docker-Distribution-Api-Version": "registry/2.0"}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = re.compile(r"(\d+)-(\d+)")
_JSON = "application/json"
_MOST_TAGS = 100
"""Tags that one PUT may name; the specification wants 10 at least."""


class DistributionApi:
    """Answers the requests of the distribution API.

    Args:
        contents: What the registry holds.
        rules: What its repositories allow.
        discover: Whether a blob is mounted from any repository when the client names none.
    """

    def __init__(self, contents: RegistryContents, *, rules: Rules | None = None, discover: bool = True) -> None:
        self._contents = contents
        self._rules = RepositoryRules() if rules is None else rules
        self._discover = discover
        self._handlers = {
            "base": self._base,
            "catalog": self._catalog,
            "manifest": self._manifest,
            "blob": self._blob,
            "upload": self._upload,
            "tags": self._tags,
            "referrers": self._list_referrers,
        }

    def handle(self, request: Request) -> Response:
        """The answer to a request; what is asked for is done when this returns."""
        where = route(request.path)
        handler = self._handlers.get(where.kind, _no_such_path)
        try:
            if where.repository:
                self._must_allow(request, where)
            with self._contents.lock:
                response = handler(request, where)
        except Refusal as refusal:
            response = Response(refusal.status, {"Content-Type": _JSON}, json.dumps({"errors": refusal.errors}).encode())
        return Response(response.status, {**_API, **response.headers}, response.body)

    def _rules_of(self, where: Route) -> RepositoryRules:
        return rules_of(self._rules, where.repository)

    def _must_allow(self, request: Request, where: Route) -> None:
        action = _action(request, where)
        if action in self._rules_of(where).denied:
            raise Refusal(403, "DENIED", f"requested access to the resource is denied: {action}", {"name": where.repository})

    def _base(self, request: Request, _: Route) -> Response:
        _allowed(request, "GET", "HEAD")
        return Response(200, {"Content-Type": _JSON}, b"{}")

    def _catalog(self, request: Request, _: Route) -> Response:
        _allowed(request, "GET", "HEAD")
        return _page(request, "/v2/_catalog", self._contents.names, lambda names: {"repositories": names})

    # ---- manifests ----------------------------------------------------------------------------------------------

    def _manifest(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD", "PUT", "DELETE")
        if ":" in where.reference:
            as_digest(where.reference)
        if request.method == "PUT":
            return self._put_manifest(request, where)
        if request.method == "DELETE":
            return self._delete_manifest(where)
        found = self._contents.find_manifest(where.repository, where.reference)
        if not _accepts(request, found.raw.media_type):
            message = f"the manifest is {found.raw.media_type}, which Accept does not list"
            raise Refusal(404, "MANIFEST_UNKNOWN", message, {"reference": where.reference})
        headers = {"Content-Type": found.raw.media_type, "Docker-Content-Digest": found.digest, "ETag": f'"{found.digest}"'}
        return Response(200, headers, found.raw.content)

    def _put_manifest(self, request: Request, where: Route) -> Response:
        rules, media_type = self._rules_of(where), request.headers.get("content-type", "").partition(";")[0].strip()
        tags = list(dict.fromkeys(request.values("tag"))) if rules.tag_parameters and ":" in where.reference else []
        if len(tags) > _MOST_TAGS:
            raise Refusal(414, "TAG_INVALID", f"more than {_MOST_TAGS} tags in one request")
        if rules.immutable_tags and where.repository in self._contents.names:
            there = self._contents.repository(where.repository).tags
            for tag in {where.reference, *tags} & {*there}:
                raise Refusal(400, "TAG_INVALID", f"the tag {tag} exists already, and tags are immutable here", {"tag": tag})
        if not rules.index and media_type in INDEX_TYPES:
            raise Refusal(400, "MANIFEST_INVALID", f"manifests of type {media_type} are not supported here")
        stored = self._contents.store_manifest(where.repository, where.reference, request.body, media_type, tags)
        headers = {"Location": f"/v2/{where.repository}/manifests/{stored.digest}", "Docker-Content-Digest": str(stored.digest)}
        if stored.subject is not None and rules.referrers:
            headers["OCI-Subject"] = stored.subject
        if tags:
            headers["OCI-Tag"] = ", ".join(tags)
        return Response(201, headers)

    def _delete_manifest(self, where: Route) -> Response:
        self._must_delete(where)
        rules = self._rules_of(where)
        if ":" in where.reference:
            self._contents.remove_manifest(where.repository, where.reference)
        elif rules.tag_delete == "refused":
            raise Refusal(400, "UNSUPPORTED", "manifests are deleted by digest only here", {"reference": where.reference})
        elif rules.tag_delete == "manifest":
            self._contents.remove_manifest(where.repository, where.reference)
        else:
            self._contents.remove_tag(where.repository, where.reference)
        return Response(202)

    def _list_referrers(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD")
        if not self._rules_of(where).referrers:
            raise Refusal(404, "UNSUPPORTED", "this registry keeps no lists of referrers")
        found = self._contents.referrers(where.repository, as_digest(where.reference))
        headers = {"Content-Type": OCI_INDEX}
        wanted = request.values("artifactType")
        if wanted:
            found = [entry for entry in found if entry.get("artifactType") in wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return Response(200, headers, json.dumps(index).encode())

    # ---- blobs --------------------------------------------------------------------------------------------------

    def _blob(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD", "DELETE")
        digest = as_digest(where.reference)
        if request.method == "DELETE":
            self._must_delete(where)
            self._contents.remove_blob(where.repository, digest)
            return Response(202)
        content = self._contents.find_blob(where.repository, digest)
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
            return self._begin(request, where)
        _allowed(request, "GET", "PATCH", "PUT", "DELETE")
        name, session = where.repository, where.reference
        received = self._contents.received(name, session)
        if request.method == "DELETE":
            self._contents.take_upload(session)
            return Response(204)
        if request.method == "GET":
            return Response(204, _session_headers(name, session, received))
        digest = as_digest(request.query.get("digest", "")) if request.method == "PUT" else None
        _check_chunk(request, received, where)
        self._contents.append(session, request.body)
        if digest is None:
            return Response(202, _session_headers(name, session, received + len(request.body)))
        self._contents.store_blob(name, self._contents.take_upload(session), digest)
        return _stored(name, digest)

    def _begin(self, request: Request, where: Route) -> Response:
        query, name = request.query, where.repository
        if "mount" in query and self._rules_of(where).mounts and ("from" in query or self._discover):
            digest = as_digest(query["mount"])
            if self._contents.mount_blob(name, digest, query.get("from")):
                return _stored(name, digest)
        if "digest" in query:
            digest = as_digest(query["digest"])
            self._contents.store_blob(name, request.body, digest)
            return _stored(name, digest)
        return Response(202, _session_headers(name, self._contents.open_upload(name), 0))

    def _tags(self, request: Request, where: Route) -> Response:
        _allowed(request, "GET", "HEAD")
        tags = sorted(self._contents.repository(where.repository).tags)
        return _page(request, f"/v2/{where.repository}/tags/list", tags, lambda page: {"name": where.repository, "tags": page})

    def _must_delete(self, where: Route) -> None:
        if not self._rules_of(where).delete:
            raise Refusal(405, "UNSUPPORTED", "this registry does not delete")


def _action(request: Request, where: Route) -> Action:
    if request.method in {"GET", "HEAD"} and where.kind != "upload":
        return "pull"
    return "delete" if request.method == "DELETE" and where.kind != "upload" else "push"


def _page(request: Request, path: str, names: list[str], document: Callable[[list[str]], dict[str, object]]) -> Response:
    """A page of a sorted list: behind ``last``, ``n`` at most, with a link to the next one."""
    query = request.query
    if "last" in query:
        names = [name for name in names if name > query["last"]]
    headers = {"Content-Type": _JSON}
    if "n" in query:
        if not query["n"].isdigit():
            raise Refusal(400, "PAGINATION_NUMBER_INVALID", "n is no number", {"n": query["n"]})
        count = int(query["n"])
        if 0 < count < len(names):
            more = urlencode({"n": count, "last": names[count - 1]})
            headers["Link"] = f'<{path}?{more}>; rel="next"'
        names = names[:count]
    return Response(200, headers, json.dumps(document(names)).encode())


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
