from .lr_scaling import LearningRates as LearningRates
from .optimizers import build_optimizer as build_optimizer
from .optimizers import parameter_groups as parameter_groups
from .options import LrScaling as LrScaling
from .schedulers import SCHEDULES as SCHEDULES
from .schedulers import ScheduledLR as ScheduledLR
from .schedulers import build_scheduler as build_scheduler
