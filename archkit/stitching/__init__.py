"""Several images under one tag.

``stitcher`` has :class:`IndexStitcher`; ``results`` what it takes and gives; ``sources`` reads what is not known;
``places`` says where names lead; ``work`` goes from entries to the tag with the steps of ``storing``; ``requests``
records what is asked, and rehearses a dry run.
"""

from archkit.stitching.requests import StitchRequest as StitchRequest
from archkit.stitching.results import AnnotatedSource as AnnotatedSource
from archkit.stitching.results import Source as Source
from archkit.stitching.results import StitchedIndex as StitchedIndex
from archkit.stitching.stitcher import IndexStitcher as IndexStitcher
