"""No secret is shown: runs with every kind of credential, searched through logs, errors, reprs and tracebacks with locals."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import pytest

from archkit import (
    DockerCredentials,
    IndexStitcher,
    Login,
    Proxies,
    RegistryClient,
    RegistryError,
    Retries,
    StaticCredentials,
    inspect,
    remove_tags,
    verify,
)
from archkit.model.secret import Secret
from archkit.ports.http import HttpRequest
from archkit.ports.runner import Completed
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, ImageFactory, Response, assert_runs_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archkit.ports.credentials import Credentials
    from archkit.testing import Auth

PASSWORD, IDENTITY, REGISTRY_TOKEN, PROXY = "s3cret-passw0rd", "s3cret-identity", "s3cret-registry", "s3cret-proxy"


class Helper:
    """Stands in for the runner of a credential helper."""

    def run(self, command: object, **_: Any) -> Completed:
        return Completed((), 0, json.dumps({"ServerURL": "x", "Username": "bob", "Secret": PASSWORD}).encode())


def in_file(folder: Path, host: str) -> Credentials:
    entry = {"auth": base64.b64encode(f"bob:{PASSWORD}".encode()).decode()}
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}))
    return DockerCredentials(folder / "config.json")


def in_environment(folder: Path, host: str) -> Credentials:
    content = {"auths": {host: {"username": "bob", "password": PASSWORD}}}
    return DockerCredentials(environ={"HOME": str(folder), "DOCKER_AUTH_CONFIG": json.dumps(content)})


def in_helper(folder: Path, host: str) -> Credentials:
    (folder / "config.json").write_text(json.dumps({"credHelpers": {host: "x"}}))
    return DockerCredentials(folder / "config.json", runner=Helper())


def static(login: Login) -> Callable[[Path, str], Credentials]:
    return lambda _, host: StaticCredentials({host: login})


KINDS = {
    "file": in_file,
    "environment": in_environment,
    "helper": in_helper,
    "password": static(Login("bob", PASSWORD)),
    "identity-token": static(Login("bob", PASSWORD, identity_token=IDENTITY)),
    "registry-token": static(Login(registry_token=REGISTRY_TOKEN)),
}
AUTHS: dict[str, Callable[[], Auth]] = {
    "basic": lambda: BasicAuth("bob", PASSWORD),
    "basic-refused": lambda: BasicAuth("bob", "other"),
    "bearer": lambda: BearerAuth("bob", PASSWORD, identity_token=IDENTITY),
    "bearer-refused": lambda: BearerAuth("bob", "other"),
}


def attempt(use: Callable[[], object]) -> list[str]:
    """What an error shows, in every way that somebody may look at it."""
    try:
        use()
    except RegistryError as error:
        shown = [str(error), repr(error), str(vars(error)), pickle.dumps(error).decode("latin-1")]
        shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
        return shown
    return []


def faults(registry: EmbeddedRegistry) -> dict[str, Callable[[], object]]:
    """Everything that goes wrong while credentials are in use."""
    return {
        "nothing": lambda: None,
        "dropped": lambda: registry.on("*", kind="manifest").drop().optional(),
        "cut": lambda: registry.on("*").drop(after=30).optional(),
        "token-dropped": lambda: registry.on("*", kind="token").drop().optional(),
        "token-cut": lambda: registry.on("*", kind="token").truncate(15).optional(),
        "token-page": lambda: registry.on("*", kind="token").answer(200, body="<html>").optional(),
        "token-too-long": lambda: registry.on("*", kind="token").tamper(lambda r: attrs.evolve(r, body=r.body + b" " * 200_000)).optional(),
        "elsewhere": lambda: registry.on("GET", kind="manifest").answer(307, headers={"Location": "http://127.0.0.1:1/"}).optional(),
        "denied": lambda: registry.on("*", kind="manifest").answer(403, body="denied").optional(),
    }


@pytest.mark.parametrize("fault", faults(EmbeddedRegistry()))
@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_shown(kind: str, auth: str, fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with EmbeddedRegistry(auth=AUTHS[auth]()) as registry:
        ImageFactory(registry).push("team/app:1", "linux/amd64")
        manifest = registry.manifest("team/app:1")
        app = f"{registry.host}/team/app"
        credentials = KINDS[kind](tmp_path, registry.host)
        client = RegistryClient(credentials=credentials, retries=Retries(attempts=2, first_wait=0))
        faults(registry)[fault]()
        shown = attempt(lambda: client.manifest(f"{app}:1"))
        shown += attempt(lambda: client.put_manifest(f"{app}:2", manifest))
        shown += attempt(
            lambda: client.put_blob(app, b"x", digest="sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", size=1)
        )
        shown += attempt(lambda: inspect(f"{app}:1", client, children=True))
        shown += attempt(lambda: verify(f"{app}:1", client))
        shown += attempt(lambda: remove_tags(f"{app}:1", ["2"], client))
        shown += attempt(lambda: IndexStitcher(client).stitch(f"{app}:3", [f"{app}:1"]))
        shown += attempt(lambda: assert_runs_on(f"{app}:1", "linux/amd64", client))
        shown += [repr(client), repr(credentials), repr(credentials.find(registry.host, "team/app")), repr(vars(client))]
        client.close()
        tokens = [grant.value.reveal() for grant in registry.auth.grants] if isinstance(registry.auth, BearerAuth) else []
    plain = [PASSWORD, IDENTITY, REGISTRY_TOKEN, *tokens]
    packed = [base64.b64encode(f"bob:{secret}".encode()).decode() for secret in plain]
    text = "\n".join([*shown, caplog.text, repr(registry), repr(registry.log), repr(registry.auth), repr(list(registry.log))])
    assert [secret for secret in (*plain, *packed) if secret in text or quote(secret) in text] == []


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_what_a_registry_repeats_of_a_request_is_masked(auth: str) -> None:
    with EmbeddedRegistry(auth=AUTHS[auth]()) as registry:
        assert registry.auth is not None
        seen: list[str] = []
        check = registry.auth.check

        class Spy:
            """Remembers what came, and lets the registry repeat it."""

            def __getattr__(self, name: str) -> Any:
                return getattr(auth_, name)

            def check(self, request: Any, route: Any, url: str) -> Response | None:
                header = request.headers.get("authorization", "")
                seen.append(header)
                return check(request, route, url) or Response(400, {}, f"you sent {header}, {PASSWORD}".encode())

        auth_, registry.auth = registry.auth, Spy()
        credentials = StaticCredentials({registry.host: Login("bob", PASSWORD)})
        with (
            RegistryClient(credentials=credentials) as client,
            pytest.raises(RegistryError, match=r"you sent (Basic|Bearer) \*\*\*, \*\*\*"),
        ):
            client.manifest(f"{registry.host}/app:1")
    assert seen[-1]


def test_what_a_token_server_repeats_is_masked() -> None:
    with EmbeddedRegistry(auth=BearerAuth()) as registry:
        registry.on("*", kind="token").answer(403, body=f"{PASSWORD} of bob is wrong, {IDENTITY} too")
        login = Login("bob", PASSWORD, identity_token=IDENTITY)
        with (
            RegistryClient(credentials=StaticCredentials({registry.host: login})) as client,
            pytest.raises(RegistryError, match=r"as 'bob' was refused: \*\*\* of bob is wrong, \*\*\* too"),
        ):
            client.manifest(f"{registry.host}/app:1")


def test_a_proxys_password_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with EmbeddedRegistry() as registry:
        proxies = Proxies(http=f"http://bob:{PROXY}@{registry.host}", https=f"bob:{PROXY}@{registry.host}")
    client = RegistryClient(proxies=proxies, plain_http=["plain.test"], retries=Retries(attempts=1))
    shown = attempt(lambda: client.manifest("plain.test/app:1")) + attempt(lambda: client.manifest("secure.test/app:1"))
    assert len(shown) > 8
    text = "\n".join([*shown, repr(proxies), repr(vars(client)), caplog.text])
    assert PROXY not in text
    assert base64.b64encode(f"bob:{PROXY}".encode()).decode() not in text


# ---- the value --------------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_nowhere_and_stays_itself() -> None:
    secret = Secret("hunter2")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>10}", "%s %r" % (secret, secret), repr([secret]), repr({"a": secret})]  # noqa: UP031
    assert not [text for text in shown if "hunter2" in text]
    assert "hunter2" not in repr(secret.encode()) + str(secret.encode())
    assert secret.encode() == b"hunter2"
    assert Secret(secret).reveal() == "hunter2"
    assert pickle.loads(pickle.dumps(secret)).reveal() == "hunter2"
    assert type(pickle.loads(pickle.dumps(secret))) is Secret
    assert secret == "hunter2"
    assert type(secret.reveal()) is str
    assert str(Secret()) == ""


def test_a_request_shows_neither_headers_that_are_secret_nor_its_body() -> None:
    request = HttpRequest("POST", "https://registry.test/", {"Authorization": Secret("Bearer hunter2")}, b"hunter2")
    assert "hunter2" not in repr(request)
