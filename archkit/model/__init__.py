"""Values: frozen, hashable, picklable, without any input or output.

``platform`` and ``platform_set`` say what runs where; ``reference`` and ``oci`` what an image is called and made
of; ``node`` and ``cluster`` what a cluster offers; ``build`` what a build asks and gives; ``finding`` what a
person should know.
"""
