"""Platform: every spelling has one form, and what is no platform is refused with advice."""

from __future__ import annotations

import os
import pickle
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Platform, PlatformSyntaxError
from archkit.model.platform_names import KNOWN_ARCH, KNOWN_OS

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        pytest.param("linux/amd64", "linux/amd64", id="canonical"),
        pytest.param("LINUX/AMD64", "linux/amd64", id="capitals"),
        pytest.param(" linux/amd64\n", "linux/amd64", id="blanks around"),
        pytest.param("linux/x86_64", "linux/amd64", id="uname spelling"),
        pytest.param("linux/x86-64", "linux/amd64", id="with a dash"),
        pytest.param("linux/amd64/v1", "linux/amd64", id="amd64 is v1"),
        pytest.param("linux/amd64/v3", "linux/amd64/v3", id="amd64 v3 stays"),
        pytest.param("linux/aarch64", "linux/arm64", id="aarch64"),
        pytest.param("linux/arm64/v8", "linux/arm64", id="arm64 is v8"),
        pytest.param("linux/arm64/8", "linux/arm64", id="arm64 8"),
        pytest.param("linux/arm64/v8.0", "linux/arm64", id="arm64 v8.0"),
        pytest.param("linux/arm64/v8.2", "linux/arm64/v8.2", id="arm64 v8.2 stays"),
        pytest.param("linux/arm64/9", "linux/arm64/v9", id="arm64 9"),
        pytest.param("linux/arm64/9.0", "linux/arm64/v9", id="arm64 9.0"),
        pytest.param("linux/arm64/v9.0", "linux/arm64/v9", id="arm64 v9.0"),
        pytest.param("linux/arm", "linux/arm/v7", id="arm is v7"),
        pytest.param("linux/arm/5", "linux/arm/v5", id="arm 5"),
        pytest.param("linux/arm/6", "linux/arm/v6", id="arm 6"),
        pytest.param("linux/arm/7", "linux/arm/v7", id="arm 7"),
        pytest.param("linux/arm/8", "linux/arm/v8", id="arm 8"),
        pytest.param("linux/armhf", "linux/arm/v7", id="armhf"),
        pytest.param("linux/armel", "linux/arm/v6", id="armel"),
        pytest.param("linux/armhf/v6", "linux/arm/v7", id="armhf says v7 whatever follows"),
        pytest.param("linux/i386", "linux/386", id="i386"),
        pytest.param("linux/i386/v1", "linux/386", id="i386 has no variant"),
        pytest.param("macos/arm64", "darwin/arm64", id="macos"),
        pytest.param("arm64", "linux/arm64", id="a CPU alone means Linux"),
        pytest.param("x86_64", "linux/amd64", id="an alias alone"),
        pytest.param("armel", "linux/arm/v6", id="an alias alone with its variant"),
        pytest.param("linux/loong64", "linux/loong64", id="loong64"),
        pytest.param("linux/riscv64", "linux/riscv64", id="riscv64"),
        pytest.param("wasip1/wasm", "wasip1/wasm", id="wasm"),
        pytest.param("linux/mips64le/softfloat", "linux/mips64le/softfloat", id="a variant of another kind"),
        pytest.param("windows(10.0.20348)/amd64", "windows(10.0.20348)/amd64", id="version, containerd"),
        pytest.param("windows/amd64:10.0.20348", "windows(10.0.20348)/amd64", id="version, go-containerregistry"),
        pytest.param("windows/amd64,osver=10.0.20348", "windows(10.0.20348)/amd64", id="version, regctl"),
        pytest.param("windows/amd64,osversion=10.0.20348", "windows(10.0.20348)/amd64", id="version, in full"),
        pytest.param("windows(10.0.20348+b+a+b)/amd64", "windows(10.0.20348+a+b)/amd64", id="features are sorted"),
        pytest.param("linux(+gpu)/amd64", "linux(+gpu)/amd64", id="features alone"),
        pytest.param("windows(a%2Fb)/amd64", "windows(a%2Fb)/amd64", id="quoted"),
        pytest.param("windows()/amd64", "windows/amd64", id="empty parentheses"),
    ],
)
def test_parse_gives_one_spelling(given: str, canonical: str) -> None:
    assert str(Platform.parse(given)) == canonical


@pytest.mark.parametrize("arch", sorted(KNOWN_ARCH))
@pytest.mark.parametrize("os_name", sorted(KNOWN_OS))
def test_every_listed_name_is_read(os_name: str, arch: str) -> None:
    platform = Platform.parse(f"{os_name}/{arch}")
    assert platform.os_arch == (os_name, arch)
    assert platform.known


