"""One build in the cloud: uploaded, started, followed to its end; cancelled and cleaned up however it goes."""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.adapters.google.api import Api, ApiError
from archkit.adapters.google.builds import Builds
from archkit.adapters.google.logs import BucketLog, BuildLog, CloudLog
from archkit.adapters.google.signin import GoogleCredentials, SignInError
from archkit.adapters.google.storage import Objects
from archkit.adapters.http import UrllibHttpClient
from archkit.errors import BuildError, BuildToolError, CancelledError
from archkit.events import Event
from archkit.model.platform import Platform
from archkit.planning.cloudbuild import BuildState, CloudBuildOptions
from archkit.planning.cloudbuild_errors import make_bucket, not_succeeded, refusal
from archkit.ports.builder import BuildContext
from archkit.ports.http import Retries, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any

    from archkit.adapters.layer_files import LayerFile
    from archkit.planning.cloudbuild import Uploaded

T = TypeVar("T")
_PATIENCE = 180.0
"""Seconds without any answer of use before a build that runs is given up."""
_LATE = 300.0
"""Seconds beyond its own limits that a build has to reach a last state."""
_GROWTH, _LONGEST_WAIT = 1.5, 10.0
_KEPT = 60
"""Last lines of the log that an error shows."""
_LAST_LOOKS = 3
"""Looks at the log of a build that has ended: what it said last may come late."""


@attrs.frozen(kw_only=True)
class GoogleEndpoints:
    """Where Google's APIs are asked, such as by Private Service Connect."""

    builds: str = "https://cloudbuild.googleapis.com"
    storage: str = "https://storage.googleapis.com"
    logging: str = "https://logging.googleapis.com"


