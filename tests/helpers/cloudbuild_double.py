"""Cloud Build, Cloud Storage and Cloud Logging on 127.0.0.1, as far as archkit asks them; every build is judged by Google's types.

What a build does is a function of the test's: it gets a `CloudBuild` and says its states, log and results. Answers that
Google would refuse with are given by `refuse`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import re
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudbuild_messages import STATES, checked_build

from archkit.testing import Request, Response
from archkit.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Generator

    from archkit.testing import ImageFactory

TOKEN = "ya29.token"
PROJECT = "team-prod"
BUCKET = f"{PROJECT}_cloudbuild"
_ENDED = {"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"}
_BUILDS = re.compile(r"/v1/projects/([^/]+)/locations/([^/]+)/builds")
_BUILD = re.compile(r"/v1/projects/([^/]+)/locations/([^/]+)/builds/([^/:]+)(:cancel)?")


Work = Callable[["CloudBuild"], object]
"""What a build does."""


def google_error(status: int, message: str, state: str = "", reason: str = "", service: str = "") -> Response:
    """An error in Google's model."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": {"service": service}}] if reason else []
    error = {"code": status, "message": message, "status": state, "details": details}
    return Response(status, {"Content-Type": "application/json"}, json.dumps({"error": error}).encode())


def _json(fields: object, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(fields).encode())


@dataclass
class CloudBuild:
    """One build that was asked for."""

    id: str
    request: dict[str, Any]
    location: str
    source: bytes
    """What was uploaded."""
    status: str = "QUEUED"
    log: bytes = b""
    results: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the answer, such as failureInfo."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def files(self) -> dict[str, bytes]:
        """What is in the source."""
        with tarfile.open(fileobj=io.BytesIO(self.source)) as tar:
            return {member.name: file.read() for member in tar if (file := tar.extractfile(member)) is not None}

    @property
    def args(self) -> list[str]:
        """The arguments of the last step as the program gets them."""
        substitutions = self.request.get("substitutions", {})

        def fill(text: str) -> str:
            return re.sub(r"\$\$|\$\{(\w+)\}", lambda found: "$" if found[0] == "$$" else substitutions[found[1]], text)

        return [fill(word) for word in self.request["steps"][-1]["args"]]

    def say(self, text: str) -> None:
        """Write into the log."""
        self.log += text.encode()

    def tell(self, output: bytes) -> None:
        """What the last step wrote to $BUILDER_OUTPUT/output."""
        before = [""] * (len(self.request["steps"]) - 1)
        self.results["buildStepOutputs"] = [*before, base64.b64encode(output).decode()]

    def fields(self, host: str) -> dict[str, Any]:
        """As the API shows it."""
        return {
            **self.request,
            "id": self.id,
            "name": f"projects/{PROJECT}/locations/{self.location}/builds/{self.id}",
            "projectId": PROJECT,
            "status": self.status,
            "logUrl": f"https://console.cloud.google.com/cloud-build/builds/{self.id}",
            "results": self.results,
            **self.more,
        }