@pytest.mark.parametrize(
    ("text", "reason", "advice"),
    [
        pytest.param("", "it is empty", "write os/arch", id="empty"),
        pytest.param("linux", "the CPU is missing", "did you mean linux/amd64?", id="an operating system alone"),
        pytest.param("macos", "the CPU is missing", "did you mean darwin/amd64?", id="an alias of one"),
        pytest.param("linux/", "a part is empty", "did you mean linux/amd64?", id="no CPU"),
        pytest.param("/amd64", "a part is empty", "did you mean linux/amd64?", id="no system"),
        pytest.param("linux//amd64", "a part is empty", "did you mean linux/amd64?", id="two slashes"),
        pytest.param("linux/arm/v7/x", "more than three parts", "write os/arch", id="four parts"),
        pytest.param("linux/amd*64", "a character", "did you mean linux/amd64?", id="star"),
        pytest.param("linux /amd64", "a character", "", id="blank inside"),
        pytest.param("linux/amd64,linux/arm64", "not a list", "write os/arch", id="a list"),
        pytest.param("all", "'all' is a set", "write os/arch", id="all"),
        pytest.param("linux/amd46", "there is no CPU 'amd46'", "did you mean linux/amd64?", id="mistyped CPU"),
        pytest.param("linxu/amd64", "there is no operating system 'linxu'", "did you mean linux/amd64?", id="mistyped system"),
        pytest.param("linux/armv7l", "there is no CPU 'armv7l'", "did you mean linux/arm/v7?", id="uname of a Pi"),
        pytest.param("linux/aarch46", "there is no CPU 'aarch46'", "did you mean linux/arm64?", id="mistyped alias"),
        pytest.param("amd46", "neither a CPU nor os/arch: 'amd46'", "did you mean linux/amd64?", id="mistyped and alone"),
        pytest.param("arm64/v8", "there is no operating system 'arm64'", "did you mean linux/arm64?", id="CPU and variant"),
        pytest.param("zzz/qqq", "there is no operating system 'zzz'", "write os/arch", id="nothing near"),
        pytest.param("windows(10.0/amd64", "a character", "", id="open parenthesis"),
        pytest.param("windows(+)/amd64", "a character", "", id="empty feature"),
        pytest.param("windows(%zz)/amd64", "badly quoted", "", id="quoting"),
        pytest.param("windows(%ff)/amd64", "badly quoted", "", id="no letter"),
        pytest.param("windows(10.0.1)/amd64:10.0.2", "two versions", "", id="two versions"),
        pytest.param("windows/amd64:", "a character", "", id="colon and no version"),
        pytest.param("linux/amd64\x00", "a character", "", id="NUL"),
    ],
)
def test_what_is_no_platform_is_refused_with_advice(text: str, reason: str, advice: str) -> None:
    with pytest.raises(PlatformSyntaxError) as caught:
        Platform.parse(text)
    assert caught.value.text == text
    assert repr(text) in str(caught.value)
    assert reason in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("arguments", [("", "amd64"), ("linux", ""), ("li nux", "amd64"), ("linux", "a/b"), ("linux", "arm", "v 7")])
def test_the_constructor_refuses_what_no_platform_has(arguments: tuple[str, ...]) -> None:
    with pytest.raises(PlatformSyntaxError):
        Platform(*arguments)


# ---- laws --------------------------------------------------------------------------------------------------------

tokens = st.text("abcxyzABC019_.-", min_size=1, max_size=6)
versions = st.one_of(st.just(""), st.text(max_size=8), st.sampled_from(["10.0.20348", "10.0.17763.1"]))
features = st.lists(st.text(max_size=5), max_size=3).map(tuple)
known_os = st.sampled_from(sorted(KNOWN_OS))
known_arch = st.sampled_from(sorted({*KNOWN_ARCH, "aarch64", "x86_64", "armhf", "armel", "i386"}))
variants = st.one_of(st.just(""), st.sampled_from(["v5", "v6", "v7", "v8", "v8.1", "v9", "8", "7", "v1", "v2", "v3"]), tokens)
known_platforms = st.builds(Platform, known_os, known_arch, variants, versions, features)
any_platforms = st.builds(Platform, tokens, tokens, variants, versions, features)


@given(known_platforms)
def test_text_leads_back_to_the_platform(platform: Platform) -> None:
    assert Platform.parse(str(platform)) == platform


