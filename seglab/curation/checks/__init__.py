"""What the audit looks for: a module a matter, each declares its kinds and how they are found.

A new check is a new module here; nothing else has to know of it.
"""