@attrs.define
class CloudRun:
    """One call of the builder."""

    image: str
    platform: Platform | None
    """What is built; None: several."""
    options: CloudBuildOptions
    context: BuildContext
    builds: Builds
    objects: Objects
    logging: Api
    poll: float
    """Seconds between two looks at first."""
    own_bucket: bool
    """Whether the caller named the bucket; else it is looked at whose it is."""
    run: str = attrs.field(init=False, factory=lambda: f"archkit-{uuid.uuid4().hex}")
    lines: deque[str] = attrs.field(init=False, factory=lambda: deque[str](maxlen=_KEPT))
    blind: bool = attrs.field(init=False, default=False)
    """Whether the log may not be read."""

    @classmethod
    @contextmanager
    def open(
        cls,
        image: str,
        platform: Platform | None,
        options: CloudBuildOptions,
        context: BuildContext,
        *,
        endpoints: GoogleEndpoints,
        credentials: GoogleCredentials,
        poll: float,
        own_bucket: bool,
    ) -> Generator[CloudRun, None, None]:
        """Connections to the APIs, closed afterwards."""
        with UrllibHttpClient(retries=Retries(longest_wait=20.0), sleep=context.cancelled.wait) as http:
            builds = Builds(Api(endpoints.builds, http, credentials), options.parent)
            objects = Objects(Api(endpoints.storage, http, credentials), options.bucket)
            logging = Api(endpoints.logging, http, credentials)
            yield cls(image, platform, options, context, builds, objects, logging, poll, own_bucket)

    @property
    def log(self) -> str:
        """The last lines of the build's log."""
        return "\n".join(self.lines)

    def build(self, archive: LayerFile, make_request: Callable[[Uploaded, str], Mapping[str, Any]]) -> BuildState:
        """Upload, start, follow; the build as it succeeded.

        Args:
            archive: The source.
            make_request: The Build for an uploaded source and this run's tag.

        Raises:
            BuildError: Google Cloud refused, or the build did not succeed.
            CancelledError: The caller cancelled; the build in the cloud is cancelled too.
        """
        with self._translated():
            source = self._upload(archive)
            try:
                return self._run(make_request(source, self.run))
            finally:
                self._quietly(f"gs://{source.bucket}/{source.name} is left", lambda: self.objects.remove(source))

    def _upload(self, archive: LayerFile) -> Uploaded:
        if not self.own_bucket and not self.objects.belongs_to(self.options.project):
            reason = f"the project {self.options.project} has no bucket {self.options.bucket} for the source"
            raise BuildError(self.image, reason, "", f"{make_bucket(self.options)}, or name another with CloudBuildBuilder(bucket=…)")
        name = f"archkit/source-{archive.digest.partition(':')[2][:12]}-{self.run.removeprefix('archkit-')}.tar.gz"
        self._tell(f"uploading the source, {archive.size} bytes, to gs://{self.options.bucket}/{name}")
        return self.objects.upload(archive.path, name, stop=self.context.cancelled, pause=self.context.cancelled.wait)

    def _run(self, request: Mapping[str, Any]) -> BuildState:
        self._check_cancelled()
        state: BuildState | None = None
        try:
            state = self.builds.start(request, run=self.run)
            self._tell(f"Cloud Build runs build {state.id} {state.log_url}".rstrip())
            state = self._follow(state)
        except BaseException as error:
            if state is not None or not _refused(error):
                self._cancel(state)
            raise
        if state.status != "SUCCESS":
            raise not_succeeded(state, self.log, self.image, self.options, platform=str(self.platform or ""))
        return state

    # ---- following ------------------------------------------------------------------------------------------------

    def _follow(self, state: BuildState) -> BuildState:
        until = time.monotonic() + self.options.timeout + self.options.queue_ttl + _LATE
        log: BuildLog | None = None
        wait, told = self.poll, ""
        good = time.monotonic()
        while True:
            if state.status != told:
                self._tell(f"build {state.id} is {state.status}")
                told, wait = state.status, self.poll
            if log is None:
                log = self._open_log(state)
            if log is not None and self._read_log(log, state):
                wait = self.poll
            if state.ended:
                return state
            if time.monotonic() > until:
                limit = self.options.timeout + self.options.queue_ttl
                reason = f"build {state.id} should have ended after {limit} s, and is still {state.status}"
                raise BuildToolError(self.image, reason, "", "it is being cancelled", "timeout", self.log)
            self.context.cancelled.wait(wait)
            self._check_cancelled()
            wait = min(wait * _GROWTH, max(_LONGEST_WAIT, self.poll))
            try:
                state = self.builds.get(state.id)
                good = time.monotonic()
            except (TransportError, ApiError) as error:
                passing = error.failure.transient if isinstance(error, ApiError) else error.transient
                if not passing or time.monotonic() - good > _PATIENCE:
                    raise

    def _open_log(self, state: BuildState) -> BuildLog | None:
        if self.options.logs == "cloud-logging":
            self._tell("the log comes from Cloud Logging, some seconds late")
            return CloudLog(self.logging, self.options.project, state.id)
        place = state.log_object
        return None if place is None else BucketLog(attrs.evolve(self.objects, bucket=place[0]), place[1])

    def _read_log(self, log: BuildLog, state: BuildState) -> bool:
        """Tell the new lines; whether there were any. That a log cannot be read is told, and is no reason to end a build."""
        some = False
        late = state.ended and (state.status != "SUCCESS" or self.options.logs == "cloud-logging")
        for look in range(0 if self.blind else _LAST_LOOKS if late else 1):
            if look:
                self.context.cancelled.wait(self.poll)
            try:
                lines = log.more(last=state.ended)
            except ApiError as error:
                if error.failure.transient:
                    continue
                self.blind = True
                self._tell(f"the log cannot be read: {refusal(error.failure, self.image, self.options)}")
                break
            except TransportError:
                continue
            for line in filter(str.strip, lines):
                self.lines.append(line)
                self._tell(line)
            some = some or bool(lines)
            if lines and state.ended:
                break
        return some

    # ---- ending -------------------------------------------------------------------------------------------------

    def _cancel(self, state: BuildState | None) -> None:
        """End the build in the cloud, also one whose start nobody answered."""
        if state is not None and state.ended:
            return
        where = f"--project={self.options.project} --region={self.options.region}"
        name = state.id if state else f"$(gcloud builds list {where} --filter=tags={self.run} --format='value(id)')"

        def end() -> None:
            found = state or self.builds.find(self.run)
            if found is not None:
                self.builds.cancel(found.id)
                self._tell(f"build {found.id} is cancelled in Cloud Build")

        self._quietly(f"the build may go on for up to {self.options.timeout} s; end it with `gcloud builds cancel {name} {where}`", end)

    def _quietly(self, otherwise: str, work: Callable[[], object]) -> None:
        """Clean up; where that cannot be done, say so, and let what is under way be told."""
        try:
            work()
        except (ApiError, TransportError, SignInError) as error:
            reason = error.reason if isinstance(error, (TransportError, SignInError)) else str(error)
            self._tell(f"{otherwise} ({reason})")

    def _check_cancelled(self) -> None:
        if self.context.cancelled.is_set():
            raise CancelledError(f"building {self.image} in Cloud Build")

    def _tell(self, line: str) -> None:
        if line.strip():
            self.context.emit(Event("build", "progress", self.image, self.platform, line))

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        """Errors as the builder's caller knows them, without the frames below: they hold tokens."""
        platform = str(self.platform or "")
        try:
            yield
        except ApiError as error:
            raise refusal(error.failure, self.image, self.options) from None
        except SignInError as error:
            raise BuildToolError(self.image, error.reason, platform, error.remedy, "sign-in-refused") from None
        except TransportError as error:
            remedy = "check the network and the proxy (HTTPS_PROXY)"
            raise BuildToolError(self.image, f"Google Cloud cannot be asked: {error.reason}", platform, remedy) from None


def _refused(error: BaseException) -> bool:
    """Whether a build was not started at all."""
    return isinstance(error, SignInError) or (isinstance(error, ApiError) and error.failure.status < 500)
