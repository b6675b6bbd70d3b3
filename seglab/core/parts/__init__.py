"""What a `_target_` may name: the registry of our components, and parts of one's own."""
