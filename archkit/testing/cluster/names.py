"""Names, labels and label values as Kubernetes takes them; each function gives what is wrong, in the API server's words."""

from __future__ import annotations

import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_RULES = {
    "subdomain": (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'example.com', regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ),
    "label": (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
        "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ),
    "dns1035": (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    ),
    "part": (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
        "'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    ),
    "value": (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ),
}


def _checked(text: str, pattern: re.Pattern[str], longest: int, rule: str, unit: str = "characters") -> list[str]:
    wrong = [f"must be no more than {longest} {unit}"] if len(text) > longest else []
    return wrong if pattern.fullmatch(text) else [*wrong, _RULES[rule]]


def subdomain(text: str) -> list[str]:
    """A name of most objects."""
    return _checked(text, _SUBDOMAIN, 253, "subdomain")


def label(text: str) -> list[str]:
    """A name of a namespace, container or port."""
    return _checked(text, _LABEL, 63, "label")


def dns_1035(text: str) -> list[str]:
    """A name of a service."""
    return _checked(text, _DNS_1035, 63, "dns1035")


def label_key(text: str) -> list[str]:
    """A key of a label, taint or node selector."""
    prefix, slash, name = text.rpartition("/")
    if slash and not prefix:
        return ["prefix part must be non-empty"]
    wrong = [f"prefix part {each}" for each in _checked(prefix, _SUBDOMAIN, 253, "subdomain", "bytes")] if slash else []
    if not name:
        return [*wrong, "name part must be non-empty", _RULES["part"]]
    return wrong + [each if each == _RULES["part"] else f"name part {each}" for each in _checked(name, _NAME_PART, 63, "part", "bytes")]


def label_value(text: str) -> list[str]:
    """A value of a label."""
    return _checked(text, _NAME_PART, 63, "value", "bytes") if text else []
