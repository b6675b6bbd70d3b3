"""What a study asks for: its plan and its search space, the samplers that choose, the settings of a trial.

Imports no other group of the sweep.
"""
