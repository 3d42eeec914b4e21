"""EmbeddedRegistry: referrers, tags in a query, sha512, rules of repositories, and content in a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from plain_http import ask

from archkit import Digest, PlatformSet, RegistryClient, RegistryError
from archkit.model.oci import DOCKER_LIST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from archkit.testing import BearerAuth, EmbeddedRegistry, ImageFactory, RepositoryRules
from archkit.testing.storage import FolderStorage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BLOB = b"0123456789"
DIGEST = Digest.of(BLOB)
SHA512 = Digest.of(BLOB, "sha512")
EMPTY_INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as made:
        yield made


def put_manifest(registry: EmbeddedRegistry, path: str, fields: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return ask(registry, "PUT", f"/v2/app/manifests/{path}", json.dumps(fields).encode(), {"Content-Type": fields["mediaType"]})


def put_artifact(registry: EmbeddedRegistry, subject: str, **more: object) -> Digest:
    """Store a manifest that says something about another one; its digest."""
    for content in (b"{}", BLOB):
        ask(registry, "POST", f"/v2/app/blobs/uploads/?digest={Digest.of(content)}", content)
    fields = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": Digest.of(b"{}"), "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": DIGEST, "size": len(BLOB)}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
        **more,
    }
    digest = Digest.of(json.dumps(fields).encode())
    status, headers, _ = put_manifest(registry, digest, fields)
    assert (status, headers.get("oci-subject")) == (201, subject)
    return digest


# ---- referrers --------------------------------------------------------------------------------------------------


def test_a_registry_lists_what_names_a_manifest_as_its_subject(registry: EmbeddedRegistry) -> None:
    image = str(ImageFactory(registry).push("app:1", "linux/amd64").digest)
    assert json.loads(ask(registry, "GET", f"/v2/app/referrers/{image}")[2])["manifests"] == []
    plain = put_artifact(registry, image)
    signature = put_artifact(registry, image, artifactType="application/x.signature", annotations={"by": "me"})
    put_artifact(registry, str(DIGEST))
    status, headers, body = ask(registry, "GET", f"/v2/app/referrers/{image}")
    assert (status, headers["content-type"]) == (200, OCI_INDEX)
    first, second = json.loads(body)["manifests"]
    assert (first["digest"], first["artifactType"], first["mediaType"]) == (plain, OCI_CONFIG, OCI_MANIFEST)
    assert second == {
        "mediaType": OCI_MANIFEST,
        "digest": signature,
        "size": len(registry.manifest(f"app@{signature}").content),
        "artifactType": "application/x.signature",
        "annotations": {"by": "me"},
    }
    _, headers, body = ask(registry, "GET", f"/v2/app/referrers/{image}?artifactType=application%2Fx.signature")
    assert headers["oci-filters-applied"] == "artifactType"
    assert [entry["digest"] for entry in json.loads(body)["manifests"]] == [signature]
    assert ask(registry, "DELETE", f"/v2/app/manifests/{signature}")[0] == 202
    assert [entry["digest"] for entry in json.loads(ask(registry, "GET", f"/v2/app/referrers/{image}")[2])["manifests"]] == [plain]


def test_an_index_may_have_a_subject_that_is_not_there(registry: EmbeddedRegistry) -> None:
    fields = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": {"mediaType": OCI_INDEX, "digest": DIGEST, "size": 1}}
    status, headers, _ = put_manifest(registry, "1", fields)
    assert (status, headers["oci-subject"]) == (201, DIGEST)
    assert "artifactType" not in json.loads(ask(registry, "GET", f"/v2/app/referrers/{DIGEST}")[2])["manifests"][0]


def test_a_registry_may_keep_no_lists_of_referrers() -> None:
    fields = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": {"mediaType": OCI_INDEX, "digest": DIGEST, "size": 1}}
    with EmbeddedRegistry(rules=RepositoryRules(referrers=False)) as registry:
        status, headers, _ = put_manifest(registry, "1", fields)
        assert (status, "oci-subject" in headers) == (201, False)
        assert ask(registry, "GET", f"/v2/app/referrers/{DIGEST}")[0] == 404


# ---- tags in a query, sha512, mounts from anywhere, the catalog -------------------------------------------------------


def test_a_manifest_gets_the_tags_that_its_query_names(registry: EmbeddedRegistry) -> None:
    digest = Digest.of(EMPTY_INDEX)
    status, headers, _ = ask(registry, "PUT", f"/v2/app/manifests/{digest}?tag=a&tag=b&tag=a", EMPTY_INDEX, {"Content-Type": OCI_INDEX})
    assert (status, headers["oci-tag"]) == (201, "a, b")
    assert registry.tags("app") == ["a", "b"]
    many = "&".join(f"tag=t{number}" for number in range(101))
    assert ask(registry, "PUT", f"/v2/app/manifests/{digest}?{many}", EMPTY_INDEX, {"Content-Type": OCI_INDEX})[0] == 414
    assert ask(registry, "PUT", f"/v2/app/manifests/{digest}?tag=-", EMPTY_INDEX, {"Content-Type": OCI_INDEX})[0] == 400
    assert registry.tags("app") == ["a", "b"]


def test_an_old_registry_takes_no_tags_from_a_query() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(tag_parameters=False)) as registry:
        path = f"/v2/app/manifests/{Digest.of(EMPTY_INDEX)}?tag=a"
        status, headers, _ = ask(registry, "PUT", path, EMPTY_INDEX, {"Content-Type": OCI_INDEX})
        assert (status, "oci-tag" in headers, registry.tags("app")) == (201, False, [])


def test_digests_may_be_of_sha512(registry: EmbeddedRegistry) -> None:
    assert ask(registry, "POST", f"/v2/app/blobs/uploads/?digest={SHA512}", BLOB)[0] == 201
    assert ask(registry, "GET", f"/v2/app/blobs/{SHA512}")[2] == BLOB
    digest = Digest.of(EMPTY_INDEX, "sha512")
    status, headers, _ = ask(registry, "PUT", f"/v2/app/manifests/{digest}?tag=1", EMPTY_INDEX, {"Content-Type": OCI_INDEX})
    assert (status, headers["docker-content-digest"]) == (201, digest)
    assert ask(registry, "HEAD", "/v2/app/manifests/1")[1]["docker-content-digest"] == digest
    with RegistryClient() as client:
        assert client.blob(f"{registry.host}/app", SHA512) == BLOB
        assert client.manifest(f"{registry.host}/app@{digest}").content == EMPTY_INDEX
        client.put_blob(f"{registry.host}/other", BLOB, digest=SHA512, size=len(BLOB))
        assert client.has_blob(f"{registry.host}/other", SHA512)


def test_a_blob_of_a_repository_that_nobody_names_is_mounted_where_anybody_may_read_all(registry: EmbeddedRegistry) -> None:
    ask(registry, "POST", f"/v2/other/blobs/uploads/?digest={DIGEST}", BLOB)
    assert ask(registry, "POST", f"/v2/app/blobs/uploads/?mount={DIGEST}")[0] == 201
    with EmbeddedRegistry(auth=BearerAuth()) as guarded:
        ref = f"{guarded.host}/other"
        guarded.contents.put_blob(ref, BLOB, digest=DIGEST, size=len(BLOB))
        client = guarded.client()
        client.put_blob(f"{guarded.host}/app", b"x", digest=Digest.of(b"x"), size=1)
        assert not client.has_blob(f"{guarded.host}/app", DIGEST)


def test_the_catalog_names_repositories_in_pages(registry: EmbeddedRegistry) -> None:
    for name in ("b", "a/c", "a"):
        ImageFactory(registry).push(f"{name}:1", "linux/amd64")
    assert json.loads(ask(registry, "GET", "/v2/_catalog")[2]) == {"repositories": ["a", "a/c", "b"]}
    _, headers, body = ask(registry, "GET", "/v2/_catalog?n=2")
    assert (json.loads(body)["repositories"], headers["link"]) == (["a", "a/c"], '</v2/_catalog?n=2&last=a%2Fc>; rel="next"')


# ---- rules ------------------------------------------------------------------------------------------------------


def test_an_immutable_tag_is_not_written_again_not_even_with_the_same_content() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(immutable_tags=True)) as registry:
        for status in (201, 400):
            assert put_manifest(registry, "1", json.loads(EMPTY_INDEX))[0] == status
        other = Digest.of(EMPTY_INDEX)
        assert ask(registry, "PUT", f"/v2/app/manifests/{other}?tag=2&tag=1", EMPTY_INDEX, {"Content-Type": OCI_INDEX})[0] == 400
        assert ask(registry, "PUT", f"/v2/app/manifests/{other}?tag=2", EMPTY_INDEX, {"Content-Type": OCI_INDEX})[0] == 201
        assert registry.tags("app") == ["1", "2"]


@pytest.mark.parametrize(
    ("denied", "allowed"), [("pull", {"PUT", "DELETE"}), ("push", {"GET", "DELETE"}), ("delete", {"PUT", "GET"})], ids=str
)
def test_what_is_denied_is_denied_to_everybody(denied: Any, allowed: set[str]) -> None:
    with EmbeddedRegistry(rules=RepositoryRules(denied=[denied])) as registry:
        ImageFactory(registry).push("app:1", "linux/amd64")
        for method in ("PUT", "GET", "DELETE"):
            content = registry.manifest("app:1").content
            status, _, body = ask(registry, method, "/v2/app/manifests/1", content, {"Content-Type": OCI_MANIFEST})
            assert (status != 403) is (method in allowed)
            assert (b"DENIED" in body) is (method not in allowed)
        with RegistryClient() as client, pytest.raises(RegistryError, match="DENIED") if denied == "push" else _nothing():
            client.put_blob(f"{registry.host}/app", BLOB, digest=DIGEST, size=len(BLOB))


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_a_repository_may_hold_no_index(media_type: str) -> None:
    with EmbeddedRegistry(rules=RepositoryRules(index=False)) as registry:
        fields = {"schemaVersion": 2, "mediaType": media_type, "manifests": []}
        status, _, body = put_manifest(registry, "1", fields)
        assert (status, json.loads(body)["errors"][0]["code"]) == (400, "MANIFEST_INVALID")
        ImageFactory(registry.client()).push(f"{registry.host}/app:1", "linux/amd64")


@pytest.mark.parametrize(
    ("rules", "status", "tags", "there"),
    [
        (RepositoryRules(), 202, ["2"], True),
        (RepositoryRules(tag_delete="manifest"), 202, [], False),
        (RepositoryRules(tag_delete="refused"), 400, ["1", "2"], True),
        (RepositoryRules(delete=False), 405, ["1", "2"], True),
    ],
    ids=["tag", "manifest", "refused", "no-delete"],
)
def test_registries_differ_in_what_deleting_a_tag_removes(rules: RepositoryRules, status: int, tags: list[str], there: bool) -> None:
    with EmbeddedRegistry(rules=rules) as registry:
        digest = ImageFactory(registry).push("app:1", "linux/amd64").digest
        ImageFactory(registry).push("app:2", "linux/amd64")
        assert ask(registry, "DELETE", "/v2/app/manifests/1")[0] == status
        assert registry.tags("app") == tags
        assert (ask(registry, "HEAD", f"/v2/app/manifests/{digest}")[0] == 200) is there


def test_a_mount_may_open_an_upload_instead() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(mounts=False)) as registry:
        ask(registry, "POST", f"/v2/other/blobs/uploads/?digest={DIGEST}", BLOB)
        assert ask(registry, "POST", f"/v2/app/blobs/uploads/?mount={DIGEST}&from=other")[0] == 202
        assert not registry.client().mount_blob(f"{registry.host}/app", DIGEST, f"{registry.host}/other")


def test_rules_are_by_path_and_the_first_that_fits_counts() -> None:
    rules = {"team/public": RepositoryRules(), "team/*": RepositoryRules(denied=["push"]), "*": RepositoryRules(index=False)}
    with EmbeddedRegistry(rules=rules) as registry:
        for name, status in (("team/public", 201), ("team/app", 403), ("team/a/b", 403), ("other", 400)):
            assert ask(registry, "PUT", f"/v2/{name}/manifests/1", EMPTY_INDEX, {"Content-Type": OCI_INDEX})[0] == status


def test_delete_is_said_in_one_place() -> None:
    with pytest.raises(ValueError, match="say it in the rules"):
        EmbeddedRegistry(delete=False, rules=RepositoryRules())


# ---- on a folder ------------------------------------------------------------------------------------------------


def test_a_folder_outlives_its_registry(tmp_path: Path) -> None:
    with EmbeddedRegistry(folder=tmp_path / "registry") as registry:
        image = ImageFactory(registry.client()).push(f"{registry.host}/team/app:1", ["linux/amd64", "linux/arm64"])
        session = ask(registry, "POST", "/v2/app/blobs/uploads/")[1]["location"]
        assert ask(registry, "PATCH", session, BLOB[:4])[0] == 202
    with EmbeddedRegistry(folder=tmp_path / "registry") as registry:
        assert registry.resolve("team/app:1") == image.digest
        assert registry.platforms("team/app:1") == PlatformSet("linux/amd64,linux/arm64")
        assert ask(registry, "GET", session)[1]["range"] == "0-3"
        assert ask(registry, "PUT", f"{session}?digest={DIGEST}", BLOB[4:])[0] == 201
        assert ask(registry, "DELETE", "/v2/team/app/manifests/1")[0] == 202
        assert ask(registry, "DELETE", f"/v2/app/blobs/{DIGEST}")[0] == 202
    with EmbeddedRegistry(folder=tmp_path / "registry") as registry:
        assert registry.tags("team/app") == []
        assert registry.resolve(f"team/app@{image.digest}") == image.digest
        assert ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")[0] == 404


def test_content_that_no_repository_holds_is_dropped(tmp_path: Path) -> None:
    with EmbeddedRegistry(folder=tmp_path) as registry:
        for name in ("a", "b"):
            ask(registry, "POST", f"/v2/{name}/blobs/uploads/?digest={DIGEST}", BLOB)
        stored = tmp_path / "blobs" / "sha256" / DIGEST.hex
        assert ask(registry, "DELETE", f"/v2/a/blobs/{DIGEST}")[0] == 202
        assert stored.exists()
        assert ask(registry, "GET", f"/v2/b/blobs/{DIGEST}")[2] == BLOB
        assert ask(registry, "DELETE", f"/v2/b/blobs/{DIGEST}")[0] == 202
        assert not stored.exists()


def test_two_registries_do_not_share_a_folder(tmp_path: Path) -> None:
    with EmbeddedRegistry(folder=tmp_path), pytest.raises(RuntimeError, match="another embedded registry uses the folder"):
        EmbeddedRegistry(folder=tmp_path)
    with EmbeddedRegistry(folder=tmp_path) as registry:
        assert ask(registry, "GET", "/v2/")[0] == 200


@pytest.mark.parametrize("on_folder", [False, True])
def test_a_registry_can_be_started_again(tmp_path: Path, on_folder: bool) -> None:
    registry = EmbeddedRegistry(folder=tmp_path if on_folder else None)
    with registry:
        ImageFactory(registry.client()).push(f"{registry.host}/app:1", "linux/amd64")
    if on_folder:
        with EmbeddedRegistry(folder=tmp_path) as other:
            ImageFactory(other).push("app:2", "linux/arm64")
            with pytest.raises(RuntimeError, match="another embedded registry uses the folder"):
                registry.start()
    with registry:
        assert registry.tags("app") == (["1", "2"] if on_folder else ["1"])
        assert registry.client().platforms(f"{registry.host}/app:1") == PlatformSet("linux/amd64")


@pytest.mark.parametrize("session", ["..", "../blobs", "%2e%2e%2fx", "a.b"])
def test_a_made_up_upload_names_no_file(tmp_path: Path, session: str) -> None:
    (tmp_path / "x").write_text("secret")
    with EmbeddedRegistry(folder=tmp_path / "registry") as registry:
        ask(registry, "POST", "/v2/app/blobs/uploads/")
        assert ask(registry, "GET", f"/v2/app/blobs/uploads/{session}")[0] == 404
        assert FolderStorage.received(registry.contents._storage, session) is None  # type: ignore[arg-type]


def test_content_can_be_damaged(registry: EmbeddedRegistry) -> None:
    image = ImageFactory(registry).push("app:1", "linux/amd64")
    registry.contents.damage("app", str(image.digest), b"{}")
    assert ask(registry, "GET", f"/v2/app/manifests/{image.digest}")[2] == b"{}"
    registry.contents.damage("app", str(image.digest), None)
    assert ask(registry, "GET", "/v2/app/manifests/1")[0] == 404
    assert ask(registry, "GET", f"/v2/app/referrers/{image.digest}")[0] == 200
