"""How much is read, and for how long."""

from __future__ import annotations

import attrs

_MIB = 1024 * 1024
_at_least_one = attrs.validators.ge(1)


@attrs.frozen(kw_only=True)
class Limits:
    """How many bytes of an answer are read at most, and for how long; more is an error. The sizes are those of the OCI tools."""

    manifest: int = attrs.field(default=4 * _MIB, validator=_at_least_one)
    """Of a manifest or an index, read or written; also of one page of tags."""
    config: int = attrs.field(default=4 * _MIB, validator=_at_least_one)
    """Of a blob that is read as a whole, such as an image's configuration."""
    blob: int = attrs.field(default=64 * 1024 * _MIB, validator=_at_least_one)
    """Of a blob that is streamed."""
    token: int = attrs.field(default=128 * 1024, validator=_at_least_one)
    """Of a token server's answer."""
    error_body: int = attrs.field(default=64 * 1024, validator=_at_least_one)
    """Of an error answer; what is beyond is not read, and that is no error."""
    tag_pages: int = attrs.field(default=1000, validator=_at_least_one)
    """Pages of a tag list, of at most 1,000 tags each."""
    longest_answer: float = attrs.field(default=120.0, validator=attrs.validators.gt(0))
    """Seconds spent waiting for one answer in all, beyond those that its bytes take at ``slowest_answer``."""
    slowest_answer: int = attrs.field(default=1024, validator=_at_least_one)
    """Bytes per second: an answer that drips more slowly is given up after ``longest_answer``."""
