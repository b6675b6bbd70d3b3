"""The composition root: turns a configuration into objects, runs them, and leaves a record."""
