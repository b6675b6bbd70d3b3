"""Which bands of the images a run sees, and what it knows of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seglab.augment import AugmentSpec, require_band_steps
from seglab.core.bands import Bands
from seglab.core.errors import ConfigError, DataError
from seglab.data.bands.statistics import choose_bands, fit_bands, layout_of
from seglab.data.loading.cache import PackedCache
from seglab.data.loading.store import SampleStore
from seglab.data.loading.streamed import StreamedSamples
from seglab.data.manifest import Manifest
from seglab.experiment.prepare.resolved import resolved

_RGB = (1, 2, 3)


def bands_to_read(cfg: DictConfig, manifest: Manifest) -> tuple[int, ...] | None:
    """Return the numbers of the bands to read; None to read RGB or grey.

    Raises:
        ConfigError: There are no such bands, or `model.in_channels` says another number of them.
    """
    numbers = choose_bands(resolved(cfg.data.get("bands")), manifest)
    if numbers is None:
        if cfg.data.get("display_bands") is not None:
            raise ConfigError(
                f"data.display_bands: {manifest.name} is read as RGB; choose bands with data.bands"
            )
        return None
    channels, shown = cfg.model.get("in_channels"), resolved(cfg.data.get("display_bands")) or ()
    if channels not in (None, len(numbers)):
        raise ConfigError(
            f"model.in_channels: the images of {manifest.name} are read as {len(numbers)} bands, got "
            f"{channels}; leave it null, it follows the data (or choose fewer with data.bands)"
        )
    if not {*shown} <= {*numbers}:
        raise ConfigError(
            f"data.display_bands: expected three of the bands that are read, {list(numbers)}; "
            f"got {list(shown)}"
        )
    return numbers


def num_channels(cfg: DictConfig, manifest: Manifest) -> int:
    """Return the channels a model of this data gets."""
    numbers = bands_to_read(cfg, manifest)
    return len(numbers) if numbers else cfg.model.get("in_channels") or len(_RGB)


def open_cache_of(cfg: DictConfig, manifest: Manifest) -> SampleStore:
    """Return the pixels of a whole data set as `cfg` reads it.

    Files by URL are read when they are asked for; others are decoded once, where they were not yet.
    """
    image_size = tuple(cfg.data.image_size) if cfg.data.image_size else None
    channels = cfg.model.get("in_channels") or len(_RGB)
    bands = bands_to_read(cfg, manifest)
    if manifest.is_remote:
        return StreamedSamples(manifest, image_size, channels, bands)
    cache_dir = Path(cfg.paths.cache_dir).expanduser()
    return PackedCache.open(manifest, cache_dir, image_size, channels, bands=bands)


def fit_bands_of(cfg: DictConfig, manifest: Manifest, cache: SampleStore) -> Bands | None:
    """Return the bands of a data set with their statistics over its training split alone.

    None for RGB and grey of 8 bits, also where `data.bands` names red, green and blue: they are
    normalised as the encoder was pretrained.
    """
    if cache.bands is None:
        return None
    if cache.bands == _RGB and cache.dtype == "uint8" and layout_of(manifest) is None:
        return None
    rows = cache.rows(manifest.split("train")["sample_id"])
    bands = fit_bands(cache, rows, cache.bands, resolved(cfg.data.get("display_bands")))
    require_band_steps(AugmentSpec.read(resolved(cfg.augment), "augment"), bands)
    return bands


def recorded_bands(content: Mapping[str, Any]) -> Bands | None:
    """Return what a run recorded of the bands it was trained on; None for RGB and grey."""
    return Bands.from_dict(content["bands"]) if content.get("bands") else None


def require_same_bands(trained: Bands | None, cache: SampleStore, name: str) -> None:
    """Refuse images that hold something else than those a model was trained on.

    Raises:
        DataError: Other types of values, or bands for a model of RGB.
    """
    own = f"{len(trained.numbers)} of {trained.dtype}" if trained else "RGB or grey of 8 bits"
    rgb = cache.bands is None or (cache.bands == _RGB and cache.dtype == "uint8")
    found = "RGB or grey" if cache.bands is None else f"{cache.channels} of {cache.dtype}"
    fits = (
        rgb
        if trained is None
        else (cache.channels == len(trained.numbers) and cache.dtype == trained.dtype)
    )
    if not fits:
        raise DataError(
            f"the run was trained on other bands ({own}) than {name} holds ({found}); data.bands "
            "chooses the bands that correspond"
        )
