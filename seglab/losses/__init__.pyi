from .base import SegmentationLoss as SegmentationLoss
from .boundary import BoundaryLoss as BoundaryLoss
from .boundary import boundary_loss as boundary_loss
from .class_weights import (
    effective_number as effective_number,
)
from .class_weights import (
    enet as enet,
)
from .class_weights import (
    median_frequency as median_frequency,
)
from .class_weights import (
    resolve_class_weights as resolve_class_weights,
)
from .lovasz import LovaszLoss as LovaszLoss
from .lovasz import lovasz_loss as lovasz_loss
from .pixels import Pixels as Pixels
from .pixelwise import (
    CrossEntropyLoss as CrossEntropyLoss,
)
from .pixelwise import (
    FocalLoss as FocalLoss,
)
from .pixelwise import (
    OhemCrossEntropyLoss as OhemCrossEntropyLoss,
)
from .pixelwise import (
    cross_entropy as cross_entropy,
)
from .pixelwise import (
    focal_loss as focal_loss,
)
from .pixelwise import (
    ohem_cross_entropy as ohem_cross_entropy,
)
from .region import (
    DiceLoss as DiceLoss,
)
from .region import (
    JaccardLoss as JaccardLoss,
)
from .region import (
    TverskyLoss as TverskyLoss,
)
from .region import (
    dice_loss as dice_loss,
)
from .region import (
    jaccard_loss as jaccard_loss,
)
from .region import (
    tversky_loss as tversky_loss,
)
from .weighted_sum import WeightedSum as WeightedSum
