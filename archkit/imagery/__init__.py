"""What stands in a registry or a layout: shown, checked, tidied up.

``inspecting`` shows an image or index (:func:`inspect`), with the values of ``details``; ``verifying`` checks that it is
whole and true (:func:`verify`); ``tidying`` removes tags that are not wanted any more, and nothing else
(:func:`remove_tags`). ``places`` says where a reference leads.
"""

from archkit.imagery.details import ImageDetails as ImageDetails
from archkit.imagery.details import ImageEntry as ImageEntry
from archkit.imagery.inspecting import inspect as inspect
from archkit.imagery.tidying import TagRemoval as TagRemoval
from archkit.imagery.tidying import remove_tags as remove_tags
from archkit.imagery.verifying import Verification as Verification
from archkit.imagery.verifying import verify as verify

__all__ = ["ImageDetails", "ImageEntry", "TagRemoval", "Verification", "inspect", "remove_tags", "verify"]
