"""Every way of signing in, and what is said where one does not work."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from api_double import ApiDouble, answer, status
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from archkit import ClusterConnection, ClusterSignInError, ClusterUnreachableError
from archkit.adapters.kube import kubeconfig as kubeconfigs
from archkit.adapters.kube import plugin as plugins
from archkit.testing import EmbeddedTls, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

Start = Callable[..., ApiDouble]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(serve: Callable[[Request], Response] = lambda _: answer({}), *, tls: EmbeddedTls | None = None) -> ApiDouble:
            return stack.enter_context(ApiDouble(serve, tls=tls))

        yield started


@pytest.fixture
def tls() -> Iterator[EmbeddedTls]:
    made = EmbeddedTls(ask_for_client_cert=True)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def ask(path: Path) -> Response:
    with ClusterConnection.from_kubeconfig(path) as connection:
        found = connection.request("GET", "/version", timeout=10)
    return Response(found.status, found.headers, found.body)


def jwt(expires: int) -> str:
    def part(fields: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part({'exp': expires, 'sub': 'jane'})}.hunter2"


def oidc(expires: int, **more: str) -> dict[str, Any]:
    return {"auth-provider": {"name": "oidc", "config": {"id-token": jwt(expires), **more}}}


# ---- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        pytest.param({"token": "abc"}, "Bearer abc", id="token"),
        pytest.param({"username": "bob", "password": "pw"}, "Basic Ym9iOnB3", id="password"),
        pytest.param({}, "", id="nobody"),
        pytest.param(oidc(4_000_000_000), f"Bearer {jwt(4_000_000_000)}", id="OpenID Connect"),
    ],
)
def test_what_stands_in_the_kubeconfig_is_sent(user: dict[str, str], sent: str, start: Start, tmp_path: Path) -> None:
    server = start()

    ask(server.kubeconfig(tmp_path, user))

    assert server.tokens == [sent]
    assert server.seen[0].headers["user-agent"].startswith("archkit/")


def test_a_token_file_is_read_without_its_line_end_and_counts_more_than_a_token(start: Start, tmp_path: Path) -> None:
    server = start()
    (tmp_path / "token").write_text("from-file\n")

    ask(server.kubeconfig(tmp_path, {"tokenFile": "token", "token": "other"}))

    assert server.tokens == ["Bearer from-file"]


def test_a_token_file_is_read_again_after_a_minute(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()
    (tmp_path / "token").write_text("one")
    with ClusterConnection.from_kubeconfig(server.kubeconfig(tmp_path, {"tokenFile": "token"})) as connection:
        connection.request("GET", "/version")
        (tmp_path / "token").write_text("two")
        connection.request("GET", "/version")
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 61)
        connection.request("GET", "/version")

    assert server.tokens == ["Bearer one", "Bearer one", "Bearer two"]


@pytest.mark.parametrize("inline", [True, False], ids=["in the file", "beside it"])
def test_certificates_and_authorities_are_read_from_files_and_from_the_kubeconfig(
    inline: bool, start: Start, tls: EmbeddedTls, tmp_path: Path
) -> None:
    server = start(tls=tls)
    pem = tls.client_cert
    user: dict[str, str] = {"client-certificate": str(pem), "client-key": str(pem)}
    cluster: dict[str, str] = {}
    if inline:
        encoded = {name: base64.b64encode(file.read_bytes()).decode() for name, file in (("own", pem), ("ca", tls.ca_file))}
        user = {"client-certificate-data": encoded["own"], "client-key-data": encoded["own"]}
        cluster = {"certificate_authority_data": encoded["ca"]}
    path = server.kubeconfig(tmp_path, user, **cluster)

    assert ask(path).status == 200


def test_without_the_certificate_that_the_server_wants_there_is_no_answer(start: Start, tls: EmbeddedTls, tmp_path: Path) -> None:
    server = start(tls=tls)

    with pytest.raises(ClusterUnreachableError):
        ask(server.kubeconfig(tmp_path))


def test_a_server_of_another_authority_is_not_trusted(start: Start, tmp_path: Path) -> None:
    own, other = EmbeddedTls(), EmbeddedTls()
    try:
        server = start(tls=own)
        path = server.kubeconfig(tmp_path, {"token": "hunter2"}, certificate_authority=str(other.ca_file))

        with pytest.raises(ClusterUnreachableError, match=r"no secure connection.*check certificate-authority"):
            ask(path)
        assert server.tokens == []
    finally:
        own.close()
        other.close()


def test_a_server_of_another_name_is_known_by_tls_server_name(start: Start, tmp_path: Path) -> None:
    own = EmbeddedTls(["kubernetes.test"])
    try:
        server = start(tls=own)
        with pytest.raises(ClusterUnreachableError):
            ask(server.kubeconfig(tmp_path))
        assert ask(server.kubeconfig(tmp_path, tls_server_name="kubernetes.test")).status == 200
    finally:
        own.close()


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_who_says_so_trusts_any_server(start: Start, tmp_path: Path) -> None:
    own = EmbeddedTls()
    try:
        server = start(tls=own)
        path = server.kubeconfig(tmp_path, insecure_skip_tls_verify=True)
        path.write_text(path.read_text().replace(f'"certificate-authority": {json.dumps(str(own.ca_file))}, ', ""))
        assert ask(path).status == 200
    finally:
        own.close()


def test_inside_a_pod_token_and_authority_of_the_service_account_are_used(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = EmbeddedTls()
    try:
        server = start(tls=own)
        (tmp_path / "token").write_text("pod-token\n")
        (tmp_path / "ca.crt").write_bytes(own.ca_file.read_bytes())
        host, _, port = server.url.removeprefix("https://").rpartition(":")
        monkeypatch.setattr(kubeconfigs, "SERVICE_ACCOUNT", tmp_path)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        with ClusterConnection.in_cluster() as connection:
            assert connection.request("GET", "/version").status == 200
    finally:
        own.close()
    assert server.tokens == ["Bearer pod-token"]


def test_whom_a_user_acts_as_is_sent(start: Start, tmp_path: Path) -> None:
    server = start()

    ask(server.kubeconfig(tmp_path, {"token": "a", "as": "jane", "as-groups": ["devs"], "as-uid": "7"}))

    headers = server.seen[0].headers
    assert [headers[f"impersonate-{name}"] for name in ("user", "group", "uid")] == ["jane", "devs", "7"]


@pytest.mark.parametrize("more", [{"as-groups": ["a", "b"]}, {"as-user-extra": {"scope": ["x"]}}])
def test_acting_as_somebody_in_part_only_is_refused(more: dict[str, Any], start: Start, tmp_path: Path) -> None:
    server = start()

    with pytest.raises(ClusterSignInError, match="impersonates"):
        ask(server.kubeconfig(tmp_path, {"token": "a", "as": "jane", **more}))
    assert server.seen == []


@pytest.mark.parametrize("by", ["kubeconfig", "environment"])
def test_requests_go_through_the_proxy_and_its_password_stays_between_the_two(
    by: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start(lambda request: answer({"target": request.target}))
    address = proxy.url.replace("http://", "http://bob:hunter2@")
    path = proxy.kubeconfig(tmp_path, {"token": "a"}, server="http://api.example.test:6443")
    if by == "kubeconfig":
        path = proxy.kubeconfig(tmp_path, {"token": "a"}, server="http://api.example.test:6443", proxy_url=address)
    else:
        monkeypatch.setenv("HTTP_PROXY", address)

    assert json.loads(ask(path).body)["target"] == "http://api.example.test:6443/version"
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic Ym9iOmh1bnRlcjI="


def test_a_proxy_that_is_not_there_is_named_as_the_cause(start: Start, tmp_path: Path) -> None:
    gone = start()
    gone.stop()
    path = gone.kubeconfig(tmp_path, {"token": "a"}, server="http://api.example.test", proxy_url=gone.url)

    with pytest.raises(ClusterUnreachableError):
        ask(path)


# ---- programs -------------------------------------------------------------------------------------------------------


def plugin(folder: Path, text: str, **more: Any) -> dict[str, Any]:
    """A user who signs in with a program; the program is Python."""
    script = folder / "login"
    script.write_text(f"#!{sys.executable}\nimport json, os, sys\n{text}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), **more}}


def prints(**credential: Any) -> str:
    return f"print(json.dumps({{'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': {credential!r}}}))"


needs_scripts = pytest.mark.skipif(os.name == "nt", reason="the programs of these tests are scripts with a first line that names Python")


@needs_scripts
def test_a_program_gives_the_token_and_is_told_what_it_may_ask(start: Start, tmp_path: Path) -> None:
    server = start()
    told = f"open({str(tmp_path / 'told')!r}, 'w').write(json.dumps([sys.argv[1:], os.environ['WHO'], os.environ['KUBERNETES_EXEC_INFO']]))"
    user = plugin(
        tmp_path, f"{told}\n{prints(token='abc')}", args=["get", "token"], env=[{"name": "WHO", "value": "me"}], provideClusterInfo=True
    )

    ask(server.kubeconfig(tmp_path, user))

    arguments, who, info = json.loads((tmp_path / "told").read_text())
    spec = json.loads(info)["spec"]
    assert (arguments, who, server.tokens) == (["get", "token"], "me", ["Bearer abc"])
    assert spec["interactive"] is False
    assert spec["cluster"]["server"] == server.url


@needs_scripts
def test_a_program_gives_a_certificate(start: Start, tls: EmbeddedTls, tmp_path: Path) -> None:
    server = start(tls=tls)
    pem = tls.client_cert.read_text()

    assert ask(server.kubeconfig(tmp_path, plugin(tmp_path, prints(clientCertificateData=pem, clientKeyData=pem)))).status == 200


@needs_scripts
def test_a_program_is_run_once_and_again_when_what_it_gave_has_expired(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    count = tmp_path / "count"
    soon = (datetime.now(timezone.utc) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    text = f"open({str(count)!r}, 'a').write('x')\n" + prints(token="abc", expirationTimestamp=soon)
    with ClusterConnection.from_kubeconfig(server.kubeconfig(tmp_path, plugin(tmp_path, text))) as connection:
        for _ in range(3):
            connection.request("GET", "/version")
        assert count.read_text() == "x"
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 299)
        connection.request("GET", "/version")
    assert count.read_text() == "xx"


@needs_scripts
@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("sys.exit('no session; run login')", "ended with status 1: no session; run login", id="fails"),
        pytest.param("print('hunter2'); sys.exit(3)", "ended with status 3: no message", id="fails silently"),
        pytest.param("print('hunter2')", "no ExecCredential", id="no JSON"),
        pytest.param("print('[]')", "no ExecCredential", id="a list"),
        pytest.param(prints(note="hunter2"), "neither a token nor a certificate", id="nothing in it"),
        pytest.param("print(json.dumps({'apiVersion': 'v2', 'status': {'token': 'hunter2'}}))", "it speaks v2", id="another version"),
        pytest.param(prints(token="hunter2", expirationTimestamp="soon"), "no ExecCredential", id="a time that is none"),
    ],
)
def test_a_program_that_is_of_no_use_says_why_and_tells_no_secret(text: str, said: str, start: Start, tmp_path: Path) -> None:
    server = start()

    with pytest.raises(ClusterSignInError, match=said) as caught:
        ask(server.kubeconfig(tmp_path, plugin(tmp_path, text)))
    assert "hunter2" not in str(caught.value)
    assert "kubectl --context here get nodes" in str(caught.value)
    assert server.seen == []


def test_a_program_that_is_missing_is_named_with_the_kubeconfigs_advice(start: Start, tmp_path: Path) -> None:
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "no-such-login",
            "installHint": "get it from\n https://x.test",
        }
    }

    with pytest.raises(ClusterSignInError, match=r"no-such-login of the kubeconfig is not installed.*; get it from https://x\.test"):
        ask(start().kubeconfig(tmp_path, user))


def test_a_program_that_asks_questions_is_not_started(start: Start, tmp_path: Path) -> None:
    user = plugin(tmp_path, "open('started', 'w')", interactiveMode="Always")

    with pytest.raises(ClusterSignInError, match="asks questions"):
        ask(start().kubeconfig(tmp_path, user))


# ---- what cannot be used ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    [
        pytest.param({"client-certificate": "gone.crt", "client-key": "gone.key"}, id="no such file"),
        pytest.param({"client-certificate-data": "%%%", "client-key-data": "%%%"}, id="not base64"),
        pytest.param({"client-certificate-data": "aHVudGVyMg==", "client-key-data": "aHVudGVyMg=="}, id="not PEM"),
        pytest.param({"tokenFile": "gone"}, id="no token file"),
        pytest.param(oidc(1), id="an OpenID Connect token that has expired and cannot be renewed"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_sent(user: dict[str, str], start: Start, tmp_path: Path) -> None:
    own = EmbeddedTls()
    try:
        server = start(tls=own)
        with pytest.raises(ClusterSignInError, match="cannot be used") as caught:
            ask(server.kubeconfig(tmp_path, user))
    finally:
        own.close()
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert server.seen == []


# ---- a server that does not take it ---------------------------------------------------------------------------------------


def test_after_a_401_the_kubeconfig_is_read_again_once(start: Start, tmp_path: Path) -> None:
    server = start(lambda request: answer({}) if request.headers["authorization"] == "Bearer new" else status(401, "Unauthorized"))
    path = server.kubeconfig(tmp_path, {"token": "old"})
    with ClusterConnection.from_kubeconfig(path) as connection:
        assert connection.request("GET", "/version").status == 401
        assert server.tokens == ["Bearer old", "Bearer old"]
        server.kubeconfig(tmp_path, {"token": "new"})
        assert connection.request("POST", "/x", body=b"{}").status == 200
        assert connection.request("GET", "/version").status == 200
    assert server.tokens[2:] == ["Bearer old", "Bearer new", "Bearer new"]


def test_the_kubeconfig_is_never_written(start: Start, tmp_path: Path) -> None:
    server = start(lambda _: status(401, "Unauthorized"))
    path = server.kubeconfig(tmp_path, {"token": "old"})
    before = path.read_bytes(), path.stat().st_mtime_ns

    ask(path)

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [file.name for file in tmp_path.iterdir()] == ["config"]


# ---- certificates as clusters have them ---------------------------------------------------------------------------------


def without_key_identifiers(folder: Path) -> EmbeddedTls:
    """Certificates that lack what Python 3.13 asks for and Go does not: an authority key identifier."""
    key, ca_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(timezone.utc)
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])

    def certificate(name: x509.Name, of: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder(ca_name, name, of.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints)).sign(ca_key, hashes.SHA256())

    ca = certificate(ca_name, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    own = certificate(x509.Name([]), key, x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]))
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.crt").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(own.public_bytes(pem) + secret)
    made = EmbeddedTls()
    made.ca_file = folder / "ca.crt"
    made.context.load_cert_chain(folder / "server.pem")
    return made


def test_authorities_that_kubectl_trusts_are_trusted_by_every_python(start: Start, tmp_path: Path) -> None:
    tls = without_key_identifiers(tmp_path)
    try:
        assert ask(start(tls=tls).kubeconfig(tmp_path)).status == 200
    finally:
        tls.close()


@needs_scripts
def test_signing_in_takes_nothing_of_the_time_for_the_answer(start: Start, tmp_path: Path) -> None:
    server = start()
    user = plugin(tmp_path, f"import time\ntime.sleep(2)\n{prints(token='abc')}")
    with ClusterConnection.from_kubeconfig(server.kubeconfig(tmp_path, user)) as connection:
        assert connection.request("GET", "/version", timeout=1.9).status == 200


@needs_scripts
def test_a_program_that_does_not_end_is_ended(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_TIMEOUT", 1.0)
    text = "import time\nprint('open https://login.test', file=sys.stderr, flush=True)\ntime.sleep(60)"

    with pytest.raises(ClusterSignInError, match=r"did not end within 1 s; it said last: open https://login\.test"):
        ask(start().kubeconfig(tmp_path, plugin(tmp_path, text)))


@needs_scripts
def test_a_program_is_told_the_authority_and_its_own_settings(start: Start, tmp_path: Path) -> None:
    tls = EmbeddedTls()
    try:
        server = start(tls=tls)
        told = f"open({str(tmp_path / 'told')!r}, 'w').write(os.environ['KUBERNETES_EXEC_INFO'])"
        extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
        user = plugin(tmp_path, f"{told}\n{prints(token='abc')}", provideClusterInfo=True)
        ask(server.kubeconfig(tmp_path, user, extensions=[{"name": "other"}, extension]))
        authority = base64.b64encode(tls.ca_file.read_bytes()).decode()
    finally:
        tls.close()

    cluster = json.loads((tmp_path / "told").read_text())["spec"]["cluster"]
    assert (cluster["certificate-authority-data"], cluster["config"]) == (authority, {"audience": "x"})


def test_without_an_authority_the_systems_are_trusted_and_no_others(start: Start, tmp_path: Path) -> None:
    tls = EmbeddedTls()
    try:
        path = start(tls=tls).kubeconfig(tmp_path, certificate_authority="")
        with pytest.raises(ClusterUnreachableError, match="no secure connection"):
            ask(path)
    finally:
        tls.close()


def test_a_key_with_a_password_is_refused_without_asking_for_it(start: Start, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hunter2")
    )
    tls = EmbeddedTls()
    try:
        (tmp_path / "own.key").write_bytes(secret)
        user = {"client-certificate": str(tls.client_cert), "client-key": str(tmp_path / "own.key")}
        with pytest.raises(ClusterSignInError, match="the client key is encrypted"):
            ask(start(tls=tls).kubeconfig(tmp_path, user))
    finally:
        tls.close()
