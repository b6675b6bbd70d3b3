"""Parts of one's own: anything importable by `_target_`, from your package or a file beside you.

What each kind must offer. A class is called with its options and the object is used; a function *is*
the part, its first arguments are those of the call and the others its options (a function for a model
or a callback makes it, as a class does). Options are checked against signature and type hints, or
against what `seglab.core.parts.components.component` declares for the target.

- `model`: a `torch.nn.Module` from float `(B, in_channels, H, W)` to logits `(B, num_classes, H, W)`.
  It is given `num_classes` and, if its signature takes it, `in_channels`. What cannot be known of it
  stands under `facts`, see `seglab.models.options.ModelFacts`.
- `loss_term`: `loss(logits, mask)`, a scalar; `mask` int64 `(B, H, W)` with `ignore_index` where nothing
  counts. It is given `ignore_index`, `class_weights` (float `(C,)` or None) and `num_classes` if its
  signature takes them. It counts as a loss of the whole batch, unless its attribute
  `is_mean_over_images` is true.
- `optimizer`: a `torch.optim.Optimizer` class, called with our parameter groups.
- `scheduler`: a class of torch's `LRScheduler`, called with the optimizer and stepped after each
  optimizer step (`ReduceLROnPlateau`: after each validation); it is given `total_steps` and
  `steps_per_epoch` if its signature takes them.
- `importer`: `read(root) -> ImportedFiles`, see `seglab.data.build`.
- `augment_step`: `step(image, mask, rng) -> (image, mask)` on one crop, uint8 `(h, w, 3)` and `(h, w)`,
  see `seglab.augment.steps`. It is given `ignore_index` if its signature takes it.
- `metric`: `score(confusion) -> float` over the int64 matrix `(C, C)` of a split, rows = target; or a
  torchmetrics `Metric` with `update(pred_mask, mask)`. It is given `num_classes` and `ignore_index` if
  its signature takes them.
- `callback`: a Lightning `Callback`.
- `predictor`: `predict(predictor, image, mask_size) -> logits` around the model seen whole or by
  windows, see `seglab.inference.predictor`; a class is made with that predictor and called with the
  other two. It is given `num_classes` if its signature takes it.
- `sampler`, `pruner`: Optuna's. `conditional`: `space(trial, values)`, see `seglab.sweep.ask.space`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind of part.

    Attributes:
        title: What to call it.
        base: Class that those of the libraries inherit; empty: the libraries have none.
        homes: Packages whose classes of this kind need not be named.
        given: Arguments that seglab gives by name, if the signature takes them.
        makes: Whether a function makes the part, as a class does, rather than being it.
        called_with: Number of arguments of the call; a function's options come after them.
        made_with: Number of arguments that a class is given before its options.
    """

    title: str
    base: str = ""
    homes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    makes: bool = False
    called_with: int = 0
    made_with: int = 0

    def positional(self, found: Any) -> int:
        """Return how many arguments are given by position where `found` is first called."""
        return self.made_with if inspect.isclass(found) or self.makes else self.called_with


_MODULE, _OPTUNA = "torch.nn.Module", ("optuna",)
_SCHEDULER = "torch.optim.lr_scheduler.LRScheduler"
KINDS: dict[str, Kind] = {
    "model": Kind("model", _MODULE, ("torch.nn",), ("num_classes", "in_channels"), makes=True),
    "loss_term": Kind(
        "loss",
        _MODULE,
        ("torch.nn",),
        ("ignore_index", "class_weights", "num_classes"),
        called_with=2,
    ),
    "optimizer": Kind(
        "optimizer", "torch.optim.Optimizer", ("torch.optim",), makes=True, made_with=1
    ),
    "scheduler": Kind(
        "scheduler",
        _SCHEDULER,
        ("torch.optim",),
        ("total_steps", "steps_per_epoch"),
        makes=True,
        made_with=1,
    ),
    "importer": Kind("importer", called_with=1),
    "augment_step": Kind("augmentation step", given=("ignore_index",), called_with=3),
    "metric": Kind(
        "metric",
        "torchmetrics.Metric",
        ("torchmetrics",),
        ("num_classes", "ignore_index"),
        called_with=1,
    ),
    "predictor": Kind("predictor", given=("num_classes",), called_with=3, made_with=1),
    "callback": Kind("callback", "pytorch_lightning.Callback", ("pytorch_lightning",), makes=True),
    "sampler": Kind("sampler", "optuna.samplers.BaseSampler", _OPTUNA, makes=True),
    "pruner": Kind("pruner", "optuna.pruners.BasePruner", _OPTUNA, makes=True),
    "search_part": Kind("part of a search", "", ("optuna.samplers", "optuna.pruners"), makes=True),
    "conditional": Kind("function", called_with=2),
}
