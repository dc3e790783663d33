#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Installs onnxruntime-web, by which a page recognises speech in a browser, as the lock
# file beside it says: into tools/web/node_modules, unless it is there already.
# Usage: install_web.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "${TOOLS}/web"
package=node_modules/onnxruntime-web/package.json
pinned=$(sed -n 's/.*"onnxruntime-web": *"\([^"]*\)".*/\1/p' package.json)
if ! grep -qs "\"version\": *\"${pinned}\"" "${package}"; then
    command -v npm >/dev/null || die "onnxruntime-web ${pinned} is installed by npm, which" \
        "is not here (Debian and Ubuntu: apt install npm)"
    log "installing onnxruntime-web ${pinned} into ${PWD}/node_modules"
    npm ci --ignore-scripts --no-audit --no-fund --silent ||
        die "npm could not install onnxruntime-web ${pinned}; call it in ${PWD}: npm ci"
fi
log "onnxruntime-web ${pinned} in ${PWD}/node_modules"
