"""The short ways of the renderer give what the long ones give."""

from __future__ import annotations

import itertools
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archkit import AffinityRenderer, BuiltImage, PlatformSet
from archkit.adapters.yaml import Chunk, ManifestLimits, events, read, split, split_stream
from archkit.planning import kinds

BUILDS = [BuiltImage(name, f"r.example/{name}:1@sha256:" + "1" * 64, PlatformSet("linux/amd64,linux/arm64")) for name in ("web", "api")]
SCALARS = st.sampled_from(["a", "b", "'<<'", "kind", "image", "1", "~"])
KEYS = st.sampled_from(["a", "b", "<<", "'<<'", "image", "[x]", "*known"])
FLOW = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(KEYS, inner), max_size=4).map(lambda pairs: "{" + ", ".join(f"? {key} : {value}" for key, value in pairs) + "}"),
    ),
    max_leaves=12,
)


@given(FLOW)
def test_a_mapping_of_scalar_keys_is_read_like_any_other(value: str) -> None:
    tree = read(Chunk(f"known: &known k\nspec: {value}\n", 1), "x", ManifestLimits())
    assert tree is not None

    for node, kind in enumerate(tree.kinds):
        if kind is yaml.MappingStartEvent:
            tree.repeated.clear()
            fast, repeated = tree._read_entries(node), tree.repeated.get(node)  # pyright: ignore[reportPrivateUsage]
            tree.repeated.clear()
            assert list(fast.items()) == list(tree._read_any_entries(node).items())  # pyright: ignore[reportPrivateUsage]
            assert repeated == tree.repeated.get(node)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
@given(value=FLOW)
def test_batches_of_any_size_give_the_same_tree(batch: int, value: str) -> None:
    chunk = Chunk(f"a: &known [b, {{c: d}}]\nspec: {value}\nkind: Pod\napiVersion: v1\n", 1)
    usual = read(chunk, "x", ManifestLimits(), lambda *_: True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_BATCH", batch)
        small = read(chunk, "x", ManifestLimits(), lambda *_: True)

    assert usual is not None
    assert small is not None
    assert (usual.kinds, usual.ends, usual.aliases) == (small.kinds, small.ends, small.aliases)


@given(st.permutations(["apiVersion: v1", "kind: Pod", "metadata: {name: x}", "spec: {kind: List}"]), st.booleans())
def test_kind_and_version_are_found_wherever_they_stand(lines: list[str], wanted: bool) -> None:
    asked: list[tuple[str, str]] = []

    def answer(api_version: str, kind: str) -> bool:
        asked.append((api_version, kind))
        return wanted

    tree = read(Chunk("\n".join(lines) + "\n", 1), "x", ManifestLimits(), answer)

    assert asked == [("v1", "Pod")]
    assert (tree is not None) == wanted


POD = "apiVersion: {0}\nkind: {1}\nmetadata: {{name: {2}}}\nspec:\n  {3}containers:\n  - image: {4}\n  - name: x\n    image: {5}\n"
PODS = st.builds(
    POD.format,
    st.sampled_from(["v1", "serving.knative.dev/v1"]),
    st.sampled_from(["Pod", "Revision", "List"]),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["", "nodeSelector: {disk: ssd}\n  ", "affinity: {}\n  ", "nodeName: n\n  "]),
    st.sampled_from(["web", "api", "other", "web@sha256:" + "2" * 64]),
    st.sampled_from(["web", "api:2", "arm"]),
)


@given(st.lists(PODS, min_size=1, max_size=6))
def test_what_was_decided_before_is_what_is_decided_anew(documents: list[str]) -> None:
    def renderer() -> AffinityRenderer:
        return AffinityRenderer(builds=BUILDS, platforms={"other": "linux/amd64", "arm": "linux/arm64"}, affinity="always")

    together = list(renderer().render_stream(["---\n" + document for document in documents]))
    alone = [renderer().render("---\n" + document) for document in documents]

    assert [one.text for one in together] == [one.text for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert [change.after for change in one.changes] == [change.after for change in other.changes]
        assert [pod.images for pod in one.pods] == [pod.images for pod in other.pods]
        assert [pod.platforms for pod in one.pods] == [pod.platforms for pod in other.pods]
        codes = [finding.code for finding in one.findings if finding.code != "built-image-unused"]
        assert codes == [finding.code for finding in other.findings if finding.code != "built-image-unused"]


TEXTS = st.lists(
    st.sampled_from(["---", "---\n", "...\n", "a: b\n", "--- x\n", "\r", "\r\n", "\x85", "\u2028", "é\n", "x", "# c\n", "%YAML 1.2\n"]),
    max_size=12,
).map("".join)


@given(TEXTS, st.lists(st.integers(0, 40), max_size=6))
def test_a_stream_is_cut_where_the_whole_text_is(text: str, places: list[int]) -> None:
    cuts = sorted({0, *(min(place, len(text)) for place in places), len(text)})
    pieces = [text[start:end] for start, end in itertools.pairwise(cuts)]
    whole = [chunk for chunk in split(text, "x", ManifestLimits()) if text]

    assert list(split_stream(pieces, "x", ManifestLimits())) == whole
    assert list(split_stream(text.splitlines(keepends=True), "x", ManifestLimits())) == whole


@given(st.lists(st.sampled_from([*string.ascii_lowercase[:3], "[]", "*"]), max_size=6))
def test_a_path_keeps_its_steps_when_it_is_cut_where_it_branches(steps: list[str]) -> None:
    route: kinds._Route | None = kinds._route(".".join(steps))  # pyright: ignore[reportPrivateUsage]
    found: list[str] = []
    while route is not None:
        found += [*route.keys, route.wild] if route.behind is not None else route.keys
        route = route.behind

    assert found == steps
