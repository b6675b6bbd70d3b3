"""Which trials a study has, which controller runs each of them, and how they ended.

All of it is in the storage of the study, where controllers of many machines meet. Imports `ask`.
"""
