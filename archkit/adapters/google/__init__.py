"""Google Cloud over its REST APIs: signing in, builds, objects and logs.

:mod:`.signin` is the only importer of google-auth; :mod:`.api` sends authorized requests, :mod:`.builds`,
:mod:`.storage` and :mod:`.logs` say which.
"""
