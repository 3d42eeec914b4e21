"""RegistryClient where a registry wants to know who asks: what is sent to whom, and how often."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import Digest, IndexStitcher, Login, RegistryClient, RegistryError, Retries, StaticCredentials
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, ImageFactory, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archkit.testing import Auth

CONTENT = b"some content" * 1000
DIGEST = Digest.of(CONTENT)
IDENTITY = "an-identity-token"

AUTHS: dict[str, Callable[[], Auth]] = {
    "basic": lambda: BasicAuth("bob", "pass:word é"),
    "bearer": lambda: BearerAuth("bob", "pass:word é"),
    "bearer-60-s": lambda: BearerAuth("bob", "pass:word é", expires_in=None),
    "identity-token": lambda: BearerAuth("bob", "other", identity_token=IDENTITY),
    "identity-token-by-get": lambda: BearerAuth("bob", "other", identity_token=IDENTITY, post=False),
}


class Counting:
    """Credentials that count how often they are asked."""

    def __init__(self, *logins: Login | None) -> None:
        self._logins = list(logins)
        self.asked: list[tuple[str, str]] = []

    def knows(self, registry: str, repository: str) -> bool:
        return True

    def find(self, registry: str, repository: str) -> Login | None:
        self.asked.append((registry, repository))
        return self._logins.pop(0) if len(self._logins) > 1 else self._logins[0]


def bearer(registry: EmbeddedRegistry) -> BearerAuth:
    assert isinstance(registry.auth, BearerAuth)
    return registry.auth


@pytest.fixture
def registry(request: pytest.FixtureRequest) -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry(auth=getattr(request, "param", BearerAuth)()) as made:
        yield made


def client_of(registry: EmbeddedRegistry, login: Login | None = None, **options: Any) -> RegistryClient:
    assert registry.auth is not None
    found = login or registry.auth.login()
    return RegistryClient(credentials=StaticCredentials({registry.host: found}), retries=Retries(first_wait=0), **options)


def statuses(registry: EmbeddedRegistry) -> list[str]:
    return [f"{exchange.method} {exchange.kind} {exchange.status}" for exchange in registry.log]


# ---- the usual path ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", AUTHS.values(), ids=AUTHS, indirect=True)
def test_everything_works_signed_in(registry: EmbeddedRegistry) -> None:
    app = f"{registry.host}/team/app"
    with client_of(registry) as client:
        image = ImageFactory(client).push(f"{app}:1", "linux/amd64,linux/arm64")
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
        client.put_blob(f"{app}2", iter([CONTENT]), digest=DIGEST, size=len(CONTENT))
        assert client.blob(app, DIGEST) == CONTENT
        assert b"".join(client.stream_blob(app, DIGEST)) == CONTENT
        assert client.mount_blob(f"{registry.host}/other", DIGEST, app)
        assert client.manifest(f"{app}:1").digest == image.digest
        assert client.head(f"{app}:1") == image.descriptor
        assert list(client.tags(app)) == ["1"]
        assert client.delete_tag(f"{app}:1")
        assert client.head(f"{app}:1") is None


@pytest.mark.parametrize("registry", AUTHS.values(), ids=AUTHS, indirect=True)
def test_nothing_is_written_without_a_login(registry: EmbeddedRegistry) -> None:
    app = f"{registry.host}/team/app"
    with (
        RegistryClient(credentials=None) as client,
        pytest.raises(RegistryError, match=rf"{app}@{DIGEST}: the registry asks for sign-in .*docker login {registry.host}") as caught,
    ):
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert caught.value.status == 401
    assert registry.tags("team/app") == []


def test_the_first_request_carries_nothing_and_later_ones_are_never_refused(registry: EmbeddedRegistry) -> None:
    app = f"{registry.host}/team/app"
    image = ImageFactory(registry).push("team/app:1", "linux/amd64")
    with client_of(registry) as client:
        client.manifest(f"{app}:1")
        assert statuses(registry) == ["GET manifest 401", "GET token 200", "GET manifest 200"]
        client.manifest(f"{app}:1")
        client.put_manifest(f"{app}:2", registry.manifest(image.reference))
    assert statuses(registry)[3:] == ["GET manifest 200", "GET token 200", "PUT manifest 201"]


def test_what_is_announced_shares_one_token(registry: EmbeddedRegistry) -> None:
    app, base = f"{registry.host}/team/app", f"{registry.host}/team/base"
    ImageFactory(registry).push("team/base:1", "linux/amd64")
    manifest = registry.manifest("team/base:1")
    with client_of(registry) as client:
        client.announce(f"{app}:1", [f"{base}:1", "ghcr.io/not/here:1"])
        client.manifest(f"{base}:1")
        for digest in blobs(registry, "team/base:1"):
            assert client.mount_blob(app, digest, base)
        client.put_manifest(f"{app}:1", manifest)
    assert [grant.scopes for grant in bearer(registry).grants] == [
        ("repository:team/app:pull,push", "repository:team/base:pull"),
    ], "the scope that writes comes first"
    assert len(registry.log.where(status=401)) == 1


@pytest.mark.parametrize(("source", "requests"), [("team/app", 7), ("team/base", 13)])
def test_a_stitch_signs_in_once(registry: EmbeddedRegistry, source: str, requests: int) -> None:
    for arch in ("amd64", "arm64"):
        ImageFactory(registry).push(f"{source}:{arch}", f"linux/{arch}")
    with client_of(registry) as client:
        parts = [f"{registry.host}/{source}:{arch}" for arch in ("amd64", "arm64")]
        IndexStitcher(client).stitch(f"{registry.host}/team/app:1", parts)
    assert (len(registry.log.where(status=401)), len(registry.log.where(kind="token")), len(registry.log)) == (1, 1, requests)


def test_a_dry_run_needs_no_right_to_write() -> None:
    with EmbeddedRegistry(auth=BearerAuth(anonymous=["pull"])) as registry, RegistryClient(credentials=None) as client:
        ImageFactory(registry).push("team/app:amd64", "linux/amd64")
        IndexStitcher(client).stitch(f"{registry.host}/team/app:1", [f"{registry.host}/team/app:amd64"], dry_run=True)
        assert [grant.scopes for grant in bearer(registry).grants] == [("repository:team/app:pull",)]


def blobs(registry: EmbeddedRegistry, reference: str) -> list[Digest]:
    from archkit.model.oci import ImageManifest

    document = registry.manifest(reference).document()
    assert isinstance(document, ImageManifest)
    return [entry.digest for entry in (document.config, *document.layers)]


def test_threads_share_one_refusal_and_one_token(registry: EmbeddedRegistry) -> None:
    app = f"{registry.host}/team/app"
    ImageFactory(registry).push("team/app:1", "linux/amd64")
    start = threading.Barrier(4)
    with client_of(registry) as client, ThreadPoolExecutor(4) as pool:

        def read(_: int) -> str:
            start.wait(5)
            return client.manifest(f"{app}:1").digest

        assert len(set(pool.map(read, range(4)))) == 1
    assert (len(registry.log.where(status=401)), len(registry.log.where(kind="token"))) == (1, 1)


def test_a_registry_that_asks_for_nothing_is_sent_nothing(archkit_registry: EmbeddedRegistry) -> None:
    credentials = Counting(Login("bob", "hunter2"))
    with RegistryClient(credentials=credentials) as client:
        client.tags(f"{archkit_registry.host}/team/app")
        client.tags(f"{archkit_registry.host}/team/app")
    assert credentials.asked == []
    assert len(archkit_registry.log) == 2


def test_anonymous_tokens_let_read_what_is_public() -> None:
    with EmbeddedRegistry(auth=BearerAuth(anonymous=["pull"])) as registry, RegistryClient(credentials=None) as client:
        image = ImageFactory(registry).push("team/app:1", "linux/amd64")
        assert client.manifest(f"{registry.host}/team/app:1").digest == image.digest
        assert bearer(registry).grants[0].username == ""
        with pytest.raises(RegistryError, match=r"HTTP 401\); sign in with `docker login"):
            client.put_manifest(f"{registry.host}/team/app:2", registry.manifest("team/app:1"))


# ---- tokens that end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", [BearerAuth], indirect=True)
def test_a_token_that_is_revoked_is_replaced_once(registry: EmbeddedRegistry) -> None:
    app = f"{registry.host}/team/app"
    ImageFactory(registry).push("team/app:1", "linux/amd64")
    with client_of(registry) as client:
        client.manifest(f"{app}:1")
        bearer(registry).revoke()
        registry.log.clear()
        client.manifest(f"{app}:1")
    assert statuses(registry) == ["GET manifest 401", "GET token 200", "GET manifest 200"]


@pytest.mark.parametrize("registry", [lambda: BearerAuth(expires_in=0)], indirect=True)
def test_tokens_that_are_never_good_end_in_an_error(registry: EmbeddedRegistry) -> None:
    with client_of(registry) as client, pytest.raises(RegistryError, match=r"HTTP 401\); signed in as 'user', who may not do this"):
        client.manifest(f"{registry.host}/team/app:1")
    assert statuses(registry) == ["GET manifest 401", "GET token 200", "GET manifest 401"]


def test_a_token_is_replaced_before_it_ends() -> None:
    from archkit.adapters.http import UrllibHttpClient
    from archkit.adapters.registry.challenges import Scope
    from archkit.adapters.registry.signin import Asked, SignIn
    from archkit.ports.http import HttpRequest

    now = [1000.0]
    with EmbeddedRegistry(auth=BearerAuth(expires_in=100)) as registry, UrllibHttpClient() as http:
        ImageFactory(registry).push("app:1", "linux/amd64")
        assert registry.auth is not None
        credentials = StaticCredentials({registry.host: registry.auth.login()})
        signin = SignIn(http, credentials, token_limit=1000, error_limit=1000, clock=lambda: now[0])
        asked = Asked("app:1", registry.host, "app", (Scope("app", ["pull"]),))
        for seconds in (0, 80, 15):
            now[0] += seconds
            request = HttpRequest("GET", f"{registry.url}/v2/app/manifests/1", {"Accept": "*/*"})
            assert signin.send(request, asked, limit=10_000, error_limit=1000).status == 200
        assert len(registry.log.where(kind="token")) == 2


def test_a_refused_scope_is_asked_for_once(registry: EmbeddedRegistry) -> None:
    def more(response: Response) -> Response:
        challenge = f'Bearer realm="{registry.url}/token",scope="repository:team/app:pull,admin",error="insufficient_scope"'
        return attrs.evolve(response, status=401, headers={**response.headers, "WWW-Authenticate": challenge})

    ImageFactory(registry).push("team/app:1", "linux/amd64")
    with client_of(registry) as client:
        client.manifest(f"{registry.host}/team/app:1")
        registry.on("GET", kind="manifest").tamper(more).times(1)
        client.manifest(f"{registry.host}/team/app:1")
        registry.on("GET", kind="manifest").tamper(more)
        with pytest.raises(RegistryError, match="HTTP 401"):
            client.manifest(f"{registry.host}/team/app:1")
    assert [grant.scopes for grant in bearer(registry).grants][:2] == [("repository:team/app:pull",), ("repository:team/app:pull,admin",)]
    assert len(bearer(registry).grants) <= 3


# ---- logins that are wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", [AUTHS["basic"], AUTHS["bearer"], AUTHS["identity-token"]], indirect=True)
def test_a_wrong_password_is_tried_once_and_told_with_where_it_stands(registry: EmbeddedRegistry) -> None:
    login = Login("bob", "wrong-secret", identity_token="wrong-token" if bearer_identity(registry) else "", source="/home/bob/config.json")
    with client_of(registry, login) as client, pytest.raises(RegistryError) as caught:
        client.manifest(f"{registry.host}/team/app:1")
    assert caught.value.status == 401
    assert (
        f"signed in as 'bob' from /home/bob/config.json, who may not do this; check the rights, or sign in again with `docker login {registry.host}`"
        in str(caught.value)
    )
    assert "wrong" not in str(caught.value)
    assert len(registry.log) <= 3


def bearer_identity(registry: EmbeddedRegistry) -> bool:
    return isinstance(registry.auth, BearerAuth) and bool(registry.auth.identity_token)


def test_a_login_that_was_renewed_meanwhile_is_used() -> None:
    auth = BasicAuth("bob", "new")
    with EmbeddedRegistry(auth=auth) as registry:
        ImageFactory(registry).push("app:1", "linux/amd64")
        credentials = Counting(auth.login(), Login("bob", "newer"))
        with RegistryClient(credentials=credentials) as client:
            client.manifest(f"{registry.host}/app:1")
            registry.auth = BasicAuth("bob", "newer")
            client.manifest(f"{registry.host}/app:1")
        assert len(credentials.asked) == 2
        assert len(registry.log.where(status=401)) == 2


def test_a_registry_token_is_used_as_it_is() -> None:
    class OneToken(BearerAuth):
        def check(self, request: Any, route: Any, url: str) -> Response | None:
            return None if request.headers.get("authorization") == "Bearer as-it-is" else super().check(request, route, url)

    with EmbeddedRegistry(auth=OneToken()) as registry:
        ImageFactory(registry).push("app:1", "linux/amd64")
        with client_of(registry, Login(registry_token="as-it-is")) as client:
            client.manifest(f"{registry.host}/app:1")
            client.manifest(f"{registry.host}/app:1")
        assert statuses(registry) == ["GET manifest 401", "GET manifest 200", "GET manifest 200"]
        with client_of(registry, Login(registry_token="another")) as client, pytest.raises(RegistryError, match="HTTP 401"):
            client.manifest(f"{registry.host}/app:1")
        assert len(registry.log.where(kind="token")) == 0


# ---- token servers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 200, "body": "<html>"}, "the answer holds no token"),
        ({"status": 200, "body": "[]"}, "the answer holds no token"),
        ({"status": 200, "body": '{"token":""}'}, "the answer holds no token"),
        ({"status": 200, "body": '{"token":"a\\r\\nX: b"}'}, "the answer holds no token"),
        ({"status": 403, "body": '{"errors":[{"code":"DENIED","message":"no"}]}'}, r"as 'user' was refused: DENIED: no \(HTTP 403\)"),
        ({"status": 401}, r"as 'user' was refused \(HTTP 401\)"),
        ({"status": 503}, r"was refused \(HTTP 503\)"),
        ({"status": 200, "body": "x" * 200_000}, "longer than the limit of 131072 bytes"),
        ({"status": 307, "headers": {"Location": "/token"}}, "more than 5 redirects"),
    ],
)
def test_a_token_server_that_gives_none_is_told(registry: EmbeddedRegistry, answer: dict[str, Any], reason: str) -> None:
    registry.on("GET", kind="token").answer(**answer)
    with client_of(registry) as client, pytest.raises(RegistryError, match=rf"team/app:1: sign-in at {registry.url}/token .*{reason}"):
        client.manifest(f"{registry.host}/team/app:1")


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "retry_after": 0}])
def test_a_token_server_that_is_busy_is_asked_again(registry: EmbeddedRegistry, fault: dict[str, Any]) -> None:
    ImageFactory(registry).push("team/app:1", "linux/amd64")
    registry.on("GET", kind="token").answer(**fault).times(2)
    with client_of(registry) as client:
        client.manifest(f"{registry.host}/team/app:1")


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_identity_tokens_go_by_get_where_post_is_not_known(status: int) -> None:
    with EmbeddedRegistry(auth=AUTHS["identity-token"]()) as registry, client_of(registry) as client:
        ImageFactory(registry).push("app:1", "linux/amd64")
        registry.on("POST", kind="token").answer(status).times(1)
        client.manifest(f"{registry.host}/app:1")
        assert statuses(registry)[1:3] == [f"POST token {status}", "GET token 200"]


@pytest.mark.parametrize(
    "challenge",
    [
        'bEaReR reALM="{url}/token" , service="a, b", scope="repository:team/app:pull"',
        'Negotiate, Basic realm="x", Bearer realm="/token"',
        "Bearer realm={url}/token",
    ],
)
def test_challenges_in_any_form_are_understood(registry: EmbeddedRegistry, challenge: str) -> None:
    ImageFactory(registry).push("team/app:1", "linux/amd64")
    registry.on("GET", kind="manifest").answer(401, headers={"www-authenticate": challenge.format(url=registry.url)}).times(1)
    with client_of(registry) as client:
        client.manifest(f"{registry.host}/team/app:1")
    assert statuses(registry) == ["GET manifest 401", "GET token 200", "GET manifest 200"]


@pytest.mark.parametrize("challenge", ["", "Negotiate", "Bearer", 'Bearer realm=""', "Digest realm=x"])
def test_challenges_that_archkit_cannot_meet_are_the_registrys_refusal(registry: EmbeddedRegistry, challenge: str) -> None:
    registry.on("GET").answer(401, headers={"WWW-Authenticate": challenge})
    with client_of(registry) as client, pytest.raises(RegistryError, match="asks for sign-in"):
        client.manifest(f"{registry.host}/team/app:1")
    assert len(registry.log) == 1


# ---- where credentials do not go --------------------------------------------------------------------------------


def test_a_refusal_of_another_host_is_not_answered_with_credentials() -> None:
    with EmbeddedRegistry(auth=BasicAuth()) as elsewhere, EmbeddedRegistry(auth=BasicAuth()) as registry:
        location = f"{elsewhere.url}/v2/app/manifests/1"
        with client_of(registry) as client:
            registry.on("GET", kind="manifest").answer(307, headers={"Location": location})
            with pytest.raises(RegistryError, match="HTTP 401"):
                client.manifest(f"{registry.host}/app:1")
        assert len(elsewhere.log) == 1


def test_an_upload_session_of_another_host_gets_no_credentials(registry: EmbeddedRegistry) -> None:
    with EmbeddedRegistry(auth=BasicAuth()) as elsewhere:
        session = {"Location": f"{elsewhere.url}/v2/app/blobs/uploads/1"}
        with client_of(registry) as client:
            client.tags(f"{registry.host}/app")
            registry.on("POST", kind="upload").answer(202, headers=session)
            with pytest.raises(RegistryError, match="HTTP 401"):
                client.put_blob(f"{registry.host}/app", CONTENT, digest=DIGEST, size=len(CONTENT))
        assert [exchange.status for exchange in elsewhere.log] == [401]
        assert len(registry.log.where(kind="token")) == 2


def test_a_token_server_reached_by_redirect_gets_no_password(registry: EmbeddedRegistry) -> None:
    seen: list[str | None] = []

    class Spy(BearerAuth):
        def token(self, request: Any) -> Response | None:
            seen.append(request.headers.get("authorization"))
            return super().token(request)

    with EmbeddedRegistry(auth=Spy()) as elsewhere:
        registry.on("GET", kind="token").answer(302, headers={"Location": f"{elsewhere.url}/token"})
        with client_of(registry) as client, pytest.raises(RegistryError, match="HTTP 401"):
            client.manifest(f"{registry.host}/app:1")
    assert seen == [None]


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/token", "file:///etc/passwd", "javascript:x", "https:///token"])
def test_a_realm_that_is_no_web_address_is_refused(registry: EmbeddedRegistry, realm: str) -> None:
    registry.on("GET").answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})
    with client_of(registry) as client, pytest.raises(RegistryError, match=r"the registry wants the sign-in at .*, which is refused"):
        client.manifest(f"{registry.host}/app:1")


def test_a_realm_in_plain_http_is_refused_where_the_registry_speaks_tls() -> None:
    from archkit.ports.http import HttpRequest, HttpResponse

    sent: list[str] = []

    class Https:
        """Stands in for a registry that speaks TLS."""

        def send(self, request: HttpRequest, *, limit: int, error_limit: int) -> HttpResponse:
            sent.append(request.url)
            return HttpResponse(401, {"WWW-Authenticate": 'Bearer realm="http://registry.test/token"'}, b"", request.url)

        def stream(self, request: HttpRequest, *, error_limit: int) -> Any:
            raise AssertionError("nothing is streamed")

        def close(self) -> None:
            """Nothing is open."""

    credentials = StaticCredentials({"registry.test": Login("bob", "hunter2")})
    with (
        RegistryClient(http=Https(), credentials=credentials) as client,
        pytest.raises(RegistryError, match=r"the registry wants the sign-in at http://registry\.test/token, which is refused"),
    ):
        client.manifest("registry.test/app:1")
    assert sent == ["https://registry.test/v2/app/manifests/1"]


def test_a_mount_whose_source_the_token_server_refuses_is_no_mount(registry: EmbeddedRegistry) -> None:
    with client_of(registry) as client:
        registry.on("GET", kind="token").answer(403)
        assert not client.mount_blob(f"{registry.host}/app", DIGEST, f"{registry.host}/private")


# ---- values -----------------------------------------------------------------------------------------------------


def test_the_longest_path_counts() -> None:
    logins = {"ghcr.io": Login("all"), "ghcr.io/team": Login("team"), "ghcr.io/team/app/": Login("app")}
    found = StaticCredentials(logins)
    names = {path: getattr(found.find("ghcr.io", path), "username", None) for path in ("team/app", "team/app2", "teams/app", "team")}
    assert names == {"team/app": "app", "team/app2": "team", "teams/app": "all", "team": "team"}
    assert found.find("ghcr.io:443", "team/app") is None
