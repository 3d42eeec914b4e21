"""The exact bytes of an index, and which entries make one."""

from __future__ import annotations

import json
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Descriptor, Digest, StitchError
from archkit.model.frozen import FrozenMap
from archkit.model.oci import (
    ATTESTATION,
    ATTESTED,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Index,
    RawManifest,
    parse_manifest,
)
from archkit.planning.index import SourcedEntry, compose_index, encode_index, merge_entries

TARGET = "localhost:5000/app:1"


def entry(name: str, os: str = "linux", arch: str = "amd64", *, media_type: str = OCI_MANIFEST, **more: object) -> Descriptor:
    plain = Descriptor(media_type, Digest.of(name.encode()), 100 + len(name))
    return plain.with_platform({"os": os, "architecture": arch, **more})


def attestation_for(subject: Descriptor, name: str = "attestation") -> Descriptor:
    about = {ATTESTATION: "attestation-manifest", ATTESTED: str(subject.digest)}
    return attrs.evolve(entry(name, "unknown", "unknown"), annotations=about)


def merged(*entries: Descriptor) -> tuple[Descriptor, ...]:
    return merge_entries([SourcedEntry(item, f"source {number}") for number, item in enumerate(entries, 1)], target=TARGET)


def test_index_bytes_are_compact_json_in_the_order_of_the_specification() -> None:
    amd64, arm64 = entry("a"), entry("b", arch="arm64", variant="v8")
    version: dict[str, Any] = {"os.version": "10.0.20348.1", "os.features": ["win32k"]}
    windows = entry("w", "windows", **version)
    made = encode_index(compose_index([amd64, arm64, windows], target=TARGET, annotations={"b": "2", "a": "1"}))
    children = (
        f'{{"mediaType":"{OCI_MANIFEST}","digest":"{amd64.digest}","size":101,"platform":{{"architecture":"amd64","os":"linux"}}}}',
        (
            f'{{"mediaType":"{OCI_MANIFEST}","digest":"{arm64.digest}","size":101,'
            '"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}'
        ),
        (
            f'{{"mediaType":"{OCI_MANIFEST}","digest":"{windows.digest}","size":101,'
            '"platform":{"architecture":"amd64","os":"windows","os.version":"10.0.20348.1","os.features":["win32k"]}}'
        ),
    )
    expected = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{",".join(children)}],"annotations":{{"a":"1","b":"2"}}}}'
    assert made == RawManifest(OCI_INDEX, expected.encode())


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("a<b>c&d", r"a\u003cb\u003ec\u0026d", id="html"),
        pytest.param("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029", id="javascript-line-ends"),
        pytest.param("é €", "é €", id="not-ascii"),
        pytest.param('"\\\n\t\x01', r"\"\\\n\t\u0001", id="control-characters"),
        pytest.param("\ud800", "\ufffd", id="lone-surrogate"),
    ],
)
def test_texts_are_escaped_as_go_does(text: str, written: str) -> None:
    made = encode_index(Index(OCI_INDEX, (entry("a"),), FrozenMap({"note": text})))
    assert made.content.endswith(f'"annotations":{{"note":"{written}"}}}}'.encode())


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        pytest.param([DOCKER_MANIFEST, DOCKER_MANIFEST], DOCKER_LIST, id="all-docker"),
        pytest.param([OCI_MANIFEST, OCI_MANIFEST], OCI_INDEX, id="all-oci"),
        pytest.param([DOCKER_MANIFEST, OCI_MANIFEST], OCI_INDEX, id="mixed"),
        pytest.param([DOCKER_MANIFEST, DOCKER_LIST], DOCKER_LIST, id="nested-docker-list"),
    ],
)
def test_media_type_follows_the_children(types: list[str], expected: str) -> None:
    entries = [entry(str(number), media_type=media_type) for number, media_type in enumerate(types)]
    made = compose_index(entries, target=TARGET)
    assert made.media_type == expected
    assert json.loads(encode_index(made).content)["mediaType"] == expected


def test_media_type_can_be_chosen() -> None:
    assert compose_index([entry("a")], target=TARGET, media_type=DOCKER_LIST).media_type == DOCKER_LIST


def test_another_media_type_is_refused() -> None:
    with pytest.raises(StitchError, match=r"localhost:5000/app:1.*'application/json' is no type of an index.*use application/vnd\.oci"):
        compose_index([entry("a")], target=TARGET, media_type="application/json")


def test_annotations_on_a_docker_list_are_refused() -> None:
    with pytest.raises(StitchError, match=r"a Docker manifest list cannot hold annotations \(team\).*media_type="):
        compose_index([entry("a", media_type=DOCKER_MANIFEST)], target=TARGET, annotations={"team": "x"})


