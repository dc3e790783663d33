#!/usr/bin/env bash
# To be sourced from a recipe directory, and again in every job on a cluster.

MAIN_ROOT=$PWD/../../..
if [ -f "${MAIN_ROOT}/tools/activate_python.sh" ]; then
    . "${MAIN_ROOT}/tools/activate_python.sh"
elif [ -x "${MAIN_ROOT}/tools/venv/bin/python" ]; then
    export PATH="${MAIN_ROOT}/tools/venv/bin:${PATH}"
fi
if [ -f "${MAIN_ROOT}/tools/extra_path.sh" ]; then . "${MAIN_ROOT}/tools/extra_path.sh"; fi

export LC_ALL=C
export PYTHONIOENCODING=UTF-8
if [ -d "${MAIN_ROOT}/espnet_prune" ]; then # in a checkout of ESPnet it is installed
    export PYTHONPATH="${MAIN_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
fi
export OMP_NUM_THREADS=1  # jobs run side by side, one thread each
# training allocates the same large tensors in every step: glibc keeps them, instead of
# giving them back to the kernel each time
export MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=8000000000
if [ -f local/path.sh ]; then . local/path.sh; fi
