"""RegistryClient over TLS and through proxies: whom it trusts, what it shows, which way it goes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from archkit import Login, Proxies, RegistryClient, RegistryError, Retries, StaticCredentials
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, EmbeddedTls, ImageFactory, Request, Response
from archkit.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONCE = Retries(attempts=1)


@pytest.fixture
def tls() -> EmbeddedTls:
    return EmbeddedTls()


@pytest.fixture
def registry(tls: EmbeddedTls) -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry(tls=tls) as made:
        ImageFactory(made).push("team/app:1", "linux/amd64")
        yield made


def head(registry: EmbeddedRegistry, **options: Any) -> object:
    with RegistryClient(https=[registry.host], retries=ONCE, **options) as client:
        return client.head(f"{registry.host}/team/app:1")


# ---- authorities ------------------------------------------------------------------------------------------------


def test_an_authority_that_nobody_knows_is_not_trusted(registry: EmbeddedRegistry) -> None:
    with pytest.raises(RegistryError, match=r"no secure connection: .*certificate verify failed"):
        head(registry)
    assert len(registry.log) == 0


def test_a_file_of_authorities_is_trusted(registry: EmbeddedRegistry, tls: EmbeddedTls) -> None:
    assert head(registry, ca_file=tls.ca_file) is not None
    assert head(registry, ca_file=str(tls.ca_file)) is not None


@pytest.mark.parametrize("name", ["mine.crt", "mine.pem"])
def test_a_folder_of_authorities_is_trusted(registry: EmbeddedRegistry, tls: EmbeddedTls, tmp_path: Path, name: str) -> None:
    shutil.copy(tls.ca_file, tmp_path / name)
    assert head(registry, ca_file=tmp_path) is not None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the hashed name with openssl")
def test_a_folder_with_hashed_names_is_trusted(registry: EmbeddedRegistry, tls: EmbeddedTls, tmp_path: Path) -> None:
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(tls.ca_file)]
    name = subprocess.run(command, capture_output=True, encoding="ascii", check=True).stdout.strip()
    shutil.copy(tls.ca_file, tmp_path / f"{name}.0")
    assert head(registry, ca_file=tmp_path) is not None


def test_authorities_that_cannot_be_read_are_named(registry: EmbeddedRegistry, tmp_path: Path) -> None:
    (tmp_path / "bad.crt").write_text("no certificate")
    (tmp_path / "empty").mkdir()
    for path, reason in [
        (tmp_path / "nothing.pem", rf"the certificate authorities in {tmp_path}/nothing\.pem cannot be used: No such file"),
        (tmp_path / "bad.crt", rf"the certificate authorities in {tmp_path}/bad\.crt cannot be used: "),
        (tmp_path, rf"the certificate authorities in {tmp_path} cannot be used: "),
        (tmp_path / "empty", rf"the folder {tmp_path}/empty holds no certificate authority"),
    ]:
        with pytest.raises(RegistryError, match=reason):
            head(registry, ca_file=path)


def test_a_certificate_for_another_host_is_not_trusted() -> None:
    with EmbeddedRegistry(tls=EmbeddedTls(["registry.test"])) as registry:
        assert registry.tls is not None
        with pytest.raises(RegistryError, match=r"no secure connection: .*(not valid for|doesn't match)"):
            head(registry, ca_file=registry.tls.ca_file)


# ---- client certificates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [False, True])
def test_a_client_certificate_is_shown(pair: bool, tmp_path: Path) -> None:
    with EmbeddedRegistry(tls=EmbeddedTls(ask_for_client_cert=True)) as registry:
        tls = registry.tls
        assert tls is not None
        with pytest.raises(RegistryError):
            head(registry, ca_file=tls.ca_file)
        assert len(registry.log) == 0
        shown = tls.client_cert
        head(registry, ca_file=tls.ca_file, client_cert=(shown, shown) if pair else shown)
        assert len(registry.log) == 1


def test_a_client_certificate_that_cannot_be_used_is_named(registry: EmbeddedRegistry, tls: EmbeddedTls, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for shown in (tmp_path / "nothing.pem", tmp_path / "bad.pem", tls.ca_file):
        with pytest.raises(RegistryError, match=f"the client certificate {shown} with the key {shown} cannot be used: "):
            head(registry, ca_file=tls.ca_file, client_cert=shown)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="encrypts the key with openssl")
def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    registry: EmbeddedRegistry, tls: EmbeddedTls, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:hunter2", "-in", str(tls.client_cert), "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(RegistryError, match="cannot be used: it is encrypted; give one that is not"):
        head(registry, ca_file=tls.ca_file, client_cert=(tls.client_cert, key))


# ---- signed in, and mistaken for each other ---------------------------------------------------------------------


@pytest.mark.parametrize("auth", [BasicAuth, BearerAuth])
def test_sign_in_works_over_tls(auth: Any) -> None:
    with EmbeddedRegistry(auth=auth(), tls=EmbeddedTls()) as registry:
        image = ImageFactory(registry.client()).push(f"{registry.host}/team/app:1", "linux/amd64,linux/arm64")
        assert registry.resolve("team/app:1") == image.digest


def test_a_plain_registry_of_this_machine_that_is_named_for_tls_is_told(archkit_registry: EmbeddedRegistry) -> None:
    with pytest.raises(RegistryError, match=r"no secure connection.*if 127\.0\.0\.1:\d+ speaks plain HTTP, name it in plain_http"):
        head(archkit_registry)


def test_a_tls_registry_asked_in_plain_http_is_told(registry: EmbeddedRegistry) -> None:
    with RegistryClient(retries=ONCE) as client, pytest.raises(RegistryError, match="HTTP 400"):
        client.manifest(f"{registry.host}/team/app:1")


# ---- proxies ----------------------------------------------------------------------------------------------------


class Proxy:
    """Answers for every host itself, and connects to one port whatever host a tunnel is asked for."""

    def __init__(self, target: str = "", answer: Response | None = None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self._target = target
        self._answer = answer or Response(200, {"Content-Type": "application/json"}, b'{"tags":["1"]}')
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(connection,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            lines = head.decode("latin-1").split("\r\n")
            given = next((line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-authorization:")), None)
            self.seen.append((lines[0].rpartition(" ")[0], given))
            if not self._target:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = self._target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join(5)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def test_plain_requests_go_through_a_proxy_with_its_own_password() -> None:
    seen: list[Request] = []

    def answer(request: Request, _: int) -> Response:
        seen.append(request)
        return Response(200, {"Content-Type": "application/json"}, b'{"tags":["1"]}')

    server = LoopbackServer(answer)
    server.start()
    proxies = Proxies(http=f"http://bob:p%40ss@{server.host}")
    with RegistryClient(plain_http=["registry.test:5000"], proxies=proxies, retries=ONCE) as client:
        assert list(client.tags("registry.test:5000/app")) == ["1"]
    server.stop()
    assert seen[0].target == "http://registry.test:5000/v2/app/tags/list?n=1000"
    assert seen[0].headers["proxy-authorization"] == "Basic Ym9iOnBAc3M="


def test_secure_requests_go_through_a_tunnel_that_sees_no_credentials_of_the_registry() -> None:
    with EmbeddedRegistry(auth=BasicAuth("alice", "hunter2"), tls=EmbeddedTls(["registry.test"])) as registry:
        assert registry.tls is not None
        ImageFactory(registry).push("app:1", "linux/amd64")
        proxy = Proxy(registry.host)
        credentials = StaticCredentials({"registry.test": Login("alice", "hunter2")})
        proxies = Proxies(https=proxy.url.replace("//", "//bob:secret@"))
        with RegistryClient(credentials=credentials, ca_file=registry.tls.ca_file, proxies=proxies, retries=ONCE) as client:
            assert client.manifest("registry.test/app:1").digest == registry.resolve("app:1")
        proxy.close()
        assert proxy.seen == [("CONNECT registry.test:443", "Basic Ym9iOnNlY3JldA==")]


def test_a_proxy_that_refuses_is_told_without_its_password() -> None:
    proxy = Proxy()
    proxies = Proxies(https=proxy.url.replace("//", "//bob:secret@"))
    with (
        RegistryClient(proxies=proxies, retries=ONCE) as client,
        pytest.raises(RegistryError, match=r"the proxy does not let through: .*407") as caught,
    ):
        client.manifest("registry.test/app:1")
    proxy.close()
    assert "secret" not in str(caught.value)


def test_a_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with (
        RegistryClient(proxies=Proxies(https="socks5://bob:secret@proxy.test:1080"), retries=ONCE) as client,
        pytest.raises(RegistryError, match=r"the proxy socks5://proxy\.test:1080 cannot be used: archkit goes through HTTP proxies only"),
    ):
        client.manifest("registry.test/app:1")


def test_this_machine_is_never_asked_through_a_proxy(archkit_registry: EmbeddedRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://proxy.invalid:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with RegistryClient(retries=ONCE) as client:
        assert client.tags(f"{archkit_registry.host}/app") == []


@pytest.mark.parametrize(
    ("bypass", "direct"),
    [
        ("", False),
        ("*", True),
        ("ghcr.io", True),
        ("GHCR.IO", True),
        (".ghcr.io", True),
        ("*.io", True),
        ("io", True),
        ("hcr.io", False),
        ("a.test, ghcr.io ,b.test", True),
        ("ghcr.io:443", True),
        ("ghcr.io:5000", False),
        ("10.0.0.0/8", False),
    ],
)
def test_names_that_need_no_proxy(bypass: str, direct: bool) -> None:
    assert (not Proxies(https="proxy.test:3128", bypass=bypass).of("https://ghcr.io/v2/")) is direct


@pytest.mark.parametrize(
    ("bypass", "direct"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3", True),
        ("10.1.2.3:5000", True),
        ("10.1.2.3:443", False),
        ("11.0.0.0/8", False),
        ("2.3", False),
        ("x/y", False),
    ],
)
def test_addresses_that_need_no_proxy(bypass: str, direct: bool) -> None:
    assert (not Proxies(http="proxy.test:3128", bypass=bypass).of("http://10.1.2.3:5000/v2/")) is direct


@pytest.mark.parametrize("url", ["http://localhost/", "http://127.0.0.9:1/", "https://[::1]/"])
def test_no_proxy_for_this_machine(url: str) -> None:
    assert not Proxies(http="http://proxy.test", https="http://proxy.test").of(url)


def test_the_environment_names_proxies() -> None:
    found = Proxies.from_environment({"http_proxy": "http://a", "HTTP_PROXY": "http://b", "HTTPS_PROXY": "http://c", "NO_PROXY": "x,y"})
    assert (found.http.reveal(), found.https.reveal(), found.bypass) == ("http://a", "http://c", ("x", "y"))
    assert Proxies.from_environment({}) == Proxies()
    assert Proxies.from_environment({"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil"}).http == ""
    assert Proxies(https="proxy.test:3128").of("https://ghcr.io/").reveal() == "http://proxy.test:3128"
