"""Annotations to manifests and back: importers of every annotation format, export, what each loses."""
