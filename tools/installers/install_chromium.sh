#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Finds Chromium and its driver, which tests of the page call; as root on Debian and
# Ubuntu they are installed where they are missing.
# Usage: install_chromium.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages="chromium chromium-driver"
is_there() { command -v chromium && command -v chromedriver; } >/dev/null
if ! is_there; then
    command -v apt-get >/dev/null || die "tests of the page need Chromium and chromedriver," \
        "which are not on PATH, and there is no apt-get to install them"
    [ "$(id -u)" = 0 ] || die "tests of the page need Chromium and its driver; call" \
        "sudo apt-get install -y --no-install-recommends ${packages}"
    log "installing ${packages} by apt-get"
    install=(apt-get install -y -qq --no-install-recommends "${packages% *}" "${packages#* }")
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${install[@]}" >/dev/null; } ||
        die "apt-get could not install ${packages}"
    is_there || die "${packages} are installed, but chromium and chromedriver are not on PATH"
fi
log "$(chromium --version 2>/dev/null)"
