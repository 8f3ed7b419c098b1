"""Data sets, one file each.

An adapter is a module with ``NAME``, ``describe`` (one line for people), ``detect(root) -> bool`` (cheap, by file
names) and ``open_logs(root, options) -> LogSet``. Adding one: write the file, list it in ``ADAPTERS`` in
``sceneminer.data.open``, add a small raw tree of it to the contract test.
"""
