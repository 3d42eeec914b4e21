"""Everything that can go wrong, in everything that archkit does with a registry: recovered, or a typed error, and no secret.

Each fault meets each operation, first once and then always, while somebody is signed in. The operation ends as without
the fault, or with a ``RegistryError`` that names what was asked for and repeats what the registry said; the final tag
holds the old image or the new one.
"""

from __future__ import annotations

import base64
import gzip
import logging
import pickle
import traceback
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import attrs
import pytest

from archkit import (
    Digest,
    IndexStitcher,
    Limits,
    Login,
    RegistryClient,
    RegistryError,
    Retries,
    StaticCredentials,
    inspect,
    remove_tags,
    verify,
)
from archkit.testing import BearerAuth, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archkit.testing import FaultRule, Response

PASSWORD, IDENTITY = "s3cret-passw0rd", "s3cret-identity"
CONTENT = b"a blob"
DIGEST = Digest.of(CONTENT)
SAID = "the registry is out of sorts"
PAGE = f"<html><head><title>{SAID}</title></head><body><b>nginx</b></body></html>"
CHALLENGE = 'Bearer realm="/token",service="embedded registry",error="invalid_token"'
LAST = datetime(2020, 1, 1, tzinfo=timezone.utc)
BOMB = gzip.compress(bytes(30_000_000))
RETRIES = Retries(attempts=2, first_wait=0)


def headers(response: Response, **changed: str | None) -> Response:
    """The same with other headers; None takes one away."""
    names = {name.replace("_", "-").lower(): value for name, value in changed.items()}
    kept = {name: value for name, value in response.headers.items() if name.lower() not in names}
    return attrs.evolve(response, headers={**kept, **{name: value for name, value in names.items() if value is not None}})


def whole(response: Response, body: bytes) -> Response:
    return attrs.evolve(response, body=body)


def bomb(response: Response) -> Response:
    return whole(headers(response, content_encoding="gzip"), BOMB)


FAULTS: dict[str, Callable[[FaultRule], FaultRule]] = {
    "too-late": lambda rule: rule.wait(5),
    "reset": lambda rule: rule.drop(),
    "reset-after-it-was-done": lambda rule: rule.drop(after=0),
    "head-cut": lambda rule: rule.drop(after=20),
    "truncated": lambda rule: rule.truncate(1),
    "length-too-long": lambda rule: rule.tamper(
        lambda r: attrs.evolve(headers(r, content_length=str(len(r.body) + 7)), cut_body=len(r.body))
    ),
    "length-too-short": lambda rule: rule.tamper(lambda r: headers(r, content_length=str(max(len(r.body) - 7, 0)))),
    "other-content": lambda rule: rule.tamper(lambda r: whole(r, r.body[::-1])),
    "other-digest": lambda rule: rule.tamper(lambda r: headers(r, docker_content_digest=str(Digest.of(b"other")))),
    "429-seconds": lambda rule: rule.answer(429, body=SAID, retry_after=0),
    "429-date": lambda rule: rule.answer(429, body=SAID, retry_after=format_datetime(LAST, usegmt=True)),
    "429-for-hours": lambda rule: rule.answer(429, body=SAID, retry_after=7200),
    "503-seconds": lambda rule: rule.answer(503, body=SAID, retry_after=0),
    "503-date": lambda rule: rule.answer(503, body=SAID, retry_after=format_datetime(LAST, usegmt=True)),
    "500": lambda rule: rule.answer(500, body=SAID),
    "unknown": lambda rule: rule.answer(404, body=f'{{"errors":[{{"code":"MANIFEST_UNKNOWN","message":"{SAID}"}}]}}'),
    "401": lambda rule: rule.answer(401, body=SAID),
    "401-in-the-middle": lambda rule: rule.answer(401, body=SAID, headers={"WWW-Authenticate": CHALLENGE}),
    "403": lambda rule: rule.answer(403, body=SAID),
    "redirected-in-a-circle": lambda rule: rule.answer(307, headers={"Location": "?again"}),
    "redirected-to-nobody": lambda rule: rule.answer(307, headers={"Location": "http://127.0.0.1:1/v2/"}),
    "redirected-to-another-scheme": lambda rule: rule.answer(307, headers={"Location": "ftp://127.0.0.1/v2/"}),
    "accepted-only": lambda rule: rule.answer(202),
    "no-headers": lambda rule: rule.tamper(lambda r: attrs.evolve(r, headers={})),
    "other-type": lambda rule: rule.tamper(lambda r: headers(r, content_type="text/html")),
    "too-much": lambda rule: rule.tamper(lambda r: whole(r, r.body + b" " * 300_000)),
    "gzip-bomb": lambda rule: rule.tamper(bomb),
    "page-of-a-proxy": lambda rule: rule.answer(502, body=PAGE),
    "page-instead-of-content": lambda rule: rule.answer(200, body=PAGE, headers={"Content-Type": "text/html"}),
    "half-json": lambda rule: rule.answer(400, body='{"errors":[{"code":'),
    "no-http": lambda rule: rule.tamper(lambda r: attrs.evolve(r, status=99)),
}
RECOVERED_FROM_ONCE = {
    "reset",
    "head-cut",
    "429-seconds",
    "429-date",
    "503-seconds",
    "503-date",
    "500",
    "page-of-a-proxy",
    "too-late",
    "401-in-the-middle",
}
"""Once they pass, the operation ends as if nothing had been."""
ANSWERS = {"429-for-hours", "429-seconds", "503-date", "500", "403", "page-of-a-proxy"}
"""Where the registry says something that the error repeats, if the request was one whose answer has a body."""

