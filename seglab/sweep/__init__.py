"""Sweeps: studies of many trials on workers that pull the next one as soon as they are free."""
