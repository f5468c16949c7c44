#!/usr/bin/env bash
# Everything that a GPU shows, in one run: benchmarks/gpu.sh [--dry-run] [FOLDER]
#
# Table 1 in float16 and bfloat16, the package against the plain implementation, the proxy attention and SAM against
# theirs, chapter C at full size with random weights, and the tests that need a GPU. FOLDER (results/<device>) is written
# whole or not at all. With --dry-run the same commands run at sizes for a CPU. It has not been run on a GPU yet.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
dry=; [ "${1:-}" = "--dry-run" ] && { dry=1; shift; }
device=cuda; [ -n "$dry" ] && device=cpu
target=${1:-results/$("$python" -c "import torch; print('dry-run' if '$device' == 'cpu' else torch.cuda.get_device_name().lower().replace(' ', '-'))")}
[ -e "$target" ] && { echo "$target exists already; move it away first" >&2; exit 1; }
mkdir -p "$(dirname "$target")"
work=$(mktemp -d "$(dirname "$target")/.gpu.XXXXXX")
trap 'rm -rf "$work"' EXIT

step() {  # step NAME COMMAND...: what it prints becomes NAME.json
    echo "$(date +%T) $1" >&2
    "$python" "${@:2}" > "$work/$1.json"
}
if [ -n "$dry" ]; then
    small=(--device cpu --threads 1 --repeats 1)
    step table_1_float32 benchmarks/table_1.py "${small[@]}" --rows CLIP --size 64 --batch 1
    step image_speed benchmarks/image_speed.py "${small[@]}" --vfm dino_vits16 --size 64
    step head_memory benchmarks/part_speed.py head "${small[@]}" --side 16
else
    for dtype in float16 bfloat16; do
        step "table_1_$dtype" benchmarks/table_1.py --device cuda --dtype "$dtype"
        step "image_speed_$dtype" benchmarks/image_speed.py --device cuda --dtype "$dtype"
        step "image_speed_batch_$dtype" benchmarks/image_speed.py --device cuda --dtype "$dtype" --batch 9
        step "head_memory_$dtype" benchmarks/part_speed.py head --device cuda --dtype "$dtype"
    done
    step sam_speed benchmarks/part_speed.py sam --device cuda
    "$python" -m proxyclip run C --output "$work/C.ipynb" -p output_dir "$work" -p profile paper -p device cuda -p dtype float16 \
        -p clip_weights random -p vfm_weights random
    "$python" -m pytest -q tests/test_gpu.py | tee "$work/tests.txt"
fi
mv "$work" "$target"
trap - EXIT
chmod 755 "$target"
echo "written: $target"
