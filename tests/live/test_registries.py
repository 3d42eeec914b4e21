"""One set of client tests against the embedded registry, the distribution project's and go-containerregistry's.

The distribution project's runs plain, with names and passwords, and over TLS with both.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import (
    DefectiveImageError,
    Digest,
    DockerCredentials,
    IndexStitcher,
    Login,
    PlatformSet,
    RegistryClient,
    RegistryError,
    Retries,
    StaticCredentials,
    TagMovedError,
    inspect,
    remove_tags,
    verify,
)
from archkit.model.oci import DOCKER_LIST, OCI_INDEX, Index
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, EmbeddedTls, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

TWO = PlatformSet("linux/amd64,linux/arm64")
CONTENT = b"some content" * 100_000
DIGEST = Digest.of(CONTENT)
LOGIN = Login("bob", "pass:wörd")
HTPASSWD = "bob:$2b$05$fMgyGvNFo8yVcg.8ZNRYte9kRXJeSFjqOTI9Ukidvx8An4al7WriS"
"""That login, as `htpasswd -B` writes it: Python has nothing that makes such a line since 3.13."""
QUICK = Retries(first_wait=0.05)


@attrs.frozen
class Server:
    """A registry that runs, and the options of a client for it."""

    host: str
    options: dict[str, Any]
    deletes_tags: bool
    login: Login | None = None
    mounts: bool = True
    checks_parts: bool = True
    """Whether it refuses a manifest of which a blob is missing."""

    def client(self, **other: Any) -> RegistryClient:
        credentials = StaticCredentials({} if self.login is None else {self.host: self.login})
        return RegistryClient(**{"credentials": credentials, "retries": QUICK, **self.options, **other})


# ---- the registries ---------------------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], says: str, env: dict[str, str]) -> Generator[str, None, None]:
    """A server, ended afterwards; gives the port that it says it listens on."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    assert process.stdout is not None
    lines: list[str] = []
    port: list[str] = []
    known = threading.Event()

    def read(output: Any) -> None:
        for line in output:
            lines.append(line)
            if not port and (found := re.search(says, line)):
                port.append(found.group(1))
                known.set()
        known.set()

    reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        known.wait(60)
        assert port, "".join(lines)
        yield port[0]
    finally:
        process.terminate()
        process.wait(30)
        reader.join(30)
        process.stdout.close()


