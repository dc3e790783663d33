# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A corpus of tones: every letter is a pitch."""

from pathlib import Path

import numpy as np

TOKENS = ["<blank>", "<unk>", "A", "B", "C", "D", "<sos/eos>"]


def make_data(root: Path, train: int = 12, valid: int = 4) -> None:
    """Write tones: every letter is a pitch."""
    import soundfile

    random = np.random.RandomState(0)
    root.mkdir(parents=True, exist_ok=True)
    (root / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    for name, count in (("train", train), ("valid", valid)):
        scp, text, shape = [], [], []
        for i in range(count):
            letters = random.choice(list("ABCD"), size=random.randint(2, 4))
            wave = np.concatenate(
                [
                    np.sin(np.arange(4000) * 0.05 * (ord(c) - ord("A") + 1))
                    for c in letters
                ]
            )
            wave = 0.3 * wave + 0.01 * random.randn(len(wave))
            path = root / f"{name}{i}.wav"
            soundfile.write(path, wave, 16000)
            scp.append(f"{name}{i} {path}")
            text.append(f"{name}{i} {''.join(letters)}")
            shape.append(f"{name}{i} {len(wave)}")
        for kind, lines in (("wav.scp", scp), ("text", text), ("shape", shape)):
            (root / f"{name}_{kind}").write_text("\n".join(lines) + "\n")
