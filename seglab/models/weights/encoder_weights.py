"""Pretrained weights for an encoder, and a report of what the file gave and what it did not.

Loading with `strict=False` hides the wrong file: nothing fits, nothing is said, training starts
from noise. Here every tensor is accounted for, and a file that fits less than half is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from seglab.core.errors import CheckpointError, ConfigError
from seglab.models.weights.hub import quick_hub
from seglab.models.weights.weight_files import read_torch_file, why_unreadable

logger = logging.getLogger(__name__)

IMAGENET = "imagenet"
_SUFFIXES = (".safetensors", ".pth", ".pt")
_RGB = 3
# Counters of batches: copied where there are any, but in no old file and read by no forward pass,
# so they say nothing of whether a file fits.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What happened to each tensor of an encoder or model and of the weight file, batch counters aside.

    Args:
        source: The file, or `imagenet`.
        loaded: Tensors that were filled.
        missing: Tensors the file does not have; they keep their random values.
        unexpected: Tensors of the file that none asked for; of an encoder's file the classifier, as a
            rule, and stages beyond the encoder's depth.
        mismatched: Tensors of another shape than the file's, with both shapes.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def total(self) -> int:
        """Tensors of the encoder or model."""
        return len(self.loaded) + len(self.missing) + len(self.mismatched)

    @property
    def fits(self) -> bool:
        """Whether at least half of them were filled; of the wrong file a few are, by chance."""
        return 2 * len(self.loaded) >= self.total

    def summary(self) -> str:
        """Return one line with counts and the first few names of what did not fit."""
        parts = [f"{len(self.loaded)} of {self.total} tensors loaded from {self.source}"]
        for title in ("missing", "mismatched", "unexpected"):
            names = getattr(self, title)
            if names:
                more = ", ..." if len(names) > 4 else ""
                parts.append(f"{len(names)} {title} ({', '.join(names[:4])}{more})")
        return "; ".join(parts)


def read_state_dict(
    path: Path, key: str = "model.encoder_weights", others: str = f"'{IMAGENET}', null"
) -> dict[str, Tensor]:
    """Read a weight file without running any code in it.

    Args:
        path: `.safetensors`, or `.pth`/`.pt` holding a state dict, alone or under `state_dict` or
            `model`. A `module.` before every name (data parallel training) is taken off.
        key: The setting that names the file, for messages.
        others: What else the setting takes, for messages.

    Raises:
        ConfigError: No such file, another suffix, or content that is no state dict.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(
            f"{key}: expected {others} or a file ending in {', '.join(_SUFFIXES)}; got '{path}'"
        )
    if not path.exists():
        raise ConfigError(f"{key}: there is no file '{path}'")
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = read_torch_file(path)
    except CheckpointError as error:
        raise ConfigError(f"{key}: {error}") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise ConfigError(
            f"{key}: {path} is not a readable checkpoint: {why_unreadable(path, error)}"
        ) from error
    state = _unwrap(content)
    if not state:
        held = f"keys {', '.join(map(str, list(content)[:8]))}" if isinstance(content, dict) else ""
        raise ConfigError(
            f"{key}: '{path}' holds no tensors by name but {held or type(content).__name__}"
        )
    return state


def _unwrap(content: object) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        return {}
    state = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def load_encoder_weights(
    encoder: nn.Module,
    weights: str,
    encoder_name: str,
    fetch: Callable[[], Mapping[str, Tensor]],
    rename: Mapping[str, str] | None = None,
    published: str = "",
) -> LoadReport:
    """Fill an encoder with pretrained weights, in place.

    A first convolution of other than three input channels is adapted as timm does: summed over
    RGB for grey, else repeated and rescaled.

    Args:
        encoder: The encoder to fill.
        weights: `imagenet`, or a weight file in timm's key layout.
        encoder_name: Name for messages.
        fetch: Returns the published weights; called for `imagenet` only.
        rename: Encoder tensor -> name in the file, where no rule finds it.
        published: What `fetch` fetches, as the hub calls it.

    Raises:
        ConfigError: The weights cannot be fetched or read, or fewer than half of the encoder's
            tensors fit.
    """
    if weights == IMAGENET:
        state = _fetched(encoder_name, fetch, published)
    else:
        state = read_state_dict(Path(weights).expanduser())
    report = copy_weights(encoder, state, weights, rename)
    if not report.fits:
        raise ConfigError(
            f"model.encoder_weights: these are not the weights of '{encoder_name}'; "
            f"{report.summary()}"
        )
    level = logging.WARNING if report.missing or report.mismatched else logging.INFO
    logger.log(level, "encoder %s: %s", encoder_name, report.summary())
    return report


def _fetched(
    encoder_name: str, fetch: Callable[[], Mapping[str, Tensor]], published: str
) -> Mapping[str, Tensor]:
    with quick_hub() as silence:
        try:
            return fetch()
        # The hub's client raises errors of several HTTP libraries; each means the same to the user.
        except Exception as error:
            first = (str(error).strip() or repr(error)).splitlines()[0]
            reason = silence or f"{type(error).__name__}: {first}"
            file = f"its model.safetensors ({published} on the hub)" if published else "their file"
            raise ConfigError(
                f"model.encoder_weights: the '{IMAGENET}' weights of '{encoder_name}' are not on this "
                f"machine and could not be fetched ({reason}). Fetch {file} where there is a network and "
                "give model.encoder_weights=FILE (.safetensors or .pth), or null to train from scratch"
            ) from error


def copy_weights(
    encoder: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    rename: Mapping[str, str] | None = None,
) -> LoadReport:
    """Copy all tensors that fit from `state` into `encoder`, in place, and report on the rest."""
    loaded, missing, mismatched = [], [], []
    used: set[str] = set()
    for name, target in encoder.state_dict().items():
        key = (rename or {}).get(name) or next((k for k in _file_names(name) if k in state), name)
        if key not in state:
            if not name.endswith(_COUNTER):
                missing.append(name)
            continue
        used.add(key)
        tensor = _fit_input(state[key], target)
        if tensor.shape != target.shape:
            mismatched.append(f"{name}: {_shape(tensor)} in the file, {_shape(target)} here")
            continue
        with torch.no_grad():
            target.copy_(tensor)
        if not name.endswith(_COUNTER):
            loaded.append(name)
    unexpected = tuple(key for key in state if key not in used and not key.endswith(_COUNTER))
    return LoadReport(source, tuple(loaded), tuple(missing), unexpected, tuple(mismatched))


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"


def _file_names(name: str) -> Iterator[str]:
    """Yield the names an encoder tensor may have in a file of timm's layout, likeliest first.

    timm's feature extractors are wrapped once or twice as `model`, and flatten one level of
    sequences: `stages.0.blocks` becomes `stages_0.blocks`.
    """
    while True:
        yield name
        first, dot, rest = name.partition(".")
        for position in (index for index, letter in enumerate(first) if letter == "_"):
            yield f"{first[:position]}.{first[position + 1 :]}{dot}{rest}"
        if first != "model":
            return
        name = rest


def _fit_input(tensor: Tensor, target: Tensor) -> Tensor:
    is_input_conv = (
        tensor.ndim == 4
        and tensor.shape != target.shape
        and tensor.shape[1] == _RGB
        and target.shape[:1] + target.shape[2:] == tensor.shape[:1] + tensor.shape[2:]
    )
    if not is_input_conv:
        return tensor
    adapted: Tensor = adapt_input_conv(target.shape[1], tensor.clone())
    return adapted