OPERATIONS: dict[str, Callable[[RegistryClient, str], object]] = {
    "manifest": lambda client, app: client.manifest(f"{app}:1"),
    "head": lambda client, app: client.head(f"{app}:1"),
    "platforms": lambda client, app: client.platforms(f"{app}:1_linux_amd64"),
    "blob": lambda client, app: client.blob(app, DIGEST),
    "stream": lambda client, app: b"".join(client.stream_blob(app, DIGEST)),
    "has-blob": lambda client, app: client.has_blob(app, DIGEST),
    "blob-size": lambda client, app: client.blob_size(app, DIGEST),
    "put-blob": lambda client, app: client.put_blob(f"{app}/new", CONTENT, digest=DIGEST, size=len(CONTENT)),
    "mount": lambda client, app: client.mount_blob(f"{app}/new", DIGEST, app),
    "tags": lambda client, app: list(client.tags(app)),
    "put-manifest": lambda client, app: client.put_manifest(f"{app}:2", client.manifest(f"{app}:1")),
    "delete-tag": lambda client, app: client.delete_tag(f"{app}:1_linux_arm64"),
    "inspect": lambda client, app: inspect(f"{app}:1", client, children=True),
    "verify": lambda client, app: verify(f"{app}:1", client),
    "remove-tags": lambda client, app: remove_tags(f"{app}:1", registry=client),
    "stitch": lambda client, app: IndexStitcher(client).stitch(f"{app}:1", [f"{app}:1_linux_amd64", f"{app}:1_linux_arm64"]),
    "stitch-across": lambda client, app: IndexStitcher(client).stitch(f"{app}/new:1", [f"{app}:1_linux_amd64", f"{app}:1_linux_arm64"]),
}
NOT_SENT_TWICE = {"delete-tag", "remove-tags", "put-blob", "mount", "stitch-across"}
"""What a fault leaves behind may change the outcome: the tag is gone already, the upload was begun anew."""

LONG = ("head", "stream", "put-blob", "put-manifest", "verify", "remove-tags", "stitch", "stitch-across")
"""Those that a fault which stays may meet in several places."""


