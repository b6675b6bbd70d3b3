"""From manifest to batches: datasets, samplers, the packed cache and the datamodule."""
