"""Objects in Cloud Storage, over its JSON API: resumable uploads, reading from a position, removing.

Source: Cloud Storage's documentation of resumable uploads, of preconditions, and of ``Range``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import attrs

from archkit.adapters.google.api import Api, ApiError
from archkit.errors import CancelledError
from archkit.planning.cloudbuild import Uploaded
from archkit.ports.http import TransportError

CHUNK = 8 << 20
"""Bytes sent at a time; a multiple of 256 KiB, as the API wants it."""
_RESUMES = 5
_LOG_PIECE = 1 << 20


@attrs.frozen
class Objects:
    """What is in one bucket."""

    api: Api
    bucket: str

    def belongs_to(self, project: str) -> bool:
        """Whether it is one of the project's: anybody may have taken a name that can be guessed."""
        query = urlencode({"project": project, "prefix": self.bucket, "fields": "items(name)"})
        found = self.api.ask("find-bucket", "GET", f"/storage/v1/b?{query}").get("items")
        return isinstance(found, list) and any(isinstance(one, dict) and one.get("name") == self.bucket for one in found)

    def upload(self, path: Path, name: str, *, stop: threading.Event, pause: Callable[[float], object]) -> Uploaded:
        """Put a file into a new object; resumed where the connection breaks.

        Args:
            path: The file.
            name: The object's; that it exists already is an error.
            stop: Set when it is to stop.
            pause: Waits so many seconds.

        Raises:
            CancelledError: ``stop`` was set.
            TransportError: It broke off too often, or what arrived is something else.
        """
        size = path.stat().st_size
        query = urlencode({"uploadType": "resumable", "name": name, "ifGenerationMatch": "0", "fields": "generation,md5Hash,size"})
        headers = {"X-Upload-Content-Type": "application/gzip", "X-Upload-Content-Length": str(size)}
        opened = self.api.send("upload", "POST", f"/upload/storage/v1/b/{quote(self.bucket)}/o?{query}", body=b"{}", headers=headers)
        session = opened.headers.get("location", "")
        if not session:
            raise TransportError("Cloud Storage gave no address to upload to")
        fields = _Upload(self.api, session, path, size, stop, pause).run()
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
        expected = base64.b64encode(digest.digest()).decode()
        if fields.get("md5Hash", expected) != expected or str(fields.get("size", size)) != str(size):
            raise TransportError(f"Cloud Storage holds something else than was sent (MD5 {fields.get('md5Hash')}, not {expected})")
        return Uploaded(self.bucket, name, str(fields.get("generation") or ""))

    def remove(self, source: Uploaded) -> None:
        """Remove an object in the version that was uploaded; one that is gone is none to remove."""
        generation = f"?{urlencode({'generation': source.generation})}" if source.generation else ""
        path = f"/storage/v1/b/{quote(source.bucket)}/o/{quote(source.name, safe='')}{generation}"
        self.api.send("remove", "DELETE", path, good=(200, 204, 404))

    def read(self, name: str, start: int) -> bytes:
        """The next piece of an object that grows; empty while there is no more, or no such object yet."""
        path = f"/storage/v1/b/{quote(self.bucket)}/o/{quote(name, safe='')}?alt=media"
        headers = {"Range": f"bytes={start}-{start + _LOG_PIECE - 1}"}
        answer = self.api.send("read-log", "GET", path, headers=headers, good=(200, 206, 404, 416))
        if answer.status in {404, 416}:
            return b""
        return answer.body if answer.status == 206 else answer.body[start:]


@attrs.define
class _Upload:
    """One resumable upload."""

    api: Api
    session: str
    path: Path
    size: int
    stop: threading.Event
    pause: Callable[[float], object]
    resumed: int = 0

    def run(self) -> dict[str, object]:
        at = 0
        while True:
            if self.stop.is_set():
                self.api.send("upload", "DELETE", self.session, good=range(200, 600))
                raise CancelledError("uploading the source")
            try:
                answer = self._send(at)
            except (TransportError, ApiError) as error:
                self.resumed += 1
                gone = not error.failure.transient if isinstance(error, ApiError) else not error.transient
                if gone or self.resumed > _RESUMES:
                    raise
                self.pause(min(2.0**self.resumed / 4, 30.0))
                try:
                    answer = self._ask_how_far()
                except TransportError:
                    continue
            status, body, ranges = answer
            if status != 308:
                found = json.loads(body)
                return found if isinstance(found, dict) else {}
            before, at = at, int(ranges.rpartition("-")[2] or -1) + 1
            if at <= before:
                self.resumed += 1
                if self.resumed > _RESUMES:
                    raise TransportError(f"Cloud Storage takes no more than the first {at} of {self.size} bytes")

    def _send(self, at: int) -> tuple[int, bytes, str]:
        with self.path.open("rb") as file:
            file.seek(at)
            piece = file.read(CHUNK)
        span = f"{at}-{at + len(piece) - 1}" if piece else "*"
        answer = self.api.send(
            "upload",
            "PUT",
            self.session,
            body=piece,
            headers={"Content-Range": f"bytes {span}/{self.size}", "Content-Type": "application/gzip"},
            good=(200, 201, 308),
            repeatable=False,
        )
        return answer.status, answer.body, answer.headers.get("range", "")

    def _ask_how_far(self) -> tuple[int, bytes, str]:
        headers = {"Content-Range": f"bytes */{self.size}"}
        answer = self.api.send("upload", "PUT", self.session, body=b"", headers=headers, good=(200, 201, 308))
        return answer.status, answer.body, answer.headers.get("range", "")
