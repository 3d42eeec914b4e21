"""YAML as an API server reads the body of a request: one document, typed, with the keys that stand twice."""

from __future__ import annotations

from typing import Any

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 (``on`` is true), but dates stay texts and keys that stand twice are remembered; the last one counts."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    self.repeated.append(key.value)
                seen.add(key.value)
        made = super().construct_mapping(node, deep=deep)
        return {_key(key): value for key, value in made.items()}


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


_Loader.yaml_implicit_resolvers = {
    start: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_api_yaml(text: str) -> tuple[Any, list[str]]:
    """The document, and the keys that stand twice in one mapping of it.

    Raises:
        ValueError: Not YAML, or several documents; says where.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.repeated
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    finally:
        loader.dispose()


def load_api_documents(text: str) -> list[Any]:
    """The documents of a stream, typed as :func:`load_api_yaml` types one; empty ones are left out.

    Raises:
        ValueError: Not YAML; says where.
    """
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
