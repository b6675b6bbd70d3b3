"""How good is the model now? Estimated from its own probabilities, and measured where labels arrived."""
