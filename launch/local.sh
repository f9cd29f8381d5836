#!/usr/bin/env bash
# N processes of one run on this machine, over the loopback interface.
#
#   launch/local.sh 2 --config=configs/quickstart.py --workdir=runs
#
# Ends with 0 when all of them do. When one ends otherwise, so do the others, and its exit code is the script's. Ctrl-C
# and SIGTERM go to all of them: they save and end with 75, and the same command continues. Lines begin with the number of
# their process. One process by itself uses all the GPUs of a machine: this is for CPUs, and for trying things out.
#
#   PYTHON  the interpreter (default: python)
#   MODULE  what is run (default: jaxticket.main; jaxticket.sweep for a sweep)
#   PORT    where the processes meet (default: a free one)
#   GRACE   seconds until the others are killed when one has failed (default: 5), or has been stopped (ten times that)
set -uo pipefail

python=${PYTHON:-python}
grace=${GRACE:-5}
count=${1:-}
if ! [[ $count =~ ^[1-9][0-9]*$ ]] || [ $# -lt 2 ]; then
  echo "usage: launch/local.sh N --config=FILE.py [...]; N: how many processes, from 1" >&2
  exit 2
fi
shift
port=${PORT:-$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')} ||
  exit 2
export JAX_COORDINATOR_ADDRESS=127.0.0.1:$port JAX_NUM_PROCESSES=$count

pids=() readers=() signals=0 passed_on=0
trap 'signals=$((signals + 1))' INT TERM HUP

pipes=$(mktemp -d)
trap 'rm -rf "$pipes"' EXIT
for ((i = 0; i < count; i++)); do
  mkfifo "$pipes/$i"
  # Signals to the whole group must not end what still has to show the last lines.
  (trap '' INT TERM HUP && exec sed -u "s/^/[$i] /") <"$pipes/$i" &
  readers+=($!)
  JAX_PROCESS_ID=$i "$python" -u -m "${MODULE:-jaxticket.main}" "$@" >"$pipes/$i" 2>&1 &
  pids[i]=$!
done

status=0 deadline=0
while [ ${#pids[@]} -gt 0 ]; do
  if [ "$signals" -gt "$passed_on" ]; then # the first time as a request, then for good
    kill "-$([ "$passed_on" = 0 ] && echo TERM || echo KILL)" "${pids[@]}" 2>/dev/null
    passed_on=$signals
  fi
  for i in "${!pids[@]}"; do
    kill -0 "${pids[i]}" 2>/dev/null && continue
    wait "${pids[i]}"
    code=$?
    unset "pids[i]"
    [ "$code" = 0 ] && continue
    if [ "$code" != 75 ]; then echo "process $i of $count ended with exit code $code" >&2; fi
    if [ "$status" = 0 ]; then
      status=$code
      deadline=$((SECONDS + grace * (code == 75 ? 10 : 1)))
    fi
  done
  if [ "$deadline" -gt 0 ] && [ "$SECONDS" -ge "$deadline" ] && [ ${#pids[@]} -gt 0 ]; then
    kill -KILL "${pids[@]}" 2>/dev/null
  fi
  sleep 0.1
done
# A grandchild may keep a pipe open: the last lines are waited for, but not forever.
for ((i = 0; i < 20; i++)); do
  kill -0 "${readers[@]}" 2>/dev/null || break
  sleep 0.1
done
kill -KILL "${readers[@]}" 2>/dev/null
exit "$status"
