"""The errors of objects that the server does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.adapters.kube.answers import SIGN_IN
from archkit.applying.api import grant
from archkit.errors import ApplyError, ClusterError, ClusterSignInError, FieldConflictError, ImmutableFieldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archkit.applying.checking import Checked
    from archkit.planning.refusals import Refusal


def refused_objects(cluster: str, bad: Sequence[Checked], names: Sequence[str], applied: Sequence[str]) -> ClusterError:
    """The error of objects that the server does not take.

    Args:
        cluster: Context and server.
        bad: What was refused.
        names: Every object of the call.
        applied: Those that were applied before.
    """
    refusals = [(item, item.refusal) for item in bad if item.refusal is not None]
    kinds = {refusal.kind for _, refusal in refusals}
    stands = [name for name in names if name not in applied]
    what = f"{count_of(len(bad), len(names))} refused; " + ("the rest was applied before" if applied else "nothing was applied")
    common = (cluster, what, _remedy(refusals), tuple((item.place, one.message) for item, one in refusals))
    became = (tuple(applied), tuple(stands), ())
    if "signed-out" in kinds and not applied:
        told = f"the credentials are missing, expired or not valid (HTTP 401: {refusals[0][1].message}); nothing was applied"
        return ClusterSignInError(cluster, told, SIGN_IN)
    if kinds == {"conflict"}:
        conflicts = tuple((item.label, one.manager, one.field) for item, refusal in refusals for one in refusal.conflicts)
        return FieldConflictError(*common, *became, conflicts)
    if kinds == {"immutable"}:
        fields = tuple((item.label, field) for item, refusal in refusals for field in refusal.fields)
        return ImmutableFieldError(*common, *became, fields)
    return ApplyError(*common, *became)


def count_of(some: int, all_of: int) -> str:
    """So many of all, and a verb."""
    return f"{some} of {all_of} objects {'is' if some == 1 else 'are'}"


def _remedy(refusals: Iterable[tuple[Checked, Refusal]]) -> str:
    """What to do, for each way of being refused once."""
    by_kind: dict[str, list[Checked]] = {}
    for item, refusal in refusals:
        by_kind.setdefault(refusal.kind, []).append(item)
    told: list[str] = []
    if "signed-out" in by_kind:
        return SIGN_IN
    if "conflict" in by_kind:
        told.append("leave these fields out of the manifest, or pass force=True to take them over")
    if "immutable" in by_kind:
        told.append(
            "pass replace_immutable=True to delete Pods and Jobs that no controller made and make them anew;"
            " give other objects another name, or delete them yourself"
        )
    if "forbidden" in by_kind:
        told.append(grant(item.resource.rule("get", "create", "patch") for item in by_kind["forbidden"]))
    if "busy" in by_kind:
        told.append("the server is busy; try again later")
    return "\n".join(told)
