#!/usr/bin/env bash
# The kernels for TPUs and GPUs compiled to machine code, on a machine that has neither: fetches the compilers, half a
# gigabyte that is never a dependency, into a folder of their own. Where they cannot be had it says so and goes on.
# PYTHON is an interpreter that has jaxticket with the extra `dev` (default: .venv/bin/python).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=2 PIP_NO_COMPILE=1
unset PIP_CONSTRAINT
# A failure to fetch is said and passed over, a failure to compile is not.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

jax=$("$python" -c 'import jax; print(jax.__version__)')
libtpu=$("$python" - <<'EOF'
import importlib.metadata
import re

needed = [line for line in importlib.metadata.requires("jax") or [] if re.match(r"libtpu\b.*extra == .tpu.", line)]
print(needed[0].partition(";")[0].strip() if needed else "libtpu")
EOF
)
cuda="jax-cuda13-pjrt==$jax jax-cuda13-plugin==$jax nvidia-cuda-nvcc nvidia-nvvm nvidia-nvjitlink nvidia-cuda-crt"
cuda="$cuda nvidia-cuda-runtime nvidia-cuda-nvdisasm"

check() { # name, tests, packages
  local name=$1 tests=$2
  shift 2
  if ! "$python" -m pip install --no-deps --target "$work/$name" "$@" 2>"$work/$name.log"; then
    echo "NOTE: THE $name KERNELS ARE NOT COMPILED: $(grep -v WARNING "$work/$name.log" | tail -n 1)"
    return
  fi
  PYTHONPATH="$work/$name" "$python" -m pytest -q -m deep tests/kernels/test_compiled.py -k "$tests" | tail -n 5
  rm -rf "${work:?}/$name"
}
check TPU tpu "$libtpu"
# shellcheck disable=SC2086
check GPU gpu $cuda
