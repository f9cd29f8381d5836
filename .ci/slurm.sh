#!/usr/bin/env bash
# The Slurm scripts of launch/ on a real Slurm, started on this machine for the purpose: a run of two tasks; the same one
# told to stop, queued again and ending in the same bits; a cancelled one, which is not queued again; a sweep as an array;
# one task for each of two pretended GPUs. Needs root, for munged and slurmd. Three minutes on two cores.
#
#   PYTHON  the interpreter with jaxticket (default: .venv/bin/python)
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$(realpath -s "${PYTHON:-.venv/bin/python}")
export PYTHON JAX_PLATFORMS=cpu
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.cache/xla}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1

if [ "$(id -u)" = 0 ] && ! command -v slurmctld >/dev/null && command -v apt-get >/dev/null; then
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; } >/dev/null 2>&1 || true
fi
if [ "$(id -u)" != 0 ] || ! command -v slurmctld slurmd munged >/dev/null; then
  echo "NOTE: no Slurm can be installed and started here; launch/*.sbatch are not run"
  exit 0
fi

begun=$SECONDS
folder=$(mktemp -d /tmp/jaxticket-slurm-XXXX)
mkdir "$folder"/{state,spool,log}
export SLURM_CONF=$folder/slurm.conf
say() { printf -- '-- Slurm: %s (at %d s)\n' "$1" $((SECONDS - begun)); }
fail() {
  echo "FAILED: $1" >&2
  for file in "$folder"/*.log; do echo "== $file" && tail -n 30 "$file"; done >&2
  exit 1
}

cat >"$folder/slurm.conf" <<CONF
ClusterName=ci
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
SlurmctldPort=16817
SlurmdPort=16818
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
KillWait=5
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
echo "NodeName=localhost Name=gpu Count=2 File=/dev/tty[1-2]" >"$folder/gres.conf"
[ -e /dev/tty2 ] || echo "NodeName=localhost Name=gpu Count=2" >"$folder/gres.conf"

munged_pid=""
stop() {
  scontrol shutdown >/dev/null 2>&1 || true
  if [ -n "$munged_pid" ]; then kill "$munged_pid" 2>/dev/null || true; fi
  for _ in $(seq 50); do
    [ -e "$folder/slurmctld.pid" ] || [ -e "$folder/slurmd.pid" ] || break
    sleep 0.1
  done
  if [ -z "${KEEP:-}" ]; then rm -rf "$folder"; fi
}
trap stop EXIT
install -d -o munge -g munge -m 755 /run/munge
if [ ! -e /run/munge/munge.socket.2 ] || ! munge -n >/dev/null 2>&1; then
  runuser -u munge -- /usr/sbin/munged --force
  munged_pid=$(cat /run/munge/munged.pid)
fi
slurmctld
slurmd -N localhost
for _ in $(seq 100); do
  if sinfo -h -o %T 2>/dev/null | grep -q idle; then break; fi
  sleep 0.2
done
sinfo -h -o %T | grep -q idle || fail "no idle node: $(tail -n 5 "$folder"/log/*)"
say "a node is idle"

tiny=(--config=configs/imp.py '--config.seeds=(0,)' --config.levels=1 --config.train.epochs=6
  --config.train.batch_size=32 --config.train.checkpoint_epochs=1)
state() { scontrol show job -o "$1" | grep -o 'JobState=[A-Z]*' | cut -d= -f2; }
restarts() { scontrol show job -o "$1" | grep -o 'Restarts=[0-9]*' | cut -d= -f2; }
wait_until() { # SECONDS COMMAND...: until the command succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "waited too long for: $*"
    sleep 0.2
  done
}
is() { [ "$(state "$1")" = "$2" ]; }
is_over() { case $(state "$1") in PENDING | RUNNING | COMPLETING | CONFIGURING) return 1 ;; esac; }
has() { compgen -G "$1" >/dev/null; }
sums() { (cd "$1" && sha256sum imp-*/tickets/*/ticket.safetensors stages/*/*.safetensors); }
submit() { sbatch --parsable --output="$folder/%x-%j.log" "$@"; }

job=$(submit --job-name=whole --ntasks=2 launch/slurm.sbatch "${tiny[@]}" --workdir="$folder/whole")
wait_until 120 is_over "$job"
is "$job" COMPLETED || fail "job $job is $(state "$job")"
has "$folder/whole/imp-*/tickets/imp-1-0/ticket.json" || fail "there is no ticket"
say "two tasks found a ticket"

stopped=$(submit --job-name=stopped --ntasks=2 launch/slurm.sbatch "${tiny[@]}" --workdir="$folder/stopped")
wait_until 120 has "$folder/stopped/stages/train-*/checkpoints/[0-9]*"
scancel --signal=TERM "$stopped"
wait_until 60 is "$stopped" PENDING
[ "$(restarts "$stopped")" = 1 ] || fail "job $stopped was queued again $(restarts "$stopped") times"
grep -q "stopped, everything up to here is saved" "$folder/stopped-$stopped.log" || fail "it did not say so"
say "told to stop, saved, ended with 75, queued again"
# Slurm holds such a job back for two minutes, for the right to run it was revoked. The right to run it once more has to
# be younger than that, by the clock's seconds; more waiting is not needed.
sleep 3
scontrol update JobId="$stopped" StartTime=now >/dev/null 2>&1 || true
scontrol release "$stopped" >/dev/null 2>&1 || true

cat >"$folder/sweep.py" <<CONF
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


def get_config(argument=None):
    config = default_config("imp")
    apply_preset(config, model="lenet300", dataset="digits")
    config.train.epochs, config.train.batch_size, config.seeds = 1, 256, (0,)
    return config


def sweep():
    yield {"levels": 1}
    yield {"levels": 2}
CONF
wait_until 240 is_over "$stopped"
is "$stopped" COMPLETED || fail "job $stopped is $(state "$stopped")"
diff <(sums "$folder/whole") <(sums "$folder/stopped") || fail "the stopped run ended in other bits"
say "it went on, to the same bits"

array=$(submit --job-name=sweep --array=0-1 launch/slurm_array.sbatch --config="$folder/sweep.py" --workdir="$folder/sweep")
all_over() { [ -z "$(squeue -h -j "$1" 2>/dev/null)" ]; }
wait_until 120 all_over "$array"
has "$folder/sweep/imp-sweep-*/sweep.csv" || fail "the sweep has no table"
[ "$(find "$folder/sweep/stages" -name 'train-*' | wc -l)" = 3 ] || fail "the tasks did not share their networks"
say "two tasks of an array made a sweep, each network once"

cancelled=$(submit --job-name=cancelled launch/slurm.sbatch "${tiny[@]}" --config.train.epochs=1000 --workdir="$folder/cancelled")
wait_until 60 has "$folder/cancelled/stages/train-*"
scancel "$cancelled"
wait_until 60 is_over "$cancelled"
is "$cancelled" CANCELLED || fail "job $cancelled is $(state "$cancelled")"
say "a cancelled job stays so"

cat >"$folder/shown" <<'SHOWN'
#!/bin/sh
echo "task $SLURM_PROCID of $SLURM_NTASKS sees $CUDA_VISIBLE_DEVICES"
SHOWN
chmod +x "$folder/shown"
gpus=$(PYTHON=$folder/shown submit --job-name=gpus --gpus=2 launch/slurm.sbatch --config=any)
wait_until 60 is_over "$gpus"
for task in 0 1; do
  grep -q "task $task of 2 sees 0,1" "$folder/gpus-$gpus.log" || fail "GPUs: $(cat "$folder/gpus-$gpus.log")"
done
say "one task for each GPU"
