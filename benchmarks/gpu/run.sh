#!/usr/bin/env bash
# Measure everything on one GPU, in eight minutes at most: benchmarks/gpu/run.sh [FOLDER] [--small]
# Each stage has its seconds, after which it is ended; they add up to less than 480.
# A stage whose JSON is in the folder is left out, so that a run that was cut off goes on where it stopped. PYTHON names
# the interpreter; STAGES some of the stages. Needs no network once pip install -e ".[cuda12]" has run.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-results/gpu}"
small="${2:-}"
python="${PYTHON:-python}"
mkdir -p "$folder"
export PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}"
export XLA_PYTHON_CLIENT_PREALLOCATE=false  # a stage's own process and the training that it starts share the card
declare -A seconds=([device]=45 [flows]=90 [steps]=30 [gradient]=75 [sac]=130 [seeds]=40 [seeds100]=40 [memory]=8 [trace]=12)
"$python" -m neomflex_jax doctor | tee "$folder/doctor.txt"
for stage in ${STAGES:-device flows steps gradient sac seeds seeds100 memory trace}; do
    if [ -e "$folder/$stage.json" ]; then
        echo "$stage: done before"
        continue
    fi
    echo "$stage, at most ${seconds[$stage]} s"
    limit="${seconds[$stage]}"
    [ -z "$small" ] || limit=600  # a rehearsal is of what is done, not of how fast
    timeout "$limit" "$python" "$here/stages.py" "$stage" --output "$folder/$stage.json" ${small:+"$small"} ||
        echo "$stage: failed or too long; it is tried again by another call"
done
"$python" "$here/table.py" "$folder"
