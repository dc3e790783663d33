#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Keep g2p_en from downloading data whenever ESPnet is imported.

ESPnet's ASR task imports g2p_en, and g2p_en looks for two NLTK archives and tries
the network for those that are absent: noise without a network, a long wait behind a
silent firewall. Character and BPE recognition use neither, so empty archives stand in
for them in the environment's own nltk_data folder. For phoneme tokens get the real
ones, averaged_perceptron_tagger_eng and cmudict, by `python -m nltk.downloader`.
"""

import sys
import zipfile
from pathlib import Path

ARCHIVES = ("taggers/averaged_perceptron_tagger_eng.zip", "corpora/cmudict.zip")


def main() -> None:
    """Write an empty archive for each one that NLTK does not find."""
    import nltk

    for name in ARCHIVES:
        try:
            nltk.data.find(name)
        except LookupError:
            path = Path(sys.prefix) / "nltk_data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            zipfile.ZipFile(path, "w").close()


if __name__ == "__main__":
    main()
