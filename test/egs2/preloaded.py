# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A stand-in for python3 that has imported ESPnet, for tests that start it often.

A server imports it once; each call of `Preloaded.python` has the server fork a child,
which takes over the caller's files, directory, environment and words, and whose exit
code it gives back. When the caller dies, its child is killed at once. Of our own
nothing is imported before: a command makes its encoders known as in any process.
"""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import sys

MODULES = (
    "espnet2.bin.asr_train",
    "espnet2.bin.asr_inference",
    "espnet2.bin.aggregate_stats_dirs",
    "matplotlib.pyplot",
    "onnxscript",
    "torch.onnx",
)


def call(path: str, words: list[str]) -> int:
    """Have the server at `path` run `python3 WORDS...`; returns the exit code."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
        files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
        server.sendmsg([len(request).to_bytes(8, "big")], files)
        server.sendall(request)
        answer = server.recv(1)
    return answer[0] if answer else 1


def _take_over(caller: socket.socket) -> list[str]:
    """Become the caller, as far as a process can; returns its words."""
    head, files, _, _ = caller.recvmsg(8, socket.CMSG_SPACE(12))
    request = b""
    while len(request) < int.from_bytes(head, "big"):
        request += caller.recv(1 << 16)
    for number, file in enumerate(array.array("i", files[0][2])):
        os.dup2(file, number)
        os.close(file)
    words, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return words


def _run(words: list[str]) -> None:
    """Behave like `python3 WORDS...`."""
    import runpy

    words = [word for word in words if word != "-u"]
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], os.getcwd()
        sys.modules.pop(words[1], None)
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name="__main__")


def _end(children: dict[int, socket.socket], dead: list[int]) -> None:
    """Kill the children of dead callers, and tell the others how theirs have ended."""
    for child in dead:
        os.kill(child, signal.SIGKILL)
    for child, caller in list(children.items()):
        pid, status = os.waitpid(child, 0 if child in dead else os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            try:
                caller.send(bytes([code if code >= 0 else 128 - code]))
            except OSError:  # it is dead
                pass
            caller.close()
            del children[child]


def serve(path: str) -> None:
    """Import, then fork a child for every caller, until this process is killed."""
    import importlib

    for name in MODULES:
        importlib.import_module(name)
    assert "espnet_prune" not in sys.modules
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    os.rename(path + ".new", path)
    children: dict[int, socket.socket] = {}
    while True:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        for caller in children.values():
            poll.register(caller, 0)  # tells of its end only
        ready = [file for file, _ in poll.poll(20)]
        _end(
            children, [n for n, caller in children.items() if caller.fileno() in ready]
        )
        if listener.fileno() not in ready:
            continue
        caller = listener.accept()[0]
        child = os.fork()
        if child == 0:
            for file in (listener, *children.values()):
                file.close()
            os.setsid()
            return _run(_take_over(caller))
        children[child] = caller


class Preloaded:
    """The server, as long as a `with` block lasts.

    Attributes:
        python: What stands for `python3`, several words.
    """

    def __init__(self, folder: os.PathLike) -> None:
        self.socket = os.path.join(folder, "python")
        script = os.path.abspath(__file__)
        self.python = f"{sys.executable} -I -S {script} {self.socket}"

    def __enter__(self) -> Preloaded:
        import subprocess
        import time

        root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
        env = dict(os.environ, PYTHONPATH=root, OMP_NUM_THREADS="1", MPLBACKEND="agg")
        command = [sys.executable, os.path.abspath(__file__), "--serve", self.socket]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)
        while not os.path.exists(self.socket):
            if self.process.poll() is not None:
                raise RuntimeError("the preloaded interpreter did not start")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
