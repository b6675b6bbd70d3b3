"""The end of a study: its best trial as a file, trained anew and tested, and its report.

Imports `ask` and `workers`.
"""
