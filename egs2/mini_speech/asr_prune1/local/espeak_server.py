# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A lean process that speaks with espeak-ng, the same samples in any order and launch.

espeak-ng keeps state between calls and seeds its random numbers when it starts. The
library is therefore initialised once, and each sentence is spoken by a forked child
that sets the random seed first and returns the samples through a pipe. This program
imports nothing large, because the time of a fork grows with the memory of its parent.

Protocol: a line of JSON on stdin, `{"text", "voice", "rate", "pitch"}`; the answer on
stdout is the number of bytes (8 bytes, little endian) and the int16 samples, with 0
bytes for a failure. The first thing written is a line of JSON,
`{"sample_rate", "version", "data"}` or `{"error"}`.

espeak-ng is GPL-3.0. It is used as a separate tool that makes the demo's audio; the
package espnet_prune does not import it.
"""

import ctypes
import json
import os
import sys
from typing import Any, Dict, NoReturn

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_RATE, _PITCH = 1, 3

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(lib: Any, request: Dict[str, Any], writer: int) -> NoReturn:
    """Speak in this (forked) process, write the samples to `writer`, and exit."""
    code = 1
    try:
        with os.fdopen(writer, "wb") as stream:

            def collect(wav: Any, count: int, _events: Any) -> int:
                if wav and count > 0:
                    stream.write(ctypes.string_at(wav, 2 * count))
                return 0

            callback = _Callback(collect)
            raw = request["text"].encode()
            lib.espeak_SetSynthCallback(callback)
            failed = lib.espeak_SetVoiceByName(request["voice"].encode())
            lib.espeak_SetParameter(_RATE, request["rate"], 0)
            lib.espeak_SetParameter(_PITCH, request["pitch"], 0)
            lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
            failed |= lib.espeak_Synth(
                raw, ctypes.c_size_t(len(raw) + 1), 0, 0, 0, _CHARS_UTF8, None, None
            )
            failed |= lib.espeak_Synchronize()
        code = 1 if failed else 0
    finally:
        os._exit(code)


def serve(lib: Any) -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            speak(lib, request, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            samples = stream.read()
        if os.waitpid(child, 0)[1] != 0:
            samples = b""
        sys.stdout.buffer.write(len(samples).to_bytes(8, "little") + samples)
        sys.stdout.buffer.flush()


def main() -> None:
    """Start the library, say which it is, and serve."""
    hello: Dict[str, Any] = {}
    lib = None
    try:
        import espeakng_loader

        data = espeakng_loader.get_data_path()
        lib = ctypes.CDLL(espeakng_loader.get_library_path())
        lib.espeak_Info.restype = ctypes.c_char_p
        rate = lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), 0)
        if rate <= 0:
            raise OSError(f"espeak_Initialize gives {rate} with the data in {data}")
        version = lib.espeak_Info(None).decode()
        hello = {"sample_rate": rate, "version": version, "data": data}
    except (ImportError, OSError, RuntimeError) as error:
        hello = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(hello), flush=True)
    if "error" not in hello:
        serve(lib)


if __name__ == "__main__":
    main()
