"""Generated manifests in every YAML style: what comes out is what a small model says, and nothing else has changed."""

from __future__ import annotations

import copy
import io
from typing import Any

import yaml
from hypothesis import given, note, settings
from hypothesis import strategies as st
from manifest_styles import document

from archkit import AffinityRenderer, BuiltImage, PlatformSet

DIGEST = "sha256:" + "7" * 64
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
BUILT = BuiltImage("web", f"registry.example:5000/team/web:1.4@{DIGEST}", PlatformSet("linux/amd64,linux/arm64"))
KNOWN = {"tool": "linux/amd64,linux/arm64", "ghcr.io/x/intel": "linux/amd64", "ghcr.io/x/both": "linux/arm64,linux/amd64"}
IMAGES = {
    "web": ["amd64", "arm64"],
    "web:1.0": ["amd64", "arm64"],
    "docker.io/library/web:old": ["amd64", "arm64"],
    "tool:3": ["amd64", "arm64"],
    "ghcr.io/x/intel:2": ["amd64"],
    "ghcr.io/x/both": ["arm64", "amd64"],
    "stranger:1": None,
}
TEMPLATES = {
    ("v1", "Pod"): ["spec"],
    ("apps/v1", "Deployment"): ["spec", "template", "spec"],
    ("batch/v1", "CronJob"): ["spec", "jobTemplate", "spec", "template", "spec"],
    ("v1", "PodTemplate"): ["template", "spec"],
}

texts = st.sampled_from(
    ["a", "plain", "yes", "1", "0777", "two words", "a: b", "# no comment", "é☃🎉", "", "x'y", 'q"q', "{{ .Values.x }}", "- a"]
)
plain_data = st.recursive(
    st.one_of(texts, st.integers(-5, 10**6), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["k", "image", "spec", "x-y"]), inner, max_size=3)
    ),
    max_leaves=6,
)
user_terms = st.lists(
    st.fixed_dictionaries(
        {
            "matchExpressions": st.lists(
                st.fixed_dictionaries(
                    {
                        "key": st.sampled_from(["disk", "zone"]),
                        "operator": st.just("In"),
                        "values": st.lists(st.sampled_from(["a", "b", "386"]), min_size=1, max_size=2),
                    }
                ),
                min_size=1,
                max_size=2,
            )
        }
    ),
    min_size=1,
    max_size=2,
)
node_affinities = st.one_of(
    st.none(), st.just({}), st.builds(lambda terms: {REQUIRED: {"nodeSelectorTerms": terms}}, user_terms), st.just({REQUIRED: None})
)
affinities = st.one_of(
    st.none(),
    st.just({}),
    st.builds(lambda value: {"nodeAffinity": value}, node_affinities),
    st.builds(lambda value: {"podAntiAffinity": {"x": value}}, plain_data),
)


@st.composite
def pod_specs(draw: Any) -> dict[str, Any]:
    containers = draw(st.lists(st.sampled_from(list(IMAGES)), min_size=1, max_size=3))
    spec: dict[str, Any] = {}
    for key in draw(st.permutations(["containers", "affinity", "initContainers", "other", "nodeSelector"])):
        if key == "containers":
            spec[key] = [
                draw(st.permutations([("name", f"c{i}"), ("image", image), ("env", draw(plain_data))]).map(dict))
                for i, image in enumerate(containers)
            ]
        elif key == "affinity" and draw(st.booleans()):
            spec[key] = draw(affinities)
        elif key == "initContainers" and draw(st.booleans()):
            spec[key] = [{"image": draw(st.sampled_from(list(IMAGES)))}]
        elif key == "other" and draw(st.booleans()):
            spec[key] = draw(plain_data)
        elif key == "nodeSelector" and draw(st.booleans()):
            spec[key] = draw(st.sampled_from([{}, {"kubernetes.io/os": "linux"}, {"disk": "ssd"}]))
    return spec


@st.composite
def manifests(draw: Any) -> dict[str, Any]:
    (version, kind), path = draw(st.sampled_from(list(TEMPLATES.items())))
    data: dict[str, Any] = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x", "labels": draw(st.dictionaries(st.just("image"), texts, max_size=1))},
    }
    holder = data
    for key in path[:-1]:
        holder[key] = holder = {"metadata": {"labels": {"a": "b"}}} if key == "template" else {"replicas": 1}
    holder[path[-1]] = draw(pod_specs())
    if draw(st.integers(0, 5)) == 0:
        return {"apiVersion": "v1", "kind": "List", "items": [data, {"apiVersion": "v1", "kind": "Service", "spec": {"image": "web"}}]}
    return data


def pod_of(data: dict[str, Any]) -> dict[str, Any]:
    if data["kind"] == "List":
        return pod_of(data["items"][0])
    found = data
    for key in TEMPLATES[data["apiVersion"], data["kind"]]:
        found = found[key]
    return found


