"""Descriptors, manifests, indexes and configs: fields as they stand, broken ones refused."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Descriptor, Digest, Platform, RawManifest
from archkit.model import oci
from archkit.model.frozen import FrozenMap
from archkit.model.oci import DocumentError, ImageManifest, Index, parse_config, parse_manifest

DIGEST = Digest.of(b"")


def entry(**more: Any) -> dict[str, Any]:
    return {"mediaType": oci.OCI_MANIFEST, "digest": DIGEST, "size": 3, **more}


INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": oci.OCI_INDEX,
    "manifests": [
        entry(platform={"architecture": "arm64", "os": "linux", "variant": "v8"}),
        entry(platform={"architecture": "unknown", "os": "unknown"}, annotations={oci.ATTESTATION: "attestation-manifest"}),
    ],
    "annotations": {"a": "b"},
}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": oci.OCI_MANIFEST,
    "config": entry(mediaType=oci.OCI_CONFIG),
    "layers": [entry(mediaType=oci.OCI_LAYER)],
}


def written(document: object) -> bytes:
    return json.dumps(document).encode()


def test_fields_stay_as_they_stand_and_compare_normalised() -> None:
    descriptor = Descriptor.from_json(INDEX["manifests"][0])
    assert descriptor.platform_fields == FrozenMap({"architecture": "arm64", "os": "linux", "variant": "v8"})
    assert descriptor.platform == Platform.parse("linux/arm64")
    assert Descriptor.from_json(entry()).platform is None


def test_platform_fields_are_in_the_order_of_the_specification() -> None:
    fields = {"variant": "", "os.features": ["x"], "os.version": "1", "os": "windows", "architecture": "amd64", "extra": 1}
    descriptor = Descriptor.from_json(entry(platform=fields))
    assert list((descriptor.platform_fields or {}).items()) == [
        ("architecture", "amd64"),
        ("os", "windows"),
        ("os.version", "1"),
        ("os.features", ("x",)),
    ]


def test_every_field_of_a_descriptor_is_read() -> None:
    descriptor = Descriptor.from_json(entry(annotations={"k": "v"}, artifactType="a/b", urls=["https://x.example/y"], data="aGk="))
    assert (descriptor.media_type, descriptor.digest, descriptor.size) == (oci.OCI_MANIFEST, DIGEST, 3)
    assert (descriptor.annotations, descriptor.artifact_type, descriptor.urls, descriptor.data) == (
        FrozenMap({"k": "v"}),
        "a/b",
        ("https://x.example/y",),
        "aGk=",
    )


def test_what_a_manifest_says_something_about_is_read() -> None:
    subject = entry(digest=str(Digest.of(b"subject")))
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.OCI_MANIFEST,
        "config": entry(),
        "layers": [],
        "artifactType": "a/b",
        "subject": subject,
    }
    document = oci.parse_manifest(json.dumps(manifest).encode())
    assert isinstance(document, oci.ImageManifest)
    assert document.artifact_type == "a/b"
    assert document.subject == Descriptor.from_json(subject)
    assert oci.parse_manifest(json.dumps({**manifest, "subject": None}).encode()) == attrs.evolve(document, subject=None)


def test_descriptors_are_values() -> None:
    one, other = (Descriptor.from_json(copy.deepcopy(INDEX["manifests"][0])) for _ in range(2))
    assert {one} == {other}
    assert pickle.loads(pickle.dumps(one)) == one
    changed = one.with_platform({"os": "linux", "architecture": "arm", "variant": "v7"})
    assert str(changed.platform) == "linux/arm/v7"
    assert str(one.platform) == "linux/arm64"


@pytest.mark.parametrize(
    ("fields", "image", "index"),
    [
        pytest.param(entry(), True, False, id="a manifest"),
        pytest.param(entry(mediaType=oci.DOCKER_MANIFEST), True, False, id="a Docker manifest"),
        pytest.param(entry(mediaType=oci.OCI_INDEX), True, True, id="an index"),
        pytest.param(entry(mediaType=oci.DOCKER_LIST), True, True, id="a manifest list"),
        pytest.param(INDEX["manifests"][1], False, False, id="an attestation"),
        pytest.param(entry(platform={"os": "unknown", "architecture": "unknown"}), False, False, id="unknown/unknown"),
        pytest.param(entry(platform={"os": "linux", "architecture": "unknown"}), True, False, id="an unknown CPU"),
        pytest.param(entry(mediaType="application/x"), False, False, id="another type"),
    ],
)
def test_what_can_be_run_is_told_apart(fields: dict[str, Any], image: bool, index: bool) -> None:
    descriptor = Descriptor.from_json(fields)
    assert (descriptor.is_image, descriptor.is_index) == (image, index)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(None, "a descriptor is not a JSON object", id="nothing"),
        pytest.param([], "a descriptor is not a JSON object", id="a list"),
        pytest.param(entry(mediaType=None), "mediaType is missing or no text", id="no type"),
        pytest.param(entry(digest=7), "digest is missing or no text", id="no digest"),
        pytest.param(entry(digest="sha256:abc"), "sha256:abc", id="a broken digest"),
        pytest.param(entry(size="3"), "size", id="size as text"),
        pytest.param(entry(size=-1), "size", id="negative size"),
        pytest.param(entry(size=True), "size", id="size as truth"),
        pytest.param(entry(size=1.5), "size", id="half a byte"),
        pytest.param(entry(platform="linux/amd64"), "platform is not a JSON object", id="platform as text"),
    ],
)
def test_a_broken_descriptor_is_refused(fields: object, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        Descriptor.from_json(fields)


def test_an_index_is_read() -> None:
    index = parse_manifest(written(INDEX))
    assert isinstance(index, Index)
    assert index.media_type == oci.OCI_INDEX
    assert len(index.manifests) == 2
    assert [str(image.platform) for image in index.images] == ["linux/arm64"]
    assert index.annotations == {"a": "b"}
    assert index.subject is None


def test_a_manifest_is_read() -> None:
    manifest = parse_manifest(written(MANIFEST), oci.OCI_MANIFEST)
    assert isinstance(manifest, ImageManifest)
    assert manifest.config.media_type == oci.OCI_CONFIG
    assert [layer.media_type for layer in manifest.layers] == [oci.OCI_LAYER]


@pytest.mark.parametrize(
    ("document", "transport", "kind"),
    [
        pytest.param({**INDEX, "mediaType": None}, oci.OCI_INDEX, oci.OCI_INDEX, id="the transport decides"),
        pytest.param({**INDEX, "mediaType": None}, "", oci.OCI_INDEX, id="manifests mean an index"),
        pytest.param({**MANIFEST, "mediaType": None}, "application/json", oci.OCI_MANIFEST, id="config means a manifest"),
        pytest.param({**MANIFEST, "mediaType": None}, oci.DOCKER_MANIFEST, oci.DOCKER_MANIFEST, id="Docker by transport"),
        pytest.param(INDEX, f"{oci.OCI_INDEX}; charset=utf-8", oci.OCI_INDEX, id="parameters do not count"),
        pytest.param(INDEX, "text/plain", oci.OCI_INDEX, id="a transport that says nothing"),
        pytest.param({**INDEX, "manifests": None}, oci.OCI_INDEX, oci.OCI_INDEX, id="Go's empty list"),
    ],
)
def test_the_type_is_found(document: object, transport: str, kind: str) -> None:
    assert parse_manifest(written(document), transport).media_type == kind


@pytest.mark.parametrize(
    ("content", "transport", "message"),
    [
        pytest.param(b"", "", "not JSON", id="empty"),
        pytest.param(b"<html>", oci.OCI_INDEX, "not JSON", id="a web page"),
        pytest.param(written(INDEX)[:-9], oci.OCI_INDEX, "not JSON", id="cut off"),
        pytest.param(b"\xff\xfe", oci.OCI_INDEX, "not JSON", id="no text"),
        pytest.param(b"[" * 100_000, oci.OCI_INDEX, "not JSON", id="too deep"),
        pytest.param(b"[]", oci.OCI_INDEX, "the manifest is not a JSON object", id="a list"),
        pytest.param(written(INDEX), oci.OCI_MANIFEST, "the document says it is", id="the types disagree"),
        pytest.param(written({"schemaVersion": 1, "fsLayers": []}), "", "type unknown cannot be read", id="schema 1"),
        pytest.param(written({"mediaType": "application/x"}), "", "type application/x cannot be read", id="another type"),
        pytest.param(written({**MANIFEST, "config": None}), "", "a descriptor is not", id="no config"),
        pytest.param(written({**INDEX, "manifests": {}}), "", "manifests is no list", id="no list"),
        pytest.param(written({**INDEX, "manifests": [{}]}), "", "mediaType is missing", id="a broken entry"),
        pytest.param(written({**INDEX, "subject": 3}), "", "a descriptor is not", id="a broken subject"),
    ],
)
def test_a_broken_manifest_is_refused(content: bytes, transport: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        parse_manifest(content, transport)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner)).map(
        written
    )
)
def test_any_bytes_are_a_manifest_or_a_document_error(content: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_manifest(content)


def test_a_raw_manifest_knows_its_digest_and_content() -> None:
    raw = RawManifest(oci.OCI_INDEX, written(INDEX))
    assert raw.digest == Digest.of(written(INDEX))
    assert raw.descriptor == Descriptor(oci.OCI_INDEX, raw.digest, len(raw.content))
    assert isinstance(raw.document(), Index)


def test_a_config_is_read() -> None:
    config = parse_config(
        written(
            {
                "os": "linux",
                "architecture": "arm64",
                "variant": "v8",
                "config": {"Entrypoint": ["/a"], "Cmd": ["b"], "Env": ["A=1"], "WorkingDir": "/w"},
            }
        )
    )
    assert config.platform == Platform.parse("linux/arm64")
    assert config.platform_fields == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert (config.entrypoint, config.cmd, config.env, config.working_dir) == (("/a",), ("b",), ("A=1",), "/w")


def test_a_config_that_says_little_is_read() -> None:
    config = parse_config(written({"config": {"Entrypoint": "no list", "WorkingDir": 7}}))
    assert str(config.platform) == "unknown/unknown"
    assert (config.entrypoint, config.working_dir) == ((), "")
    assert parse_config(b"{}").cmd == ()


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{"])
def test_a_broken_config_is_refused(content: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_config(content)


@given(st.dictionaries(st.text(max_size=3), st.integers()))
def test_a_frozen_map_is_its_items(items: dict[str, int]) -> None:
    frozen = FrozenMap(items)
    assert frozen == items
    assert list(frozen.items()) == list(items.items())
    assert hash(frozen) == hash(FrozenMap(reversed(list(items.items()))))
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert repr(frozen) == repr(items)
