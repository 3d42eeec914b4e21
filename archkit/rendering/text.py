"""One document of YAML or JSON text."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

from archkit.adapters import yaml
from archkit.errors import ManifestTooLarge
from archkit.model.finding import Finding
from archkit.planning.edits import path_text
from archkit.planning.kinds import TooManyPods
from archkit.rendering.work import render_document

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

    from archkit.planning.edits import Edit, Path
    from archkit.planning.kinds import FoundPod
    from archkit.rendering.work import Report, Seen, Tools


def render_chunk(chunk: yaml.Chunk, tools: Tools, seen: Seen, report: Report) -> str:
    """The text of one document, rendered.

    Raises:
        ManifestSyntaxError: It may hold pods and is not YAML.
        ManifestTooLarge: Beyond a limit.
    """
    if not tools.kinds.may_hold_images(chunk.text):
        return chunk.text
    try:
        tree = yaml.read(chunk, report.name, tools.limits, tools.kinds.wanted)
        if tree is None:
            return chunk.text
        form = _TextForm(tree, report.name)
        render_document(form, 0, tools, seen, report)
    except yaml.Templated as error:
        where = f"{report.name}:{error.line}"
        report.findings.append(Finding.of("templated-document", f"left as it is: {error.reason}", where, "render the template first"))
        return chunk.text
    except (TooManyPods, yaml.Oversized) as error:
        raise ManifestTooLarge(report.name, "aliases inside aliases lead to too many values", chunk.line) from error
    return chunk.text[: len(chunk.text) - len(tree.source)] + form.text


@contextlib.contextmanager
def collector_paused() -> Generator[None, None, None]:
    """No garbage collection while documents' events come and go: they are many, and none of them is in a cycle."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _TextForm:
    """A document's tree and, after :meth:`edit`, its new text."""

    def __init__(self, tree: yaml.Tree, name: str) -> None:
        self.reader = tree
        self.text = tree.source
        self._name = name
        self._places: dict[Path, str] = {}

    def where(self, pod: FoundPod[int], path: Path) -> str:
        found = self._places.get(path)
        if found is None:
            tree = self.reader
            line = tree.line_of_node(tree.trail(path)[-1])
            found = self._places[path] = f"{self._name}:{line} {pod.object_name} {path_text(path)}"
        return found

    def repeated_key(self, pod: FoundPod[int]) -> str | None:
        tree = self.reader
        if not tree.repeated:
            return None
        trail = {tree.resolve(node) for node in tree.trail(pod.path)}
        first = tree.resolve(pod.node)
        return next((key for node, key in tree.repeated.items() if node in trail or first <= node <= tree.end(first)), None)

    def before(self, path: Path) -> str:
        return self.reader.text(self.reader.trail(path)[-1]) or ""

    def edit(self, groups: Sequence[Sequence[Edit]]) -> Collection[int]:
        edited = yaml.edit(self.reader, groups, f"{self._name}:{self.reader.line}")
        self.text = edited.text
        return edited.refused
