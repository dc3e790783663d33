#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Runs the tests that depend on ESPnet with the line of ESPnet that an environment does
# not have, in an environment beside it, where there is a Python for that line.
# Usage: test_other.sh <environment>
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: test_other.sh <environment>}"

tests=(test/egs2/test_pipeline.py test/egs2/test_sample.py)
for name in test_espnet3.py test_golden.py test_releases.py test_registry.py test_strict_loads.py test_tasks.py \
    test_variants.py test_zoo.py cutting decoders deploy encoders runtime train units \
    select/obs/test_devices.py; do
    tests+=("test/espnet_prune/${name}")
done

line=202611 versions="3.13 3.12"
if [ "$(line_here)" = 202611 ]; then line=202511 versions="3.11 3.10 3.9"; fi
found=
for version in ${versions}; do
    # a shim of pyenv stands on PATH for versions that are not chosen, and does not start
    for python in "python${version}" "${PYENV_ROOT:-${HOME}/.pyenv}/versions/${version}".*/bin/python; do
        if [ -z "${found}" ] && [ "$(python_version "${python}")" = "${version}" ]; then
            found=${python}
        fi
    done
done
if [ -z "${found}" ]; then
    log "espnet ${line} is not tested: no Python ${versions// / or } is on PATH or among" \
        "the versions of pyenv"
    exit 0
fi
log "espnet $(version_of espnet) was tested whole; now what depends on it with espnet" \
    "${line}, Python $(python_version "${found}")"
exec make -C "${TOOLS}" test VENV="${VENV}-${line}" PYTHON="${found}" REMEMBERED=/dev/null \
    TESTS="${tests[*]}"
