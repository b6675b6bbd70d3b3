"""`seglab data` for faults: find them, decide, carry out, compare, undo."""
