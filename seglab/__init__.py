"""seglab: a research and experimentation harness for semantic segmentation.

Importing the package imports nothing heavy; take what you need from its parts, for example
`from seglab.losses import DiceLoss` or `from seglab.metrics import miou`.
"""

__version__ = "0.1.0"