@given(any_platforms)
def test_normalising_twice_changes_nothing(platform: Platform) -> None:
    assert Platform(platform.os, platform.arch, platform.variant, platform.os_version, platform.os_features) == platform


@given(any_platforms)
def test_oci_fields_lead_back_to_the_platform(platform: Platform) -> None:
    assert Platform.from_oci(platform.to_oci()) == platform


@given(any_platforms)
def test_equal_means_equal_in_every_way(platform: Platform) -> None:
    other: Platform = pickle.loads(pickle.dumps(platform))
    assert other == platform
    assert hash(other) == hash(platform)
    assert not other < platform
    assert other <= platform


@given(any_platforms)
def test_what_it_is_runs_on_itself_and_is_what_was_asked_for(platform: Platform) -> None:
    assert platform.runs_on(platform)
    assert platform.satisfies(platform)


@given(any_platforms)
def test_the_suffix_may_stand_in_a_tag(platform: Platform) -> None:
    assert set(platform.tag_suffix) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@given(st.text(max_size=40))
def test_any_text_is_a_platform_or_a_platform_syntax_error(text: str) -> None:
    try:
        known = Platform.parse(text).known
    except PlatformSyntaxError:
        known = True
    assert known


def test_platforms_sort_by_text_of_their_fields() -> None:
    texts = ["linux/s390x", "linux/amd64", "darwin/arm64", "linux/arm64", "linux/arm/v7", "linux/arm/v6"]
    assert list(map(str, sorted(map(Platform.parse, texts)))) == [
        "darwin/arm64",
        "linux/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm64",
        "linux/s390x",
    ]


def test_a_platform_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Platform.parse("linux/amd64").os = "windows"  # type: ignore[misc]


# ---- what stands in images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({"os": "linux", "architecture": "amd64"}, "linux/amd64", id="plain"),
        pytest.param({"os": "linux", "architecture": "arm64", "variant": "v8"}, "linux/arm64", id="variant"),
        pytest.param({"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}, "windows(10.0.1)/amd64", id="version"),
        pytest.param({"os": "windows", "architecture": "amd64", "os.features": ["b", "a"]}, "windows(+a+b)/amd64", id="features"),
        pytest.param({"os": "unknown", "architecture": "unknown"}, "unknown/unknown", id="attestation"),
        pytest.param({}, "unknown/unknown", id="nothing"),
        pytest.param({"os": None, "architecture": 7}, "unknown/unknown", id="no texts"),
        pytest.param({"os": "", "architecture": "a b"}, "unknown/unknown", id="no names"),
        pytest.param({"os": "linux", "architecture": "arm", "variant": "v 7"}, "linux/arm/unknown", id="no variant"),
        pytest.param({"os": "linux", "architecture": "arm", "variant": None}, "linux/arm/v7", id="null variant"),
        pytest.param({"os": "plan10", "architecture": "z80"}, "plan10/z80", id="names on no list"),
        pytest.param({"os": "linux", "architecture": "amd64", "os.features": "sse"}, "linux/amd64", id="features that are no list"),
    ],
)
def test_anything_that_stands_in_an_image_is_read(fields: dict[str, object], text: str) -> None:
    assert str(Platform.from_oci(fields)) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(st.dictionaries(st.sampled_from(["os", "architecture", "variant", "os.version", "os.features"]), json_values))
def test_from_oci_never_raises(fields: dict[str, object]) -> None:
    Platform.from_oci(fields)


def test_oci_fields_have_the_order_of_the_specification() -> None:
    assert list(Platform("windows", "arm", "v6", "10.0.1", ("x",)).to_oci()) == [
        "architecture",
        "os",
        "os.version",
        "os.features",
        "variant",
    ]
    assert Platform.parse("linux/arm64").to_oci() == {"architecture": "arm64", "os": "linux"}


