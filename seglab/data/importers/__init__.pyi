from .opening import declared_options as declared_options
from .opening import import_dataset as import_dataset
from .opening import open_dataset as open_dataset
from .opening import resolve_options as resolve_options
