"""Without PyYAML's C extension ruamel.yaml's parser stands in: the same output, slower, after one warning."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from manifest_styles import document

from archkit import AffinityRenderer, BuiltImage, ManifestSyntaxError, PlatformSet
from archkit.adapters.yaml import events

BUILT = BuiltImage("web", "r.example/web:1@sha256:" + "8" * 64, PlatformSet("linux/amd64,linux/arm64"))
RENDERER = AffinityRenderer(builds=[BUILT], affinity="always")
POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: web\n"


@pytest.fixture
def pure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LibyamlParser", None)
    monkeypatch.setattr(events, "_warned", [True])


TEXTS = [
    POD,
    "\ufeff" + POD,
    POD.replace("\n", "\r\n"),
    POD + "---\n# é\n" + POD + "...\n---\n{apiVersion: v1, kind: Pod, spec: {containers: [{image: 'web'}]}}",
    POD.replace("image: web", "image: &i !!str web\n  - image: *i"),
    POD.replace("image: web", "image: |-\n      web\n\n    name: é🎉"),
    POD + "  affinity: {}  # none\n",
    POD + "  affinity:",
    POD + "  nodeSelector: {on: 'yes'}\n  affinity:\n    nodeAffinity: ~\n",
    '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"spec": {\n\t\t"containers": [{"image": "web"}]\n\t}\n}\n',
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_output_is_the_same(text: str, request: pytest.FixtureRequest) -> None:
    wanted = RENDERER.render(text)
    request.getfixturevalue("pure")

    rendered = RENDERER.render(text)

    assert rendered.text == wanted.text
    assert rendered == wanted


@settings(max_examples=40)
@given(st.data())
def test_any_style_gives_the_same_output(data: st.DataObject) -> None:
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": data.draw(st.sampled_from(["a", "x y", "é"]))},
        "spec": {
            "affinity": data.draw(st.sampled_from([None, {}, {"nodeAffinity": {}}])),
            "containers": [{"name": "c", "image": "web"}, {"image": "web:2"}],
        },
    }
    text = document(data.draw, manifest)
    note(text)
    wanted = RENDERER.render(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "LibyamlParser", None)
        patch.setattr(events, "_warned", [True])
        assert RENDERER.render(text).text == wanted.text


@pytest.mark.parametrize("text", [POD + "\tx: y\n", POD + "  x: '\x00'\n", POD + "  x: \ud800\n", POD + "  a: b: c\n", POD + "  x: *y\n"])
def test_what_is_no_yaml_is_refused_in_the_same_line(text: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ManifestSyntaxError) as wanted:
        RENDERER.render(text)
    request.getfixturevalue("pure")
    with pytest.raises(ManifestSyntaxError) as caught:
        RENDERER.render(text)
    assert caught.value.line == wanted.value.line


def test_it_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LibyamlParser", None)
    monkeypatch.setattr(events, "_warned", [])

    with pytest.warns(RuntimeWarning, match="libyaml"):
        RENDERER.render(POD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RENDERER.render(POD)