# ---- tags, hosts, relations --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("linux/amd64", "linux_amd64"),
        ("linux/arm64/v8", "linux_arm64"),
        ("linux/arm/v7", "linux_arm_v7"),
        ("windows(10.0.20348.1)/amd64", "windows_amd64_10.0.20348.1"),
        ("windows(a%2Fb+x)/amd64", "windows_amd64_a_b_x"),
    ],
)
def test_the_tag_suffix_is_skaffolds(text: str, suffix: str) -> None:
    assert Platform.parse(text).tag_suffix == suffix


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("armv6l", "linux/arm/v6"),
        ("armv7l", "linux/arm/v7"),
        ("i686", "linux/386"),
        ("riscv64", "linux/riscv64"),
        ("loongarch64", "linux/loong64"),
        ("s390x", "linux/s390x"),
        ("ppc64le", "linux/ppc64le"),
    ],
)
def test_the_host_is_linux_with_this_machines_cpu(machine: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Darwin", "host", "1", "1", machine)))
    assert str(Platform.host()) == text


def test_on_windows_the_host_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROCESSOR_ARCHITECTURE", "ARM64")
    assert str(Platform.host()) == "linux/arm64"


@pytest.mark.parametrize(
    ("image", "node", "runs"),
    [
        pytest.param("linux/arm/v6", "linux/arm/v7", True, id="older arm"),
        pytest.param("linux/arm/v7", "linux/arm/v6", False, id="newer arm"),
        pytest.param("linux/arm/v7", "linux/arm64", True, id="32-bit arm on arm64"),
        pytest.param("linux/arm64", "linux/arm/v8", False, id="arm64 on 32-bit arm"),
        pytest.param("linux/386", "linux/amd64", True, id="386 on amd64"),
        pytest.param("linux/amd64", "linux/386", False, id="amd64 on 386"),
        pytest.param("linux/amd64/v2", "linux/amd64/v3", True, id="older amd64"),
        pytest.param("linux/amd64/v3", "linux/amd64", False, id="newer amd64"),
        pytest.param("linux/arm64/v8.2", "linux/arm64/v9", True, id="v9 contains v8.5"),
        pytest.param("linux/arm64/v8.6", "linux/arm64/v9", False, id="and no more"),
        pytest.param("linux/arm64/v9", "linux/arm64/v9.1", True, id="older v9"),
        pytest.param("linux/amd64", "linux/arm64", False, id="another CPU"),
        pytest.param("linux/amd64", "windows/amd64", False, id="another system"),
        pytest.param("windows(10.0.17763.1)/amd64", "windows(10.0.17763.2)/amd64", True, id="the revision does not count"),
        pytest.param("windows(10.0.17763)/amd64", "windows(10.0.20348)/amd64", False, id="2019 on 2022"),
        pytest.param("windows(10.0.20348)/amd64", "windows(10.0.26100)/amd64", True, id="2022 on 2025"),
        pytest.param("windows(10.0.26100)/amd64", "windows(10.0.20348)/amd64", False, id="2025 on 2022"),
        pytest.param("windows(10.0.20348)/amd64", "windows(10.0.27000)/amd64", False, id="two releases back"),
        pytest.param("windows(10.0.17763)/amd64", "windows/amd64", True, id="a node without version"),
        pytest.param("windows/amd64", "windows(10.0.17763)/amd64", True, id="an image without version"),
        pytest.param("windows(10.1.20348)/amd64", "windows(10.0.20348)/amd64", False, id="another minor"),
        pytest.param("linux(+gpu)/amd64", "linux/amd64", True, id="a node that names no features"),
        pytest.param("linux(+gpu)/amd64", "linux(+avx)/amd64", False, id="a feature that is not there"),
        pytest.param("linux(+gpu)/amd64", "linux(+avx+gpu)/amd64", True, id="a feature that is there"),
        pytest.param("windows(+win32k)/amd64", "windows(+x)/amd64", True, id="a feature that never counts"),
    ],
)
def test_what_runs_where(image: str, node: str, runs: bool) -> None:
    assert Platform.parse(image).runs_on(Platform.parse(node)) is runs


@pytest.mark.parametrize(
    ("found", "asked", "satisfied"),
    [
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("windows(10.0.20348)/amd64", "windows/amd64", True),
        ("windows(10.0.20348)/amd64", "windows(10.0.17763)/amd64", False),
        ("windows/amd64", "windows(10.0.17763)/amd64", False),
        ("linux/386", "linux/amd64", False),
    ],
)
def test_what_satisfies_what_was_asked(found: str, asked: str, satisfied: bool) -> None:
    assert Platform.parse(found).satisfies(Platform.parse(asked)) is satisfied


@pytest.mark.parametrize(
    "make",
    [
        lambda: Platform("linux", "amd64"),
        lambda: Platform.parse("x86_64"),
        lambda: Platform.from_oci({"os": "Linux", "architecture": "AMD64"}),
    ],
)
def test_every_way_in_gives_equal_platforms(make: Callable[[], Platform]) -> None:
    assert {make()} == {Platform.parse("linux/amd64")}
