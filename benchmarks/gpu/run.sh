#!/usr/bin/env bash
# Measure everything on one GPU: benchmarks/gpu/run.sh [FOLDER] [--small]
# A stage whose JSON is in the folder is left out, so that a run that was cut off goes on where it stopped. PYTHON names
# the interpreter; STAGES some of the stages. Needs no network once pip install -e ".[cuda12]" has run.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-results/gpu}"
small="${2:-}"
python="${PYTHON:-python}"
mkdir -p "$folder"
export PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}"
"$python" -m neomflex_jax doctor | tee "$folder/doctor.txt"
for stage in ${STAGES:-flows steps gradient sac seeds memory}; do
    if [ -e "$folder/$stage.json" ]; then
        echo "$stage: done before"
        continue
    fi
    echo "$stage"
    "$python" "$here/stages.py" "$stage" --output "$folder/$stage.json" ${small:+"$small"} || echo "$stage: failed; it is tried again by another call"
done
"$python" "$here/table.py" "$folder"
