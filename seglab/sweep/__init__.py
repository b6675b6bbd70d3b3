"""Sweeps: studies of many trials on workers that pull the next one as soon as they are free.

`run` does what `-m` asks for. Below it, from the top down: `conclude` (what a study found), `workers`
(who runs trials, and where), `ledger` (which trials there are and whose they are), `watch` (what
people see) and `ask` (what is tried). Each trial has a process of its own: `seglab.engine.process`.
"""
