#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Links an ESPnet checkout as tools/espnet: the recipes run stages 1-9 by its asr.sh.
# Usage: link_espnet.sh <checkout>
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
checkout=${1:-}
[ -n "${checkout}" ] || die "say which checkout: make -C tools espnet ESPNET=/path/to/espnet"
[ -f "${checkout}/egs2/TEMPLATE/asr1/asr.sh" ] ||
    die "${checkout} is no ESPnet checkout: it has no egs2/TEMPLATE/asr1/asr.sh"
ln -sfn "$(cd "${checkout}" && pwd)" "${TOOLS}/espnet"
log "tools/espnet -> $(cd "${checkout}" && pwd)"
