from .contract import Contract as Contract
from .importer import ImporterContract as ImporterContract
from .loss import LossContract as LossContract
from .model import ExportContract as ExportContract
from .model import ModelContract as ModelContract
