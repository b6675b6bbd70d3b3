"""What W&B is told of a run; all of seglab that imports wandb while a model trains."""