class Scene:
    """A registry with an old index and the parts of a new one."""

    def __init__(self) -> None:
        self.registry = EmbeddedRegistry(auth=BearerAuth("bob", PASSWORD, identity_token=IDENTITY))
        self.registry.start()
        images = ImageFactory(self.registry)
        for cpu in ("amd64", "arm64"):
            images.push(f"app:1_linux_{cpu}", f"linux/{cpu}")
        self.old = str(images.push("app:1", ["linux/amd64", "linux/arm64"], attestations=True).digest)
        self.app = f"{self.registry.host}/app"
        self.registry.contents.put_blob(self.app, CONTENT, digest=DIGEST, size=len(CONTENT))

    def client(self, timeout: float) -> RegistryClient:
        credentials = StaticCredentials({self.registry.host: Login("bob", PASSWORD, identity_token=IDENTITY)})
        limits = Limits(manifest=200_000, config=200_000, error_body=10_000)
        return RegistryClient(credentials=credentials, timeout=timeout, retries=RETRIES, limits=limits)

    def secrets(self) -> list[str]:
        assert isinstance(self.registry.auth, BearerAuth)
        plain = [PASSWORD, IDENTITY, *(grant.value.reveal() for grant in self.registry.auth.grants)]
        return [*plain, *(base64.b64encode(f"bob:{secret}".encode()).decode() for secret in plain)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.registry.stop()


def shown(error: BaseException, client: RegistryClient) -> str:
    """Everything that somebody may see of an error."""
    texts = [str(error), repr(error), str(vars(error)), pickle.dumps(error).decode("latin-1"), repr(client)]
    return "\n".join([*texts, *traceback.TracebackException.from_exception(error, capture_locals=True).format()])


def outcome(use: Callable[[], object]) -> tuple[object, RegistryError | None]:
    try:
        return use(), None
    except RegistryError as error:
        return None, error


@pytest.mark.parametrize(("operation", "often"), [*((name, "once") for name in OPERATIONS), *((name, "always") for name in LONG)])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_recovered_from_or_told(
    scene: Scene, fault: str, operation: str, often: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    registry, app = scene.registry, scene.app
    with scene.client(0.3 if fault == "too-late" else 30) as client:
        client.announce(f"{app}:1")
        client.head(f"{app}:1")  # signed in: the fault comes in the middle
        registry.log.clear()
        for kind in ("manifest", "blob", "upload", "tags"):
            rule = FAULTS[fault](registry.on("*", kind=kind)).optional()
            if often == "once":
                rule.times(1)
        result, error = outcome(lambda: OPERATIONS[operation](client, app))
        texts = caplog.text if error is None else caplog.text + shown(error, client)
    assert [secret for secret in scene.secrets() if secret in texts] == []
    if error is not None:
        assert app in str(error)
        answered = {exchange.method for exchange in registry.log} - {"HEAD"}
        if fault in ANSWERS and often == "always" and answered and operation not in NOT_SENT_TWICE:
            assert SAID in str(error) or error.status in {401, 403, 429, 500, 502, 503}
    if fault in RECOVERED_FROM_ONCE and often == "once" and operation not in NOT_SENT_TWICE:
        assert error is None, error
        assert result == OPERATIONS[operation](scene_client(scene), app)
    new = {str(registry.contents.manifest(f"{app}:1").digest)}
    if operation != "stitch":
        assert new == {scene.old}


def scene_client(scene: Scene) -> RegistryClient:
    """A client of a registry that has no more faults."""
    scene.registry._faults.clear()
    return scene.registry.client()


def test_the_table_names_every_fault_that_it_should() -> None:
    assert {*FAULTS} >= RECOVERED_FROM_ONCE | ANSWERS
    assert {*OPERATIONS} >= NOT_SENT_TWICE


def test_a_half_opened_mount_is_an_upload(scene: Scene) -> None:
    """202 on a mount, with and without saying where."""
    for number, location in enumerate(({}, {"Location": f"/v2/app/new{0}/blobs/uploads/unheard-of"})):
        scene.registry.on("POST", query={"mount": "*"}).answer(202, headers=location).times(1)
        with scene.client(30) as client:
            assert not client.mount_blob(f"{scene.app}/new{number}", DIGEST, scene.app)
            client.put_blob(f"{scene.app}/new{number}", CONTENT, digest=DIGEST, size=len(CONTENT))
            assert client.has_blob(f"{scene.app}/new{number}", DIGEST)
