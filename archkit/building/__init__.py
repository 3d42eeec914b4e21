"""Building: artifacts in, verified images out.

``service`` has :func:`build`; ``session`` plans and runs builds in an open sink; ``context`` is what builders get;
``engine`` puts images into the local engine.
"""

from archkit.building.calls import builder_of as builder_of
from archkit.building.service import build as build
from archkit.building.service import refuse_without_place as refuse_without_place
from archkit.building.session import BuildSession as BuildSession

__all__ = ["BuildSession", "build", "builder_of", "refuse_without_place"]
