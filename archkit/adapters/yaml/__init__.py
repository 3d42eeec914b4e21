"""YAML text: read with places, edit without touching anything else. The only importer of PyYAML and ruamel.yaml.

A text is cut into documents (:mod:`.documents`), one pass of libyaml's parser gives a document's events with their
offsets (:mod:`.events`), a :class:`~.tree.Tree` walks them, and :mod:`.editor` turns edits of the data into splices
of the text, written by :mod:`.emit`. Nothing is ever dumped: what no edit touches is the same bytes.
"""

from archkit.adapters.yaml.documents import Chunk as Chunk
from archkit.adapters.yaml.documents import ManifestLimits as ManifestLimits
from archkit.adapters.yaml.documents import split as split
from archkit.adapters.yaml.documents import split_stream as split_stream
from archkit.adapters.yaml.editor import Edited as Edited
from archkit.adapters.yaml.editor import EditError as EditError
from archkit.adapters.yaml.editor import edit as edit
from archkit.adapters.yaml.events import Templated as Templated
from archkit.adapters.yaml.events import read as read
from archkit.adapters.yaml.tree import Oversized as Oversized
from archkit.adapters.yaml.tree import Tree as Tree
