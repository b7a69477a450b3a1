"""What a core image or PEX holds beside the model: its interface, and ``mpbuild-run``.

Needs the standard library and NumPy, nothing of the builder.
"""
