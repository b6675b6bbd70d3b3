"""Lightning's loop around the step: its trainer, its callbacks, its checkpoints."""
