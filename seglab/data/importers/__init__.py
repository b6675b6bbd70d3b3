"""Importers: one function a data set layout, found by name, and the two ways to a manifest.

An importer is `import_x(root, options...) -> ImportedFiles`. It looks at names and lists; what is in
the files is checked by `seglab.data.build`. Raw data is never written to.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
