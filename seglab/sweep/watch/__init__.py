"""What a person sees while a study runs: trials, the best score, the time left.

Imports `ask`.
"""