def test_entries_have_no_artifact_type_and_keep_everything_else() -> None:
    given_entry = attrs.evolve(
        entry("a"), artifact_type="application/x", annotations={"k": "v"}, urls=("https://example.test/a",), data="e30="
    )
    read = parse_manifest(encode_index(compose_index([given_entry], target=TARGET)).content)
    assert isinstance(read, Index)
    assert read.manifests == (attrs.evolve(given_entry, artifact_type=None),)


def test_index_keeps_artifact_type_and_subject() -> None:
    index = Index(OCI_INDEX, (entry("a"),), FrozenMap(), "application/x", attrs.evolve(entry("s"), platform_fields=None))
    made = encode_index(index)
    assert list(json.loads(made.content)) == ["schemaVersion", "mediaType", "artifactType", "manifests", "subject"]
    assert parse_manifest(made.content) == index


def test_a_platform_without_cpu_is_written_as_go_writes_it() -> None:
    odd = Descriptor(OCI_MANIFEST, Digest.of(b"odd"), 1).with_platform({"os": "linux"})
    assert json.loads(encode_index(compose_index([odd], target=TARGET)).content)["manifests"][0]["platform"] == {
        "architecture": "",
        "os": "linux",
    }


texts = st.text(st.characters(codec="utf-8"), max_size=12)
platforms = st.fixed_dictionaries(
    {"os": st.sampled_from(["linux", "windows"]), "architecture": st.sampled_from(["amd64", "arm64", "arm"])},
    optional={
        "variant": st.sampled_from(["v6", "v7", "v8"]),
        "os.version": texts,
        "os.features": st.lists(texts.filter(bool), min_size=1, max_size=3),
    },
)
descriptors = st.builds(
    lambda media_type, content, size, platform, notes: attrs.evolve(
        Descriptor(media_type, Digest.of(content), size).with_platform(platform), annotations=notes
    ),
    st.sampled_from([OCI_MANIFEST, DOCKER_MANIFEST]),
    st.binary(max_size=8),
    st.integers(0, 2**40),
    platforms,
    st.dictionaries(texts, texts, max_size=3),
)


@given(st.lists(descriptors, min_size=1, max_size=6), st.dictionaries(texts, texts, max_size=3))
def test_what_is_written_reads_back_the_same_in_the_same_order(entries: list[Descriptor], notes: dict[str, str]) -> None:
    index = compose_index(entries, target=TARGET, annotations=notes, media_type=OCI_INDEX)
    made = encode_index(index)
    assert parse_manifest(made.content) == index
    assert made == encode_index(pickle.loads(pickle.dumps(index)))
    assert all(mark not in made.content for mark in (b"<", b">", b"&", b"\n"))


def test_entries_keep_the_order_given() -> None:
    arm, amd = entry("z", arch="arm64"), entry("a")
    assert merged(arm, amd) == (arm, amd)


def test_the_same_digest_stands_once() -> None:
    arm, amd = entry("z", arch="arm64"), entry("a")
    assert merged(arm, amd, attrs.evolve(arm, annotations={"k": "v"})) == (arm, amd)


@pytest.mark.parametrize("variant", ["", "v8"])
def test_two_images_for_one_platform_are_refused(variant: str) -> None:
    first, second = entry("a", arch="arm64"), entry("b", arch="arm64", variant=variant)
    with pytest.raises(StitchError) as caught:
        merged(first, second)
    assert f"two images are for linux/arm64: source 1 ({first.digest}) and source 2 ({second.digest}); leave one of them out" in str(
        caught.value
    )


def test_platforms_that_differ_in_one_field_stand_together() -> None:
    entries = [
        entry("1", arch="arm", variant="v6"),
        entry("2", arch="arm", variant="v7"),
        entry("3", "windows", **{"os.version": "10.0.17763.1"}),
        entry("4", "windows", **{"os.version": "10.0.20348.1"}),
    ]
    assert merged(*entries) == tuple(entries)


def test_an_attestation_follows_its_image() -> None:
    amd, arm = entry("a"), entry("b", arch="arm64")
    about_amd, about_arm = attestation_for(amd, "1"), attestation_for(arm, "2")
    assert merged(about_arm, amd, arm, about_amd) == (amd, about_amd, arm, about_arm)


def test_an_attestation_of_an_image_that_is_not_there_is_left_out() -> None:
    amd = entry("a")
    assert merged(amd, attestation_for(entry("b"))) == (amd,)


@pytest.mark.parametrize("entries", [[], [attestation_for(entry("a"))]], ids=["nothing", "only-an-attestation"])
def test_an_index_without_images_is_refused(entries: list[Descriptor]) -> None:
    with pytest.raises(StitchError, match="there is no image among the sources"):
        merged(*entries)
