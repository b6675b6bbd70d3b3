"""Runs each trial in a process of its own, forked from a warm server, and hears what becomes of it.

Imports no other group of the sweep.
"""
