"""One further process of a training on several devices: `python -m seglab.experiment.rank RUN_DIR`.

Started by `seglab.engine.device.ranks`; not a command for people.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from seglab.experiment.train import fit_rank


def main() -> int:
    """Take part in the training whose record is in the folder given."""
    run_dir = Path(sys.argv[1])
    # Rank 0 has the same to say of data and models; of the step each has its own.
    for name in ("data", "models", "experiment"):
        logging.getLogger(f"seglab.{name}").setLevel(logging.ERROR)
    fit_rank(run_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
