#!/usr/bin/env bash
# One check of a GPU: tests, benchmark, bars, report; see scripts/gpu_check.py --help.
set -eu
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu_check.py" "$@"
