"""Applying manifests to a cluster, and waiting until what they ask for is there.

:mod:`.service` is the front, :mod:`.checking` asks the server what it would do, :mod:`.work` does it, :mod:`.waiting` follows
workloads; :mod:`.refusing` makes errors of refusals, :mod:`.progress` tells of steps and stops them;
:mod:`.api` finds the paths of kinds and reads answers, :mod:`.results` are the values that callers get.
"""

from archkit.applying.results import Applied as Applied
from archkit.applying.results import AppliedObject as AppliedObject
from archkit.applying.results import Rollout as Rollout
from archkit.applying.service import Applier as Applier
from archkit.applying.service import read_documents as read_documents
