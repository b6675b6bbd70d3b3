"""What may be configured, how it is composed, and everything that can be wrong with it.

Imports no torch: a wrong word is told in a fraction of a second.
"""
