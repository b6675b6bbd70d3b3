"""Run records: the truth about every run, as plain files on disk."""

from seglab.runs.history import EPOCH, STEP, HistoryFile, read_history
from seglab.runs.load import load_histories, load_runs
from seglab.runs.locate import find_runs, new_run_dir
from seglab.runs.predictions import SamplePrediction
from seglab.runs.record import RunRecord

__all__ = [
    "EPOCH",
    "STEP",
    "HistoryFile",
    "RunRecord",
    "SamplePrediction",
    "find_runs",
    "load_histories",
    "load_runs",
    "new_run_dir",
    "read_history",
]
