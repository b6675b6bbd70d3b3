from .encoder_weights import (
    LoadReport as LoadReport,
)
from .encoder_weights import (
    load_encoder_weights as load_encoder_weights,
)
from .encoder_weights import (
    read_state_dict as read_state_dict,
)
from .encoders import EncoderChoice as EncoderChoice
from .encoders import resolve_encoder as resolve_encoder
from .freezing import find_unused as find_unused
from .freezing import freeze as freeze
from .freezing import unfreeze as unfreeze
from .normalization import Normalization as Normalization
from .segmenter import Segmenter as Segmenter
from .segnet import SegNet as SegNet
from .segnet import SegNetBasic as SegNetBasic
from .smp import (
    SmpSegmenter as SmpSegmenter,
)
from .smp import (
    allowed_options as allowed_options,
)
from .smp import (
    build_smp as build_smp,
)
