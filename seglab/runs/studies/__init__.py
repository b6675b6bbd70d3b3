"""Studies: trials as one storage file, with the journal and the lock that make it safe."""