@contextmanager
def distribution(program: Path, folder: Path, *, auth: bool = False, tls: bool = False) -> Generator[Server, None, None]:
    with ExitStack() as stack:
        http: dict[str, Any] = {"addr": "127.0.0.1:0"}
        options: dict[str, Any] = {}
        config: dict[str, Any] = {"version": 0.1, "log": {"level": "info"}, "http": http}
        config["storage"] = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}
        if tls:
            made = EmbeddedTls(ask_for_client_cert=True)
            stack.callback(made.close)
            http["tls"] = {"certificate": str(made.server_cert), "key": str(made.server_cert), "clientcas": [str(made.ca_file)]}
            options = {"ca_file": made.ca_file, "client_cert": made.client_cert}
        if auth:
            (folder / "htpasswd").write_text(HTPASSWD + "\n")
            config["auth"] = {"htpasswd": {"realm": "a, b", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        command = [str(program), "serve", str(folder / "config.yml")]
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "OTEL_TRACES_EXPORTER": "none"}
        port = stack.enter_context(running(command, r"listening on 127\.0\.0\.1:(\d+)", env))
        host = f"127.0.0.1:{port}"
        yield Server(host, {**options, **({"https": [host]} if tls else {})}, deletes_tags=False, login=LOGIN if auth else None)


@contextmanager
def embedded(**options: Any) -> Generator[Server, None, None]:
    with EmbeddedRegistry(**options) as registry:
        client = {} if registry.tls is None else {"ca_file": registry.tls.ca_file, "https": [registry.host]}
        yield Server(registry.host, client, deletes_tags=True, login=None if registry.auth is None else registry.auth.login())


@contextmanager
def ggcr(program: Path) -> Generator[Server, None, None]:
    with running([str(program), "-port", "0"], r"serving on port (\d+)", dict(os.environ)) as port:
        yield Server(f"localhost:{port}", {}, deletes_tags=True, mounts=False, checks_parts=False)


KINDS = [
    *("embedded", "embedded-basic", "embedded-bearer", "embedded-identity", "embedded-tls-bearer"),
    *("distribution", "distribution-htpasswd", "distribution-tls", "ggcr"),
]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("registry")
    user, password = LOGIN.username, LOGIN.password.reveal()
    match request.param:
        case "embedded":
            made = embedded()
        case "embedded-basic":
            made = embedded(auth=BasicAuth(user, password))
        case "embedded-bearer":
            made = embedded(auth=BearerAuth(user, password))
        case "embedded-identity":
            made = embedded(auth=BearerAuth(user, "another", identity_token="an-identity-token"))
        case "embedded-tls-bearer":
            made = embedded(auth=BearerAuth(user, password), tls=EmbeddedTls())
        case "ggcr":
            made = ggcr(request.getfixturevalue("ggcr_registry"))
        case kind:
            program = request.getfixturevalue("docker_registry")
            made = distribution(program, folder, auth=kind != "distribution", tls=kind == "distribution-tls")
    with made as found:
        yield found


@pytest.fixture
def app(server: Server, request: pytest.FixtureRequest) -> str:
    """A repository of this test alone."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.lower()).strip("-")
    return f"{server.host}/team/{name[:60].strip('-')}"


@pytest.fixture
def client(server: Server) -> Iterator[RegistryClient]:
    with server.client() as made:
        yield made


# ---- the tests --------------------------------------------------------------------------------------------------


def test_blobs_come_back(client: RegistryClient, app: str) -> None:
    assert not client.has_blob(app, DIGEST)
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert client.has_blob(app, DIGEST)
    assert client.blob(app, DIGEST) == CONTENT
    assert b"".join(client.stream_blob(app, DIGEST)) == CONTENT
    streamed = f"{app}-streamed"
    client.put_blob(streamed, iter([CONTENT[:7], CONTENT[7:]]), digest=DIGEST, size=len(CONTENT))
    assert client.blob(streamed, DIGEST) == CONTENT


def test_a_blob_of_another_digest_is_not_stored(client: RegistryClient, app: str) -> None:
    wanted = Digest.of(b"wanted")
    with pytest.raises(RegistryError):
        client.put_blob(app, iter([b"others"]), digest=wanted, size=6)
    assert not client.has_blob(app, wanted)


def test_a_blob_of_another_repository_is_mounted(server: Server, client: RegistryClient, app: str) -> None:
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert client.mount_blob(f"{app}-other", DIGEST, app) is server.mounts
    assert client.has_blob(f"{app}-other", DIGEST)


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_images_and_indexes_come_back(client: RegistryClient, app: str, docker: bool) -> None:
    app = f"{app}-{docker}".lower()
    parts = [ImageFactory(client).push(f"{app}:1_{platform.tag_suffix}", platform, docker=docker) for platform in TWO]
    made = IndexStitcher(client).stitch(f"{app}:1", parts)
    found = client.manifest(f"{app}:1")
    assert (found.content, found.media_type) == (made.manifest, DOCKER_LIST if docker else OCI_INDEX)
    assert client.head(f"{app}:1") == made.descriptor
    assert client.head(f"{app}@{made.digest}") == made.descriptor
    assert client.platforms(f"{app}:1") == TWO
    assert list(client.tags(app)) == ["1", "1_linux_amd64", "1_linux_arm64"]


def test_a_manifest_without_its_parts_is_refused_by_name_of_the_parts(server: Server, client: RegistryClient, app: str) -> None:
    ImageFactory(client).push(f"{app}:1", "linux/amd64")
    manifest = client.manifest(f"{app}:1")
    if not server.checks_parts:  # its blobs belong to every repository
        assert client.put_manifest(f"{app}-empty:1", manifest).digest == manifest.digest
        return
    with pytest.raises(RegistryError, match="sha256:") as caught:
        client.put_manifest(f"{app}-empty:1", manifest)
    assert set(caught.value.codes) == {"MANIFEST_BLOB_UNKNOWN"}


def test_what_is_not_there_is_none_or_an_error_of_404(client: RegistryClient, app: str) -> None:
    assert client.head(f"{app}:none") is None
    assert list(client.tags(app)) == []
    assert client.platforms(f"{app}:none") is None
    for read in (lambda: client.manifest(f"{app}:none"), lambda: client.blob(app, Digest.of(b"nobody stored this"))):
        with pytest.raises(RegistryError) as caught:
            read()
        assert caught.value.status == 404


def test_a_tag_is_deleted_and_never_more(server: Server, client: RegistryClient, app: str) -> None:
    image = ImageFactory(client).push(f"{app}:1", "linux/amd64")
    client.put_manifest(f"{app}:2", client.manifest(f"{app}:1"))
    assert client.delete_tag(f"{app}:1") is server.deletes_tags
    assert list(client.tags(app)) == (["2"] if server.deletes_tags else ["1", "2"])
    assert client.head(f"{app}@{image.digest}") is not None


def test_nobody_gets_in_without_the_right_login(server: Server, app: str) -> None:
    if server.login is None:
        with server.client(credentials=None) as client:
            client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
        return
    for credentials in (None, StaticCredentials({server.host: Login("bob", "wrong", source="this test")})):
        with server.client(credentials=credentials) as client, pytest.raises(RegistryError, match=f"docker login {server.host}") as caught:
            client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
        assert caught.value.status == 401
        assert "wrong" not in str(caught.value)


def test_what_docker_login_leaves_is_enough(server: Server, app: str, tmp_path: Path) -> None:
    login = server.login or Login("nobody", "asks for it")
    entry = {"auth": base64.b64encode(f"{login.username}:{login.password.reveal()}".encode()).decode()}
    if login.identity_token:
        entry["identitytoken"] = login.identity_token.reveal()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"https://{server.host}/v2/": entry}}))
    credentials = DockerCredentials(environ={"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)})
    with server.client(credentials=credentials) as client:
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
        assert client.has_blob(app, DIGEST)


def test_an_image_is_inspected_and_verified(client: RegistryClient, app: str) -> None:
    image = ImageFactory(client).push(f"{app}:1", TWO, attestations=True)
    found = inspect(f"{app}:1", client, children=True)
    assert (found.digest, found.platforms, found.size) == (image.digest, TWO, len(found.content))
    assert [entry.image.platform for entry in found.entries[:2] if entry.image is not None] == list(TWO)
    for content in (False, True):
        whole = verify(f"{app}:1", client, content=content)
        assert (whole.digest, whole.platforms, whole.manifests, whole.blobs) == (image.digest, TWO, 5, 8)
    lying = ImageFactory(client).push(f"{app}:lies", TWO, elf={"linux/arm64": "amd64"})
    with pytest.raises(DefectiveImageError, match="program-untrue"):
        verify(lying.reference, client)


def test_tags_are_removed_and_never_more(server: Server, client: RegistryClient, app: str) -> None:
    parts = [ImageFactory(client).push(f"{app}:1_{platform.tag_suffix}", platform) for platform in TWO]
    made = IndexStitcher(client).stitch(f"{app}:1", parts)
    client.put_manifest(f"{app}:1_archkit-staging", client.manifest(f"{app}:1"))
    unwanted = ["1_archkit-staging", *(f"1_{platform.tag_suffix}" for platform in TWO)]
    found = remove_tags(f"{app}:1", registry=client)
    print(f"{server.host}: {found}")
    assert found.removed == (tuple(unwanted) if server.deletes_tags else ())
    assert found.left == (() if server.deletes_tags else tuple(unwanted))
    assert list(client.tags(app)) == sorted(["1", *found.left])
    assert verify(f"{app}:1", client, content=True).digest == made.digest


def test_many_threads_share_a_client(client: RegistryClient, app: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        contents = [bytes([number]) * 10_000 for number in range(32)]
        list(pool.map(lambda content: client.put_blob(app, content, digest=Digest.of(content), size=len(content)), contents))
        assert list(pool.map(lambda content: client.blob(app, Digest.of(content)), contents)) == contents
    assert time.monotonic() - started < 60


# ---- stitching --------------------------------------------------------------------------------------------------


def parts_of(client: RegistryClient, repository: str, **options: Any) -> list[str]:
    return [ImageFactory(client).push(f"{repository}:{platform.arch}", platform, **options).reference for platform in TWO]


def assert_whole(client: RegistryClient, reference: str) -> None:
    """Every manifest and blob that an index names comes out of its repository."""
    repository = reference.rpartition(":")[0]
    document = client.manifest(reference).document()
    assert isinstance(document, Index)
    for entry in document.manifests:
        child = client.manifest(f"{repository}@{entry.digest}").document()
        assert not isinstance(child, Index)
        for blob in (child.config, *child.layers):
            assert sum(map(len, client.stream_blob(repository, blob.digest))) == blob.size


def test_an_index_is_extended_replaced_and_cut_down(client: RegistryClient, app: str) -> None:
    stitcher, parts = IndexStitcher(client), parts_of(client, f"{app}-parts")
    first = stitcher.stitch(f"{app}:1", parts[:1], if_absent=True)
    both = stitcher.extend(f"{app}:1", parts[1:], tags=["2"])
    assert both.platforms == TWO
    assert stitcher.extend(f"{app}:1", parts[1:]) == both
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(f"{app}:1", parts[:1], expect=first.digest, annotations={"a": "b"})
    assert (caught.value.expected, caught.value.found) == (first.digest, both.digest)
    new = ImageFactory(client).push(f"{app}-parts:new", "linux/arm64", labels={"version": "2"})
    assert stitcher.replace(f"{app}:1", [new.reference]).descriptors[1].digest == new.digest
    assert_whole(client, f"{app}:1")
    assert stitcher.remove(f"{app}:1", "linux/arm64") == first
    assert_whole(client, f"{app}:2")


def test_images_come_along_from_another_repository_cold_and_warm(client: RegistryClient, app: str) -> None:
    stitcher = IndexStitcher(client)
    first = stitcher.stitch(f"{app}:1", parts_of(client, f"{app}-parts"))
    again = stitcher.stitch(f"{app}:2", parts_of(client, f"{app}-parts"))
    other = stitcher.stitch(f"{app}:3", parts_of(client, f"{app}-parts", labels={"version": "2"}))  # only configurations are missing
    assert first.manifest == again.manifest != other.manifest
    for tag in ("1", "2", "3"):
        assert_whole(client, f"{app}:{tag}")


def test_images_come_along_from_another_registry_and_a_layout(client: RegistryClient, app: str, tmp_path: Path) -> None:
    stitcher = IndexStitcher(client)
    with EmbeddedRegistry() as other:
        sources = [ImageFactory(other).push(f"part:{platform.arch}", platform, attestations=True).reference for platform in TWO]
        made = stitcher.stitch(f"{app}:1", sources)
    assert_whole(client, f"{app}:1")
    saved = stitcher.stitch(f"oci:{tmp_path}:1", [f"{app}:1"])
    assert stitcher.stitch(f"{app}-back:1", [f"oci:{tmp_path}:1"]).digest == saved.digest == made.digest
    assert_whole(client, f"{app}-back:1")


def test_an_index_about_an_image_is_found_from_there(client: RegistryClient, app: str) -> None:
    subject = ImageFactory(client).push(f"{app}:subject", "linux/amd64")
    made = [
        IndexStitcher(client).stitch(
            f"{app}:{number}", parts_of(client, app), subject=subject, artifact_type="application/x", annotations={"n": str(number)}
        )
        for number in range(2)
    ]
    assert subject.digest is not None
    if client.lists_referrers(app):
        assert f"sha256-{subject.digest.hex}" not in client.tags(app)
        return
    listed = client.manifest(f"{app}:sha256-{subject.digest.hex}").document()
    assert isinstance(listed, Index)
    assert [(entry.digest, entry.artifact_type, dict(entry.annotations)) for entry in listed.manifests] == [
        (one.digest, "application/x", {"n": str(number)}) for number, one in enumerate(made)
    ]
