"""Who runs the trials of a study, and where: on this machine, or as jobs of a cluster.

Imports `ask`, `ledger` and `watch`.
"""
