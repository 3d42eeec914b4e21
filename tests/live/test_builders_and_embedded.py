"""docker, buildx imagetools, BuildKit, ko and jib pull from and push to the embedded registry: plain, and over TLS signed in."""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import buildkit
import peers
import pytest
from peers import Peer

from archkit import PlatformSet, verify
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Engine

    from archkit.testing import Auth

pytestmark = pytest.mark.live

TWO = ["linux/amd64", "linux/arm64"]
HERE = "linux/arm64" if platform.machine() in {"arm64", "aarch64"} else "linux/amd64"
AUTHS: dict[str, Auth | None] = {"anybody": None, "basic": BasicAuth("bob", "s:cret"), "bearer": BearerAuth("bob", "s:cret")}
GO_PROJECT = Path(__file__).parent / "projects" / "go"


@pytest.fixture(params=["plain-anybody", "plain-bearer", "tls-anybody", "tls-basic", "tls-bearer"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRegistry]:
    """With an image `base:1` of two platforms; what the tools need to know of it is in the environment."""
    way, _, auth = request.param.partition("-")
    with EmbeddedRegistry(tls=way == "tls", auth=AUTHS[auth]) as made:
        ImageFactory(made).push("base:1", TWO)
        entry = {made.host: {"auth": base64.b64encode(b"bob:s:cret").decode()}} if made.auth is not None else {}
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": entry}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        if made.tls is not None:
            monkeypatch.setenv("SSL_CERT_FILE", str(made.tls.ca_file))
        yield made


def check(registry: EmbeddedRegistry, reference: str, platforms: list[str]) -> None:
    """What a tool pushed is whole, and the tool signed in where it had to, and pulled."""
    assert ("bob" in {exchange.user for exchange in registry.log}) is (registry.auth is not None), "the tool signed in"
    assert verify(f"{registry.host}/{reference}", registry.client(), content=True).platforms == PlatformSet(platforms)
    assert [exchange for exchange in registry.log if exchange.repository == "base" and exchange.method == "GET" and exchange.status == 200]


def test_docker(registry: EmbeddedRegistry, engine: Engine) -> None:
    env = {"DOCKER_CONFIG": os.environ["DOCKER_CONFIG"]}
    tool = Peer(engine.client, env, before=("--host", engine.host))
    tool("pull", "--quiet", f"{registry.host}/base:1")
    tool("tag", f"{registry.host}/base:1", f"{registry.host}/other:2")
    tool("push", "--quiet", f"{registry.host}/other:2")
    tool("rmi", f"{registry.host}/base:1", f"{registry.host}/other:2")
    check(registry, "other:2", [HERE])
    assert "linux" in tool("manifest", "inspect", *(() if registry.tls else ("--insecure",)), f"{registry.host}/base:1")


def test_buildx_imagetools(registry: EmbeddedRegistry, engine: Engine, buildx: Path, tmp_path: Path) -> None:
    tool = peers.docker(engine.client, tmp_path, buildx)
    tool = Peer(tool.program, {**tool.env, "DOCKER_HOST": engine.host})
    if registry.tls is not None:  # buildx asks loopback in plain HTTP unless a builder's configuration says otherwise
        settings = tmp_path / "buildkitd.toml"
        settings.write_text(buildkit.registry_settings([], {registry.host: registry.tls.ca_file}))
        tool("buildx", "create", "--name", "archkit-test", "--driver", "docker-container", f"--buildkitd-config={settings}")
        tool = Peer(tool.program, {**tool.env, "BUILDX_BUILDER": "archkit-test"})
    tool("buildx", "imagetools", "create", "--tag", f"{registry.host}/other:2", f"{registry.host}/base:1")
    check(registry, "other:2", TWO)
    assert registry.resolve("other:2") == registry.resolve("base:1")
    assert "linux/arm64" in tool("buildx", "imagetools", "inspect", f"{registry.host}/other:2")


def test_buildkit(registry: EmbeddedRegistry, buildkitd: Path, buildctl: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Dockerfile").write_text(f"FROM {registry.host}/base:1\nCOPY Dockerfile /copied\n")
    plain, trusted = ([registry.host], {}) if registry.tls is None else ([], {registry.host: registry.tls.ca_file})
    with tempfile.TemporaryDirectory(prefix="archkit-") as folder, buildkit.running(buildkitd, Path(folder), plain, trusted) as address:
        options = ["--frontend", "dockerfile.v0", "--opt", f"platform={','.join(TWO)}"]
        contexts = [f"--local=context={tmp_path}/src", f"--local=dockerfile={tmp_path}/src"]
        output = ["--output", f"type=image,name={registry.host}/other:2,push=true"]
        peers.run(buildctl, "--addr", address, "build", *options, *contexts, *output)
    check(registry, "other:2", TWO)


def test_ko(registry: EmbeddedRegistry, ko: Path) -> None:
    if not shutil.which("go"):
        pytest.fail("ko needs Go; install it and put it on PATH")
    env = {"KO_DOCKER_REPO": f"{registry.host}/other", "KO_DEFAULTBASEIMAGE": f"{registry.host}/base:1"}
    words = ["build", "--bare", "--sbom=none", "--tags=2", f"--platform={','.join(TWO)}", "./cmd/hello"]
    peers.run(ko, *words, cwd=GO_PROJECT, env=env, timeout=300)
    check(registry, "other:2", TWO)


def test_jib(registry: EmbeddedRegistry, mvn: Path, java_project: Path, tmp_path: Path) -> None:
    words = ["--batch-mode", "prepare-package", "jib:build", f"-Djib.from.image={registry.host}/base:1"]
    words += [f"-Djib.from.platforms={','.join(TWO)}", f"-Djib.to.image={registry.host}/other:2"]
    env: dict[str, str] = {}
    if registry.tls is None:
        words += ["-Djib.allowInsecureRegistries=true", "-DsendCredentialsOverHttp=true"]
    else:
        store = tmp_path / "trusted.p12"
        keytool = shutil.which("keytool") or str(Path(os.environ.get("JAVA_HOME", "/")) / "bin" / "keytool")
        command = [keytool, "-importcert", "-noprompt", "-alias", "test", "-storepass", "changeit", "-storetype", "PKCS12"]
        subprocess.run([*command, "-keystore", str(store), "-file", str(registry.tls.ca_file)], check=True, capture_output=True, timeout=60)
        env["MAVEN_OPTS"] = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    source = Path(shutil.copytree(java_project, tmp_path / "project"))
    peers.run(mvn, *words, cwd=source, env=env, timeout=300)
    check(registry, "other:2", TWO)
