"""crane, regctl, oras and skopeo push to and pull from the embedded registry, over TLS and signed in."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from peers import Peer

from archkit import OciLayout, PlatformSet, inspect, verify
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archkit.testing import Auth

pytestmark = pytest.mark.live

TWO = ["linux/amd64", "linux/arm64"]
AUTHS: dict[str, Auth | None] = {"anybody": None, "basic": BasicAuth("bob", "s:cret"), "bearer": BearerAuth("bob", "s:cret")}


@pytest.fixture(
    params=[(tls, auth) for tls in (False, True) for auth in AUTHS], ids=lambda case: f"{'tls' if case[0] else 'plain'}-{case[1]}"
)
def registry(request: pytest.FixtureRequest) -> Iterator[EmbeddedRegistry]:
    tls, auth = request.param
    with EmbeddedRegistry(tls=tls, auth=AUTHS[auth]) as made:
        yield made


@pytest.fixture
def env(registry: EmbeddedRegistry, tmp_path: Path) -> dict[str, str]:
    """What tells a tool whom to trust and how to sign in."""
    entry = {registry.host: {"auth": base64.b64encode(b"bob:s:cret").decode()}} if registry.auth is not None else {}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": entry}))
    trusted = {} if registry.tls is None else {"SSL_CERT_FILE": str(registry.tls.ca_file)}
    return {"DOCKER_CONFIG": str(tmp_path), "REGISTRY_AUTH_FILE": str(config), **trusted}


def check(registry: EmbeddedRegistry, source: str, copy: str) -> None:
    """The copy is whole and the same image."""
    assert ("bob" in {exchange.user for exchange in registry.log}) is (registry.auth is not None), "the tool signed in"
    client = registry.client()
    assert verify(f"{registry.host}/{copy}", client, content=True).platforms == PlatformSet(TWO)
    assert inspect(f"{registry.host}/{copy}", client).digest == registry.resolve(source)


def test_crane(crane: Path, registry: EmbeddedRegistry, env: dict[str, str]) -> None:
    ImageFactory(registry).push("app:1", TWO, attestations=True)
    tool = Peer(crane, env)
    tool("copy", f"{registry.host}/app:1", f"{registry.host}/other:2")
    check(registry, "app:1", "other:2")
    assert tool("digest", f"{registry.host}/other:2").strip() == registry.resolve("app:1")
    assert tool("ls", f"{registry.host}/other").split() == ["2"]
    assert set(tool("catalog", registry.host).split()) == {"app", "other"}
    tool("delete", f"{registry.host}/other:2")
    assert registry.tags("other") == []


def test_regctl(regctl: Path, registry: EmbeddedRegistry, env: dict[str, str], tmp_path: Path) -> None:
    ImageFactory(registry).push("app:1", TWO, attestations=True)
    host: dict[str, str] = {"hostname": registry.host, "tls": "disabled"}
    if registry.tls is not None:
        host |= {"tls": "enabled", "regcert": registry.tls.ca_file.read_text()}
    if registry.auth is not None:
        host |= {"user": "bob", "pass": "s:cret"}
    config = tmp_path / "regctl.json"
    config.write_text(json.dumps({"hosts": {registry.host: host}}))
    config.chmod(0o600)
    tool = Peer(regctl, {**env, "REGCTL_CONFIG": str(config)})
    tool("image", "copy", f"{registry.host}/app:1", f"{registry.host}/other:2")
    check(registry, "app:1", "other:2")
    tool("artifact", "put", "--subject", f"{registry.host}/app:1", "--artifact-type", "application/x.note", "--file", str(config))
    assert "application/x.note" in tool("artifact", "list", f"{registry.host}/app:1")
    assert registry.log.where(kind="referrers", status=200)
    tool("tag", "delete", f"{registry.host}/other:2")
    assert registry.tags("other") == []


def test_oras(oras: Path, registry: EmbeddedRegistry, env: dict[str, str], tmp_path: Path) -> None:
    ImageFactory(registry).push("app:1", TWO)
    tool = Peer(oras, env, behind=("--plain-http",) if registry.tls is None else ("--ca-file", str(registry.tls.ca_file)))
    flags = {"from": "--from-plain-http", "to": "--to-plain-http"}
    if registry.tls is not None:
        flags = {"from": f"--from-ca-file={registry.tls.ca_file}", "to": f"--to-ca-file={registry.tls.ca_file}"}
    Peer(oras, env)("copy", *flags.values(), f"{registry.host}/app:1", f"{registry.host}/other:2")
    check(registry, "app:1", "other:2")
    note = tmp_path / "note.txt"
    note.write_text("a note")
    tool("attach", "--disable-path-validation", "--artifact-type", "application/x.note", f"{registry.host}/app:1", f"{note}:text/plain")
    assert "application/x.note" in tool("discover", f"{registry.host}/app:1")
    assert tool("repo", "tags", f"{registry.host}/other").split() == ["2"]


def test_skopeo(skopeo: Path, registry: EmbeddedRegistry, env: dict[str, str], tmp_path: Path) -> None:
    ImageFactory(registry).push("app:1", TWO)
    own = ("--insecure-policy", "--registries.d", str(tmp_path), "--tmpdir", str(tmp_path))
    tool = Peer(skopeo, env, before=own)
    plain = "false" if registry.tls is None else "true"
    tool("copy", "--all", f"--src-tls-verify={plain}", f"docker://{registry.host}/app:1", f"oci:{tmp_path}/layout:1")
    assert OciLayout(tmp_path / "layout").entry("1").digest == registry.resolve("app:1")
    tool("copy", "--all", f"--dest-tls-verify={plain}", f"oci:{tmp_path}/layout:1", f"docker://{registry.host}/other:2")
    check(registry, "app:1", "other:2")
    assert json.loads(tool("list-tags", f"--tls-verify={plain}", f"docker://{registry.host}/other"))["Tags"] == ["2"]
