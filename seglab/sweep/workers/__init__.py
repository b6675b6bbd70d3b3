"""Who runs the trials of a study, and where: on this machine, or as jobs of a cluster.

Imports `ask`, `ledger`, `process` and `watch`.
"""
