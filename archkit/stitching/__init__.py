"""Several images under one tag: :class:`IndexStitcher`, what it takes (``sources``) and what it gives."""

from archkit.stitching.sources import Source as Source
from archkit.stitching.sources import StitchedIndex as StitchedIndex
from archkit.stitching.stitcher import IndexStitcher as IndexStitcher
