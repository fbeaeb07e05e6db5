#!/bin/sh
# Other servers to compare with, without Docker or GPU: a real Triton server (`.peers/triton/serve
# --model-repository=DIR ...`), its load generator (`.peers/triton/perf_analyzer -m PIPELINE -i grpc -u HOST:PORT ...`)
# and mosec (`.peers/mosec/venv`).
#
#   scripts/peers.sh     builds .peers/ (about 900 MB; git does not see it)
#
# The server, its python backend and nothing else come in the nvidia-pytriton wheel (CPython 3.11 here). Its python
# backend wants numpy below 2, so it has a virtual environment of its own, with this project in it.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
home="$root/.peers/triton"
python=${PYTHON:-python3.11}
venv="$home/venv"

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    'nvidia-pytriton==0.7.0' 'numpy<2' 'nvidia-cuda-runtime-cu12'
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$root"
# What the stages of the benchmarks import.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'numpy<2' onnxruntime tokenizers

mosec="$root/.peers/mosec/venv"
[ -x "$mosec/bin/python" ] || "$python" -m venv "$mosec"
"$mosec/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" \
    mosec numpy onnxruntime tokenizers

# libb64 is not in the wheel; it needs no root to be unpacked here.
if [ ! -e "$home/lib/libb64.so.0d" ]; then
    mkdir -p "$home/lib" "$home/deb"
    (cd "$home/deb" && apt-get download libb64-0d && dpkg -x libb64-0d_*.deb .)
    find "$home/deb" -name 'libb64.so*' -exec cp -P {} "$home/lib/" \;
    rm -rf "$home/deb"
fi

# perf_analyzer comes in old wheels of the client only, and links the runtime of CUDA that is installed above.
[ -x "$home/perf/bin/perf_analyzer" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --target "$home/perf" 'tritonclient==2.50.0'

site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
server=$(find "$site/pytriton" -type d -name tritonserver | head -n 1)
stub=$(find "$server" -path '*python_backend_stubs/3.11/triton_python_backend_stub' | head -n 1)
cp "$stub" "$server/backends/python/triton_python_backend_stub"

cat > "$home/serve" <<SERVE
#!/bin/sh
# Written by scripts/peers.sh.
export LD_LIBRARY_PATH="$home/lib:$site/nvidia_pytriton.libs:$site/nvidia/cuda_runtime/lib:$server/external_libs:\${LD_LIBRARY_PATH:-}"
export PATH="$venv/bin:\$PATH"
export PYTHONPATH="$site:\${PYTHONPATH:-}"
exec "$server/bin/tritonserver" --backend-directory="$server/backends" "\$@"
SERVE
cat > "$home/perf_analyzer" <<PERF
#!/bin/sh
# Written by scripts/peers.sh.
export LD_LIBRARY_PATH="$home/lib:$site/nvidia/cuda_runtime/lib:\${LD_LIBRARY_PATH:-}"
exec "$home/perf/bin/perf_analyzer" "\$@"
PERF
chmod +x "$home/serve" "$home/perf_analyzer"
echo "$home/serve"
echo "$home/perf_analyzer"
