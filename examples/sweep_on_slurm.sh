#!/usr/bin/env bash
# Every experiment of a sweep as a task of a Slurm array job, on a file system that all nodes see.
#
#   examples/sweep_on_slurm.sh --config=configs/train.py:model=lenet300,dataset=digits --workdir=runs
#
# The first experiment runs alone, for the others to find what they have in common with it; then all others at once, and
# at the end one job that finds everything done and writes the table of the sweep. A job that is killed may be requeued:
# it goes on where it was. Expect three lines with the ids of the jobs. PYTHON names the interpreter, SBATCH_OPTIONS what
# the jobs need, such as `--partition=gpu --gres=gpu:1 --time=2:00:00`.
set -euo pipefail

python=${PYTHON:-python}
read -ra options <<<"${SBATCH_OPTIONS:-}"
count=$("$python" -m jaxticket.sweep "$@" --count)
logs=${LOGS:-logs}
mkdir -p "$logs"

# Slurm runs a copy of the script from elsewhere, so each job is the command itself.
submit() { # NAME DEPENDENCY ARRAY INDEX-FLAG ARGUMENTS...
  local name=$1 dependency=$2 array=$3 index=$4
  shift 4
  local command
  command=$(printf '%q ' "$python" -m jaxticket.sweep "$@")$index
  sbatch --parsable --requeue --open-mode=append --job-name="$name" --output="$logs/%x-%j.log" \
    ${dependency:+--dependency="$dependency"} ${array:+--array="$array"} "${options[@]}" --wrap="exec $command"
}

first=$(submit sweep-first "" "" "--index=0" "$@")
echo "first   $first"
last=$first
if [ "$count" -gt 1 ]; then
  last=$(submit sweep-others "afterok:$first" "1-$((count - 1))" '--index=$SLURM_ARRAY_TASK_ID' "$@")
  echo "others  $last ($((count - 1)) tasks)"
fi
echo "table   $(submit sweep-table "afterok:$last" "" "" "$@")"
