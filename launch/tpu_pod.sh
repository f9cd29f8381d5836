#!/usr/bin/env bash
# One run on all workers of a Cloud TPU slice: asks for the slice, installs this repository, runs, gives the slice back.
#
#   NAME=tickets ZONE=us-central2-b TYPE=v4-32 SHARE=10.0.0.2:/tickets \
#     launch/tpu_pod.sh --config=configs/imp.py:model=resnet20,dataset=cifar10 --workdir=/mnt/jaxticket/runs
#
# The workers share one work folder, below /mnt/jaxticket, where the NFS share SHARE (Filestore, for instance) is mounted;
# a bucket is not enough, for it has neither locks nor atomic renames. A run that is stopped or whose slice is taken away
# goes on when this command is given again.
#
#   NAME     of the slice and of the request for it
#   ZONE     where
#   TYPE     which slice
#   SHARE    HOST:/PATH of the NFS share
#   VERSION  of the software on the workers (default: tpu-ubuntu2204-base)
#   SPOT     1 asks for a slice that may be taken away (default: 0)
#   KEEP     1 keeps the slice afterwards (default: 0)
set -euo pipefail

: "${NAME:?is not set; give the slice a name}" "${ZONE:?is not set}" "${TYPE:?is not set}" "${SHARE:?is not set}"
if [ $# = 0 ]; then
  echo "usage: NAME=... ZONE=... TYPE=... SHARE=... launch/tpu_pod.sh --config=FILE.py --workdir=/mnt/jaxticket/FOLDER" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
queued() { gcloud compute tpus queued-resources "$1" "$NAME" --zone="$ZONE" "${@:2}"; }
everywhere() { gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="$1"; }
give_back() { [ "${KEEP:-0}" = 1 ] || queued delete --force --quiet; }

if ! queued describe >/dev/null 2>&1; then
  request=(--node-id="$NAME" --accelerator-type="$TYPE" --runtime-version="${VERSION:-tpu-ubuntu2204-base}")
  if [ "${SPOT:-0}" = 1 ]; then request+=(--spot); fi
  queued create "${request[@]}"
fi
trap give_back EXIT
until state=$(queued describe --format='value(state.state)') && [ "$state" = ACTIVE ]; do
  case $state in
    FAILED | SUSPENDED | SUSPENDING)
      echo "the request for $NAME is $state" >&2
      exit 1
      ;;
  esac
  echo "waiting for $NAME: $state"
  sleep "${POLL:-30}"
done

tar --exclude-vcs --exclude=.venv --exclude=.cache --exclude=./runs -czf "/tmp/$NAME.tar.gz" .
gcloud compute tpus tpu-vm scp "/tmp/$NAME.tar.gz" "$NAME:" --zone="$ZONE" --worker=all
everywhere "set -e
  sudo apt-get install -y -qq nfs-common python3-venv
  sudo mkdir -p /mnt/jaxticket
  mountpoint -q /mnt/jaxticket || sudo mount -t nfs -o hard $(printf %q "$SHARE") /mnt/jaxticket
  mkdir -p jaxticket && tar -xzf $(printf %q "$NAME.tar.gz") -C jaxticket
  python3 -m venv venv
  venv/bin/pip install -q -e jaxticket 'jax[tpu]' -f https://storage.googleapis.com/jax-releases/libtpu_releases.html"
everywhere "cd jaxticket && exec ../venv/bin/python -u -m jaxticket.main $(printf '%q ' "$@")"
