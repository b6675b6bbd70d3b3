"""One fold in a process of its own: `python -m seglab.experiment.fold_process CV_DIR FOLD_DIR PARENT`.

Started by `seglab.experiment.cv.fold_processes`; not a command for people.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from seglab.core.text.terminal import open_console
from seglab.engine.device.slots import take_slot

# A training that is asked to stop saves a checkpoint first.
_PATIENCE_S = 30.0


def main() -> int:
    """Train the fold, or go on with it, with the configuration of the cross-validation."""
    take_slot()
    watch = threading.Thread(target=_leave_with_parent, args=(int(sys.argv[3]),), daemon=True)
    watch.start()
    # Only now: torch looks at the cores and devices it may use when it is first imported.
    from seglab.core.errors import SeglabError
    from seglab.experiment.cross_validate import train_fold
    from seglab.experiment.cv.collect import FoldRun
    from seglab.experiment.prepare.records import saved_config
    from seglab.runs import RunRecord

    record, folder = RunRecord.open(sys.argv[1]), Path(sys.argv[2])
    fold = FoldRun(folder.name.removeprefix(f"{record.run_id}-"), folder)
    cfg = saved_config(record)
    cfg.callbacks.progress = "plain"
    cfg.trainer.devices = "auto"
    try:
        train_fold(cfg, record, fold, open_console())
    except SeglabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _leave_with_parent(parent: int) -> None:
    """Save and stop when the cross-validation was killed: it will train the fold on when resumed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
