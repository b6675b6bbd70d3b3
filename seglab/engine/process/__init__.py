"""Runs each trial or fold in a process of its own, forked from a warm server; hears what becomes of it."""
