#!/usr/bin/env bash
# What it takes a GPU to see: builds tefast for the one at hand, runs the tests of CUDA, has
# compute-sanitizer watch small calls, measures, and prints a table.
#
#   benchmarks/gpu_check.sh [OUT]    # OUT is build/gpu where it is not given
#
# OUT/gpu.json holds the measurements, OUT/*.log what each stage printed. Nothing is fetched, and
# nothing is installed but into OUT. A stage that fails does not keep later ones from running; the
# last line names those that failed, and the status is then 1. It all ends within 8 minutes.
set -uo pipefail

LIMIT=465 # seconds; what is being stopped then still has a few more
PYTHON=${PYTHON:-python3}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "${1:-$ROOT/build/gpu}" || exit 1
OUT=$(cd "${1:-$ROOT/build/gpu}" && pwd)
SITE=$OUT/site
cd "$ROOT" || exit 1
rm -f "$OUT"/*.log "$OUT/gpu.json" # so that all there is comes from this run
export PATH=$PATH:/usr/local/cuda/bin CUPY_CACHE_DIR=$OUT/cupy TRITON_CACHE_DIR=$OUT/triton
failed=()

# left KEPT: the seconds that are left, but for those kept for later.
left() { echo $((LIMIT - SECONDS - $1 > 1 ? LIMIT - SECONDS - $1 : 1)); }

# stage NAME SECONDS COMMAND...: runs it that long at most; its output goes to a file, which unlike a
# pipe nobody waits for if something it started lives on.
stage() {
  local name=$1 seconds=$2 status=0
  shift 2
  ((seconds > $(left 0))) && seconds=$(left 0)
  printf '\n== %s ==\n' "$name"
  timeout -k 5 "$seconds" "$@" >"$OUT/$name.log" 2>&1 </dev/null || status=$?
  tail -n "$((status ? 40 : 3))" "$OUT/$name.log"
  ((status == 124 || status == 137)) && echo "$name: stopped after $seconds s"
  ((status)) && failed+=("$name")
  return "$status"
}

finish() {
  if ((${#failed[@]})); then
    printf '\nFAILED: %s\n' "${failed[*]}"
    exit 1
  fi
  printf '\nall passed\n'
  exit 0
}

# No "python" without -P: it would import the source tree's tefast, which has no kernels.
stage gpu 40 "$PYTHON" -P -c '
import torch
if not torch.cuda.is_available():
    raise SystemExit("no GPU: torch sees none")
print(torch.cuda.get_device_name(), *torch.cuda.get_device_capability())' || finish
read -r major minor < <(tail -n 1 "$OUT/gpu.log" | awk '{ print $(NF - 1), $NF }')

rm -rf "$SITE"
stage build 150 "$PYTHON" -P -m pip install --disable-pip-version-check --no-cache-dir \
  --root-user-action ignore \
  --no-index --no-build-isolation --no-deps --target "$SITE" -C build-dir="$OUT/cmake" \
  -C cmake.define.TEFAST_CUDA=ON -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$major$minor-real" . ||
  finish

export PYTHONPATH=$SITE${PYTHONPATH:+:$PYTHONPATH}
stage import 30 "$PYTHON" -P -c '
import sys, tefast
if not tefast.__file__.startswith(sys.argv[1]):
    raise SystemExit(f"not the tefast that was built: {tefast.__file__}")
info = tefast.build_info()
if info["backends"]["cuda"] is not True:
    raise SystemExit(info["backends"]["cuda"])
print("tefast", tefast.__version__, "with CUDA", info["cuda"])' "$SITE" || finish

# Not the tests of the study, which need more packages and no GPU.
stage tests 90 env TEFAST_REQUIRE_CUDA=1 "$PYTHON" -P -m pytest -q -p no:cacheprovider -m cuda \
  --ignore-glob='*/test_experiment_*' --ignore-glob='*/test_rendering*' tests

export PYTHONPATH=$SITE:$ROOT/benchmarks${PYTHONPATH#"$SITE"}

# sanitize TOOL OPTIONS...: of torch's allocator, which cuts tensors out of larger pieces, an access
# past the end of one would go unseen.
sanitize() {
  local tool=$1
  if ! command -v compute-sanitizer >/dev/null; then
    printf '\n%s: there is no compute-sanitizer, so nothing was watched\n' "$tool"
    return
  fi
  stage "$tool" 45 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$@" \
    --error-exitcode 99 "$PYTHON" -P -m gpu.sanitized && return
  if grep -qi 'device not supported' "$OUT/$tool.log"; then
    echo "$tool: compute-sanitizer refuses this device, so nothing was watched"
    unset 'failed[-1]'
  fi
}

# torch tries calls that may fail, and tefast looks at the status of all of its own.
sanitize memcheck --report-api-errors no
sanitize racecheck

stage benchmarks "$(left 10)" "$PYTHON" -P -m gpu --out "$OUT/gpu.json" --seconds "$(left 50)"
if [[ -e $OUT/gpu.json ]]; then
  printf '\n'
  timeout 10 "$PYTHON" -P -m gpu.table "$OUT/gpu.json"
fi
finish
