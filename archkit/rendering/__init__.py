"""Manifests in which every pod can only land where its images run.

:class:`AffinityRenderer` pins built images, writes node affinity, narrows what is there and reports what contradicts.
Text is edited, not rewritten: what no edit touches is the same bytes. The decisions are in :mod:`archkit.planning`
(``kinds``, ``images``, ``pods``, ``affinity``, ``placement``), the text editor in :mod:`archkit.adapters.yaml`.
"""

from archkit.planning.placement import PodPlacement as PodPlacement
from archkit.rendering.renderer import AffinityRenderer as AffinityRenderer
from archkit.rendering.results import Change as Change
from archkit.rendering.results import RenderedObjects as RenderedObjects
from archkit.rendering.results import Rendering as Rendering
