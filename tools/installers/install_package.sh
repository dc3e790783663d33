#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Installs espnet_prune itself, editable: a change in the sources needs no reinstall.
# Usage: install_package.sh <environment>
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: install_package.sh <environment>}"
pip_install --no-deps --no-build-isolation --editable "${TOOLS}/.."
log "espnet_prune $(version_of espnet_prune) in ${VENV}"