@dataclass
class CloudDouble:
    """The APIs. `work` is called in a thread of its own for each build, and leaves it in a last state."""

    work: Work
    host: str = ""
    builds: dict[str, CloudBuild] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """By `bucket/name`."""
    buckets: list[str] = field(default_factory=lambda: [BUCKET])
    requests: list[Request] = field(default_factory=list, repr=False)
    problems: list[str] = field(default_factory=list)
    """What Google would not have taken."""
    tokens: set[str] = field(default_factory=lambda: {TOKEN}, repr=False)
    _refusals: list[tuple[str, re.Pattern[str], Response, int]] = field(default_factory=list)
    _sessions: dict[str, tuple[str, int, bytearray]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}"

    def refuse(self, method: str, path: str, response: Response, *, times: int = 1000) -> None:
        """Answer requests whose path has this in it with something else, so many times."""
        self._refusals.append((method, re.compile(path), response, times))

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests whose path has this in it."""
        return [request for request in self.requests if request.method == method and re.search(path, request.target)]

    def handle(self, request: Request, _: int = 0) -> Response:
        with self._lock:
            self.requests.append(request)
            for at, (method, path, response, times) in enumerate(self._refusals):
                if times and request.method == method and path.search(request.target):
                    self._refusals[at] = (method, path, response, times - 1)
                    return response
            if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                return google_error(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
            try:
                return self._answer(request)
            except (KeyError, ValueError) as error:
                self.problems.append(f"{request.method} {request.target}: {error!r}")
                return google_error(400, str(error), "INVALID_ARGUMENT")

    def _answer(self, request: Request) -> Response:
        path = request.path
        if found := _BUILDS.fullmatch(path):
            return self._create(request, found[2]) if request.method == "POST" else self._list(request)
        if found := _BUILD.fullmatch(path):
            return self._one(self.builds[found[3]], cancel=bool(found[4]))
        if path.startswith("/upload/storage/v1/b/"):
            return self._open_upload(request)
        if path.startswith("/session/"):
            return self._upload(request)
        if path == "/v2/entries:list":
            return self._entries(json.loads(request.body))
        if path == "/storage/v1/b":
            return _json({"items": [{"name": name} for name in self.buckets if name.startswith(request.query["prefix"])]})
        if path.startswith("/storage/v1/b/"):
            return self._object(request)
        raise ValueError("no such path")

    # ---- builds -------------------------------------------------------------------------------------------------

    def _create(self, request: Request, location: str) -> Response:
        fields = json.loads(request.body)
        checked_build(fields)
        source = fields["source"]["storageSource"]
        build = CloudBuild(f"build-{len(self.builds) + 1}", fields, location, self.objects[f"{source['bucket']}/{source['object']}"])
        if source["generation"] != "1700000000000001":
            raise ValueError("the generation is not that of the object")
        self.builds[build.id] = build
        thread = threading.Thread(target=self._run, args=(build,), daemon=True)
        self._threads.append(thread)
        thread.start()
        answer = build.fields(self.host)
        checked_build(answer)
        return _json({"name": f"projects/{PROJECT}/locations/{location}/operations/x", "metadata": {"build": answer}})

    def _run(self, build: CloudBuild) -> None:
        try:
            self.work(build)
        except Exception as error:  # noqa: BLE001 - a build that goes on for ever would hide it
            self.problems.append(f"{build.id}: {error!r}")
            build.status = "INTERNAL_ERROR"
        if build.status not in _ENDED:
            build.status = "CANCELLED" if build.cancelled.is_set() else "SUCCESS"

    def _one(self, build: CloudBuild, *, cancel: bool) -> Response:
        if cancel:
            build.cancelled.set()
            if build.status not in _ENDED:
                build.status = "CANCELLED"
        if build.status not in STATES:
            raise ValueError(f"no state: {build.status}")
        checked_build(build.fields(self.host))
        return _json(build.fields(self.host))

    def _list(self, request: Request) -> Response:
        wanted = re.fullmatch(r'tags="([^"]+)"', request.query["filter"])
        if wanted is None:
            raise ValueError("filter")
        found = [build.fields(self.host) for build in self.builds.values() if wanted[1] in build.request["tags"]]
        return _json({"builds": found} if found else {})

    # ---- objects ------------------------------------------------------------------------------------------------

    def _open_upload(self, request: Request) -> Response:
        bucket = request.path.split("/")[5]
        query = request.query
        if query["uploadType"] != "resumable" or query["ifGenerationMatch"] != "0":
            raise ValueError("not a new object")
        if bucket not in self.buckets:
            return google_error(404, "The specified bucket does not exist.", "notFound")
        session = f"/session/{next(self._numbers)}"
        self._sessions[session] = (f"{bucket}/{query['name']}", int(request.headers["x-upload-content-length"]), bytearray())
        return Response(200, {"Location": f"{self.endpoint}{session}"})

    def _upload(self, request: Request) -> Response:
        if request.method == "DELETE":
            del self._sessions[request.path]
            return Response(499)
        name, size, content = self._sessions[request.path]
        span, _, total = request.headers["content-range"].removeprefix("bytes ").partition("/")
        if int(total) != size:
            raise ValueError("the size has changed")
        if span != "*":
            start, _, end = span.partition("-")
            last = int(end) + 1 == size
            if (
                int(start) != len(content)
                or len(request.body) != int(end) + 1 - int(start)
                or (len(request.body) % (256 * 1024) and not last)
            ):
                raise ValueError(f"not the next piece: {span}")
            content += request.body
        if len(content) < size:
            return Response(308, {"Range": f"bytes=0-{len(content) - 1}"} if content else {})
        self.objects[name] = bytes(content)
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        return _json({"generation": "1700000000000001", "md5Hash": md5, "size": str(size)})

    def _object(self, request: Request) -> Response:
        bucket, _, name = request.path.removeprefix("/storage/v1/b/").partition("/o/")
        log = re.fullmatch(r"archkit-logs/log-(.+)\.txt", name)
        content = self.builds[log[1]].log if log else self.objects.get(f"{bucket}/{name}")
        if content is None or (log and not content):
            return google_error(404, "No such object", "notFound")
        if request.method == "DELETE":
            if request.query["generation"] != "1700000000000001":
                raise ValueError("another generation")
            del self.objects[f"{bucket}/{name}"]
            return Response(204)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"])
        if found is None or request.query["alt"] != "media":
            raise ValueError("range")
        start, end = int(found[1]), int(found[2])
        return Response(206, {}, content[start : end + 1]) if start < len(content) else Response(416)

    def _entries(self, question: dict[str, Any]) -> Response:
        wanted = re.match(
            r'resource\.type="build" AND resource\.labels\.build_id="([^"]+)"(?: AND timestamp>="(.+)")?$', question["filter"]
        )
        if wanted is None or question["resourceNames"] != [f"projects/{PROJECT}"]:
            raise ValueError("filter")
        lines = self.builds[wanted[1]].log.decode().splitlines()
        # two entries of each moment, three on a page
        entries = [{"insertId": str(at), "timestamp": f"{at // 2:04}", "textPayload": line} for at, line in enumerate(lines)]
        entries = [one for one in entries if one["timestamp"] >= (wanted[2] or "")]
        start = int(question.get("pageToken", "0"))
        more = {"nextPageToken": str(start + 3)} if start + 3 < len(entries) else {}
        return _json({"entries": entries[start : start + 3], **more})


def __after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def _after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def pushing(images: ImageFactory, delivers: str | None = None) -> Work:
    """What docker's steps do: push for the platforms asked, or for others."""

    def work(cloud_build: CloudBuild) -> None:
        cloud_build.status = "WORKING"
        cloud_build.say("step 1: building\n")
        words = cloud_build.args
        pushed = images.push(_after(words, "--tag"), delivers or _after(words, "--platform"))
        if "images" in cloud_build.request:
            cloud_build.results["images"] = [{"name": _after(words, "--tag"), "digest": str(pushed.digest)}]
        else:
            cloud_build.tell(json.dumps({"containerimage.digest": pushed.digest}).encode())
        cloud_build.say("done")

    return work


@contextmanager
def cloud(work: Work) -> Generator[CloudDouble, None, None]:
    """The APIs, as long as the block lasts; it fails where something was sent that Google would not have taken."""
    double = CloudDouble(work)
    server = LoopbackServer(double.handle)
    server.start()
    double.host = server.host
    try:
        yield double
    finally:
        for build in double.builds.values():
            build.cancelled.set()
        server.stop()
        until = time.monotonic() + 10
        for thread in double._threads:
            thread.join(max(0.0, until - time.monotonic()))
    assert not double.problems
