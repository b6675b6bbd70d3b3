"""Data: manifests, importers, synthetic scenes, the packed cache, datasets and the datamodule.

Importing this package imports nothing heavy; take the parts from their modules, for example
`from seglab.data.manifest import Manifest`.
"""
