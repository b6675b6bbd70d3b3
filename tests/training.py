"""Words of a training small enough to run many times: a tiny synthetic set, SegNet-Basic with 4 channels."""

from __future__ import annotations

TINY = [
    "data=synth",
    "data.options.num_images=24",
    "data.options.image_size=[48,64]",
    "data.options.frames_per_group=2",
    "data.crop_size=[48,64]",
    "data.batch_size=4",
    "model=segnet_basic",
    "model.width=4",
    "model.kernel_size=3",
    "trainer.num_workers=0",
    "trainer.num_threads=1",
    "callbacks.progress=off",
]
