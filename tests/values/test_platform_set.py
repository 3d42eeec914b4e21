"""PlatformSet: ordered, without duplicates, and "all", which is neutral and cannot be listed."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import ArchkitError, Platform, PlatformSet, PlatformSyntaxError

ALL = PlatformSet.ALL
AMD64, ARM64, S390X = map(Platform.parse, ("linux/amd64", "linux/arm64", "linux/s390x"))

platforms = st.sampled_from(
    [
        Platform.parse(text)
        for text in ("linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7", "windows/amd64", "windows(1.2.3)/amd64")
    ]
)
finite = st.lists(platforms, max_size=6).map(PlatformSet)
sets = st.one_of(finite, st.just(ALL))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param("linux/amd64", "linux/amd64", id="one"),
        pytest.param("linux/arm64,linux/amd64", "linux/arm64,linux/amd64", id="in the order given"),
        pytest.param(" linux/arm64 , amd64 ", "linux/arm64,linux/amd64", id="blanks"),
        pytest.param("linux/amd64,linux/x86_64,amd64", "linux/amd64", id="duplicates"),
        pytest.param(["linux/arm64", "linux/amd64,linux/s390x"], "linux/arm64,linux/amd64,linux/s390x", id="lists of lists"),
        pytest.param([AMD64, "arm64"], "linux/amd64,linux/arm64", id="platforms and texts"),
        pytest.param("all", "all", id="all"),
        pytest.param(["ALL"], "all", id="all in capitals"),
        pytest.param(ALL, "all", id="the set itself"),
        pytest.param("windows/amd64,osver=10.0.1,linux/amd64", "windows(10.0.1)/amd64,linux/amd64", id="a comma inside"),
    ],
)
def test_parse(given: object, text: str) -> None:
    parsed = PlatformSet.parse(given)  # type: ignore[arg-type]
    assert str(parsed) == text
    assert PlatformSet.parse(text) == parsed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param("", "no platform is named", id="empty text"),
        pytest.param([], "no platform is named", id="empty list"),
        pytest.param("linux/amd64,", "not a platform: ''", id="comma at the end"),
        pytest.param("linux/amd64,linux/amr64", "did you mean linux/arm64?", id="one is mistyped"),
        pytest.param("all,linux/amd64", "'all' stands beside other platforms", id="all and another"),
        pytest.param(["linux/amd64", "all"], "'all' stands beside other platforms", id="another and all"),
    ],
)
def test_what_is_no_set_is_refused(given: str | list[str], message: str) -> None:
    with pytest.raises(PlatformSyntaxError, match="not a platform") as caught:
        PlatformSet.parse(given)
    assert message in str(caught.value)


def test_the_constructor_takes_what_there_is() -> None:
    assert PlatformSet() == PlatformSet([])
    assert len(PlatformSet()) == 0
    assert list(PlatformSet(["arm64", AMD64, "aarch64"])) == [ARM64, AMD64]
    assert PlatformSet("linux/amd64,linux/arm64") == PlatformSet([AMD64, ARM64])
    assert PlatformSet(ALL).is_all


@given(sets)
def test_all_is_neutral(some: PlatformSet) -> None:
    assert ALL & some == some
    assert some & ALL == some
    assert (ALL | some).is_all
    assert (some | ALL).is_all


@given(finite, finite)
def test_an_intersection_keeps_what_both_have_in_the_order_of_the_left(left: PlatformSet, right: PlatformSet) -> None:
    assert list(left & right) == [item for item in left if item in right]


@given(finite, finite)
def test_a_union_appends_what_the_left_has_not(left: PlatformSet, right: PlatformSet) -> None:
    assert list(left | right) == [*left, *(item for item in right if item not in left)]


@given(sets, sets, sets)
def test_it_is_an_algebra(a: PlatformSet, b: PlatformSet, c: PlatformSet) -> None:
    assert a & b == b & a
    assert a | b == b | a
    assert (a & b) & c == a & (b & c)
    assert (a | b) | c == a | (b | c)
    assert a & a == a == a | a
    assert a & (b | c) == (a & b) | (a & c)


@given(sets)
def test_text_and_pickle_lead_back_to_the_set(some: PlatformSet) -> None:
    assert pickle.loads(pickle.dumps(some)) == some
    assert pickle.loads(pickle.dumps(some)).is_all == some.is_all
    if some:
        assert PlatformSet.parse(str(some)) == some


@given(finite)
def test_the_order_does_not_count_for_equality_and_is_kept(some: PlatformSet) -> None:
    other = PlatformSet(reversed(list(some)))
    assert other == some
    assert hash(other) == hash(some)
    assert some == set(some)
    assert list(PlatformSet(list(some))) == list(some)
    assert len(list(some)) == len(some) == len(set(some))


def test_all_contains_everything_and_is_like_no_other() -> None:
    assert AMD64 in ALL
    assert Platform("plan10", "z80") in ALL
    assert PlatformSet() != ALL
    assert PlatformSet([AMD64]) != ALL
    assert bool(ALL)
    assert not PlatformSet()
    assert repr(ALL) == "PlatformSet('all')"
    assert hash(ALL) != hash(PlatformSet())


@pytest.mark.parametrize("use", [iter, len, list], ids=["iter", "len", "list"])
def test_all_cannot_be_listed(use: type) -> None:
    with pytest.raises(ArchkitError, match="name the platforms"):
        use(ALL)


@pytest.mark.parametrize(("item", "inside"), [("aarch64", True), (ARM64, True), ("linux/s390x", False), (S390X, False), (7, False)])
def test_membership_takes_platforms_and_texts(item: object, inside: bool) -> None:
    assert (item in PlatformSet("linux/amd64,linux/arm64")) is inside


def test_membership_of_a_mistyped_text_is_an_error_and_not_a_no() -> None:
    item: object = "linux/amr64"
    with pytest.raises(PlatformSyntaxError):
        item in PlatformSet("linux/arm64")  # noqa: B015


def test_operators_take_texts_and_lists_and_refuse_the_rest() -> None:
    some = PlatformSet("linux/amd64,linux/arm64")
    assert some & ["linux/arm64", "linux/s390x"] == PlatformSet("linux/arm64")
    assert some | [S390X] == PlatformSet("linux/amd64,linux/arm64,linux/s390x")
    with pytest.raises(TypeError):
        some & 7
    with pytest.raises(TypeError):
        some | 7
    assert some != "linux/amd64,linux/arm64"