def expected(data: dict[str, Any]) -> dict[str, Any]:
    """What must come out, said without archkit."""
    data = copy.deepcopy(data)
    pod = pod_of(data)
    containers = [*pod.get("containers", []), *pod.get("initContainers", [])]
    common: list[str] | None = None
    for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
        arches = IMAGES[container["image"]]
        if arches is not None:
            common = arches if common is None else [arch for arch in common if arch in arches]
    for container in containers:
        if IMAGES[container["image"]] == ["amd64", "arm64"] and "web" in container["image"]:
            container["image"] = BUILT.reference
    if common is None:
        return data
    affinity = pod.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    if node_affinity.get(REQUIRED):
        for term in node_affinity[REQUIRED]["nodeSelectorTerms"]:
            term["matchExpressions"] += [expression("os", ["linux"])] if "kubernetes.io/os" not in pod.get("nodeSelector", {}) else []
            term["matchExpressions"] += [expression("arch", common)]
        return data
    node_affinity[REQUIRED] = {
        "nodeSelectorTerms": [{"matchExpressions": [expression("os", ["linux"]), expression("arch", [arch])]} for arch in common]
    }
    affinity["nodeAffinity"] = node_affinity
    pod["affinity"] = affinity
    return data


def expression(label: str, values: list[str]) -> dict[str, Any]:
    return {"key": f"kubernetes.io/{label}", "operator": "In", "values": list(values)}


RENDERER = AffinityRenderer(builds=[BUILT], platforms=KNOWN, affinity="always")


def load(text: str) -> list[Any]:
    return list(yaml.load_all(text.removeprefix("\ufeff"), yaml.CSafeLoader))


def without_what_may_change(text: str) -> str:
    """The text without the images that are pinned and without empty affinity, cut out by PyYAML's own marks."""
    bom = text.startswith("\ufeff")
    root = yaml.compose(text.removeprefix("\ufeff"), yaml.CSafeLoader)
    spans: list[tuple[int, int]] = []

    def walk(node: Any, path: list[str]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(value, [*path, key.value])
                if not value.value or (isinstance(value.value, str) and value.value in {"~", "null", "Null"}):
                    if key.value in {"affinity", "nodeAffinity", REQUIRED}:
                        spans.append((key.end_mark.index, value.end_mark.index))
                elif key.value == "image" and path[-1:] in (["containers"], ["initContainers"]) and "web" in value.value:
                    spans.append((value.start_mark.index, value.end_mark.index))
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                walk(item, path)

    walk(root, [])
    for start, end in sorted(spans, reverse=True):
        text = text[: start + bom] + text[end + bom :]
    return text


def is_subsequence(inner: str, outer: str) -> bool:
    rest = iter(outer)
    return all(sign in rest for sign in inner)


@settings(max_examples=120)
@given(st.data())
def test_a_document_in_any_style_comes_out_as_the_model_says(data: st.DataObject) -> None:
    manifest = data.draw(manifests())
    text = document(data.draw, manifest)
    if data.draw(st.integers(0, 9)) == 0:
        text = "\ufeff" + text
    note(text)
    assert load(text) == [manifest], "the writer of the tests is wrong"

    rendered = RENDERER.render(text)

    note(rendered.text)
    assert load(rendered.text) == [expected(manifest)]
    if not rendered.changes:
        assert rendered.text == text
    assert is_subsequence(without_what_may_change(text), rendered.text), "something else than images and affinity has changed"
    assert RENDERER.render(rendered.text).text == rendered.text
    assert not RENDERER.render(rendered.text).changes


@settings(max_examples=50)
@given(st.data())
def test_documents_are_rendered_one_by_one(data: st.DataObject) -> None:
    texts = [document(data.draw, data.draw(manifests())) for _ in range(data.draw(st.integers(1, 3)))]
    parts: list[str] = []
    for number, text in enumerate(texts):
        ended = text if text.endswith(("\n", "\r")) else text + "\n"
        head = (
            data.draw(st.sampled_from(["---\n", "--- # next\n", "# before\n---\n", "---\n# behind\n\n"]))
            if number
            else data.draw(st.sampled_from(["", "---\n"]))
        )
        if number and data.draw(st.integers(0, 4)) == 0:
            head = "...\n%YAML 1.1\n---\n"
        parts.append(head + ended)
    whole = "".join(parts)
    note(whole)

    rendered = RENDERER.render(whole)

    assert rendered.text == "".join(RENDERER.render(part).text for part in parts)
    streamed = list(RENDERER.render_stream(io.StringIO(whole, newline="")))
    assert "".join(piece.text for piece in streamed) == rendered.text
    assert [change.after for piece in streamed for change in piece.changes] == [change.after for change in rendered.changes]
    assert [finding.code for piece in streamed for finding in piece.findings] == [finding.code for finding in rendered.findings]
    at = data.draw(st.integers(0, len(whole)))
    assert "".join(piece.text for piece in RENDERER.render_stream([whole[:at], whole[at:]])) == rendered.text


@settings(max_examples=50)
@given(manifests())
def test_objects_come_out_as_the_model_says_and_stay_what_they_were(manifest: dict[str, Any]) -> None:
    before = copy.deepcopy(manifest)

    rendered = RENDERER.render_objects([manifest, None])

    assert rendered.objects == (expected(manifest), None)
    assert manifest == before
    assert rendered.objects[0] is manifest or rendered.changes
    again = RENDERER.render_objects(rendered.objects)
    assert again.objects[0] is rendered.objects[0]
