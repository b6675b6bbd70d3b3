"""One step of training and one of evaluation: batches, micro-batches, losses, counts."""
