"""What holds for every index and every change of it."""

from __future__ import annotations

import contextlib

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st

from archkit import Descriptor, Digest, Platform, StitchError
from archkit.model.oci import ATTESTATION, ATTESTED, OCI_INDEX, OCI_MANIFEST, Index, parse_manifest
from archkit.planning.index import SourcedEntry, compose_index, encode_index, merge_entries
from archkit.planning.index_edit import IndexEdit

TARGET = "localhost:5000/app:1"
PLATFORMS = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/s390x",
    "windows(10.0.17763.1)/amd64",
    "windows(10.0.20348.1)/amd64",
    "windows(10.0.20348.2)/amd64",
]
Group = tuple[Descriptor, ...]
"""An image and the attestations about it."""


def image(platform: str, name: str) -> Descriptor:
    plain = Descriptor(OCI_MANIFEST, Digest.of(f"{platform} {name}".encode()), len(name))
    return plain.with_platform(Platform.parse(platform).to_oci())


def attestation(subject: Descriptor, name: str) -> Descriptor:
    about = {ATTESTATION: "attestation-manifest", ATTESTED: str(subject.digest)}
    plain = Descriptor(OCI_MANIFEST, Digest.of(f"{subject.digest} {name}".encode()), 7)
    return attrs.evolve(plain.with_platform({"os": "unknown", "architecture": "unknown"}), annotations=about)


@st.composite
def groups(draw: st.DrawFn, *, least: int = 0, name: str = "old") -> list[Group]:
    """Images of different platforms, each with up to two attestations."""
    chosen = draw(st.lists(st.sampled_from(PLATFORMS), min_size=least, max_size=6, unique=True))
    made: list[Group] = []
    for platform in chosen:
        one = image(platform, name)
        made.append((one, *(attestation(one, str(number)) for number in range(draw(st.integers(0, 2))))))
    return made


def flat(made: list[Group]) -> tuple[Descriptor, ...]:
    return tuple(entry for group in made for entry in group)


def edit(entries: tuple[Descriptor, ...]) -> IndexEdit:
    return IndexEdit(TARGET, TARGET, entries)


def content(entries: tuple[Descriptor, ...]) -> bytes:
    return encode_index(compose_index(entries, target=TARGET)).content


def merged(entries: tuple[Descriptor, ...], *, in_order: bool = False) -> tuple[Descriptor, ...]:
    return merge_entries([SourcedEntry(entry, "a source") for entry in entries], target=TARGET, in_order=in_order)


@given(groups(least=1))
def test_merging_is_done_once(made: list[Group]) -> None:
    once = merged(flat(made))
    assert once == flat(made)
    assert merged(once) == once
    assert content(once) == content(merged((*once, *once)))


@given(groups(least=1), st.randoms(use_true_random=False))
def test_the_order_of_the_images_is_that_of_the_sources(made: list[Group], random: object) -> None:
    shuffled = list(flat(made))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    images = [entry for entry in shuffled if entry.is_image]
    assert [entry for entry in merged(tuple(shuffled)) if entry.is_image] == images


@given(groups(least=1), groups(least=1, name="new"))
def test_what_is_added_and_removed_leaves_the_same_bytes(old: list[Group], new: list[Group]) -> None:
    there = {group[0].platform for group in old}
    new = [group for group in new if group[0].platform not in there]
    assume(new)
    extended = edit(flat(old)).extend(flat(new), {})
    assert extended == (*flat(old), *flat(new))
    assert content(edit(extended).remove([group[0].digest for group in new])) == content(flat(old))
    assert edit(extended).extend(flat(new), {}) == extended
    platforms = [platform for group in new if (platform := group[0].platform) is not None]
    assert edit(extended).remove(platforms) == flat(old)


@given(groups(least=1), groups(least=1, name="new"))
def test_an_extension_never_touches_what_is_there(old: list[Group], new: list[Group]) -> None:
    clash = {group[0].platform for group in old} & {group[0].platform for group in new}
    with contextlib.suppress(StitchError):
        assert edit(flat(old)).extend(flat(new), {})[: len(flat(old))] == flat(old)
        assert not clash
    assert edit(flat(old)).extend(flat(new), {}, in_order=True) == (*flat(old), *flat(new))


@given(groups(least=1), st.data())
def test_a_replacement_and_its_opposite_leave_the_same_images(old: list[Group], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(old) - 1))
    platform = old[number][0].platform
    assume(platform is not None and platform.os != "windows")
    new = (attrs.evolve(old[number][0], digest=Digest.of(b"new")),)
    replaced = edit(flat(old)).replace(new)
    assert [entry.digest for entry in replaced if entry.is_image] == [
        "sha256:" + Digest.of(b"new").hex if position == number else group[0].digest for position, group in enumerate(old)
    ]
    assert not [entry for entry in replaced if entry.annotations.get(ATTESTED) == old[number][0].digest]
    assert edit(replaced).replace(new) == replaced
    assert edit(replaced).replace(old[number]) == flat(old)
    assert edit(flat(old)).extend(new, {}, replace=True) == replaced


@given(groups(least=2), st.data())
def test_what_is_removed_is_gone_with_what_is_about_it(old: list[Group], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(old), min_size=1, max_size=len(old) - 1, unique=True))
    left = edit(flat(old)).remove([group[0].digest for group in gone])
    assert left == flat([group for group in old if group not in gone])


@given(groups(), groups(least=1, name="new"))
def test_no_attestation_is_ever_without_its_image(old: list[Group], new: list[Group]) -> None:
    made = edit(flat(old)).extend(flat(new), {}, replace=True)
    digests = {entry.digest for entry in made}
    assert all(entry.annotations[ATTESTED] in digests for entry in made if ATTESTED in entry.annotations)
    assert len(digests) == len(made)
    read = parse_manifest(encode_index(compose_index(made, target=TARGET, media_type=OCI_INDEX)).content)
    assert isinstance(read, Index)
    assert read.manifests == made
