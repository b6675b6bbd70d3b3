"""What runs a model: one step, the loop around it, the device below it, W&B beside it."""
