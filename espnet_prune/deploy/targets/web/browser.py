# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The page as a person uses it: served, opened in Chromium, given files."""

import functools
import http.server
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from espnet_prune.utils import UserError, read_json

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    # what Chromium itself would ask of its makers
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    *("--disable-component-update", "--window-size=1200,1100"),
)
PATIENCE = 300.0  # seconds for a model to load, or a file to be recognised
_STATES = """
return [...document.querySelectorAll("#models tbody tr")]
  .filter((row) => row.querySelector(".used").checked)
  .map((row) => row.querySelector(".state span").textContent);
"""
_USE = """
document.querySelectorAll("#models tbody tr").forEach((row, i) => {
  const used = row.querySelector(".used"), choice = row.querySelector(".precision");
  const wanted = arguments[0][i];
  choice.value = wanted ?? choice.value;
  used.checked = wanted !== null;
  used.dispatchEvent(new Event("change"));
});
"""
_RESULTS = """
return [...document.querySelectorAll("article")].reverse().map((article) => ({
  name: article.querySelector("h3").textContent,
  done: article.dataset.state === "done",
  problem: article.querySelector(".problem").textContent,
  rows: [...article.querySelectorAll("tbody tr")].map((row) => {
    const text = row.querySelector(".text"), nothing = text.matches(".nothing");
    const ms = Number(row.querySelector(".number").dataset.ms);
    return { text: nothing ? "" : text.textContent, ms };
  }),
}));
"""


class _Files(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` does, without a word."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def programs() -> List[str]:
    """Return the paths of Chromium and of what drives it.

    Raises:
        UserError: One is not there, or Python's package selenium is not.
    """
    try:
        import selenium  # noqa: F401
    except ImportError as error:
        raise UserError(
            "--for web: texts are compared in a browser by the package selenium, which "
            "is not installed; call pip install selenium"
        ) from error
    kinds = ("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)
    found = [next(filter(None, map(shutil.which, names)), None) for names in kinds]
    if None in found:
        raise UserError(
            "--for web: texts are compared in Chromium, which is not installed; call "
            "apt-get install chromium chromium-driver"
        )
    return [str(path) for path in found]


class Browser:
    """Chromium with a page open, until `close` is called.

    Args:
        folder: What is served, on a port of this machine that is free.
        spoken: A wav file that the microphone gives, over and over.
        flags: Of Chromium, besides.

    Raises:
        UserError: Chromium or selenium is not there.
    """

    def __init__(
        self, folder: Path, spoken: Optional[Path] = None, flags: Sequence[str] = ()
    ) -> None:
        from selenium import webdriver

        chromium, driver = programs()
        self.place = tempfile.TemporaryDirectory(prefix="page")
        self.net_log = Path(self.place.name) / "net.json"
        handler = functools.partial(_Files, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://localhost:{self.server.server_port}"
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        own = [
            f"--user-data-dir={self.place.name}/profile",
            f"--log-net-log={self.net_log}",
        ]
        if spoken is not None:
            own += [
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={spoken}",
            ]
        for flag in (*_FLAGS, *own, *flags):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=driver)
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(PATIENCE)
        self.open()

    def open(self) -> None:
        """Load the page."""
        self.driver.get(self.origin)
        body = self.driver.find_element("tag name", "body")
        self.wait(lambda: body.get_attribute("data-state"))

    def close(self) -> List[str]:
        """End the browser and the server.

        Returns:
            The addresses that the page, and what it runs beside it, asked for.
        """
        self.driver.quit()
        self.server.shutdown()
        self.server.server_close()
        log = read_json(self.net_log)
        self.place.cleanup()
        asked = [event.get("params", {}) for event in log["events"]]
        return [one["url"] for one in asked if one.get("initiator") == self.origin]

    def use(self, precisions: Sequence[Optional[str]]) -> List[str]:
        """Tick models, and return what the page shows of those once they are loaded.

        Args:
            precisions: For each row of the table; None for a model that is not used.

        Returns:
            "ready", or what is wrong.
        """
        states: List[str] = []

        def are_loaded() -> bool:
            states[:] = self.driver.execute_script(_STATES)
            return not set(states) & {"waiting", "loading", "opening"}

        self.driver.execute_script(_USE, list(precisions))
        self.wait(are_loaded)
        return states

    def hear(self, speech: Sequence[np.ndarray], rate: int) -> List[Dict[str, Any]]:
        """Give files to the page, and return what it shows of each.

        Args:
            speech: Samples (S,) of each.
            rate: Of them, in Hz.
        """
        import soundfile

        paths = []
        for number, samples in enumerate(speech):
            paths.append(str(Path(self.place.name) / f"{number}.wav"))
            soundfile.write(paths[-1], samples, rate, subtype="FLOAT")
        return self.give(paths)

    def give(self, paths: Sequence[str]) -> List[Dict[str, Any]]:
        """Choose files, as by the button, and return what the page shows of each."""
        before = len(self.results())
        self.driver.find_element("id", "files").send_keys("\n".join(paths))
        return self.new_results(before, len(paths))

    def new_results(self, before: int, count: int) -> List[Dict[str, Any]]:
        """Return results after those of before, once there are so many."""
        done: List[Dict[str, Any]] = []

        def are_done() -> bool:
            done[:] = self.results()[before:]
            return len(done) == count and all(row["done"] for row in done)

        self.wait(are_done)
        return done

    def results(self) -> List[Dict[str, Any]]:
        """Return what the page shows: "name", "problem", "rows" of text and ms."""
        return self.driver.execute_script(_RESULTS)

    def wait(self, is_so: Any) -> None:
        """Wait until something is so.

        Raises:
            TimeoutError: It is not for long; what the page tells is named.
        """
        end = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > end:
                told = self.driver.find_element("tag name", "main").text
                raise TimeoutError(f"the page is not done; it shows: {told[:1000]}")
            time.sleep(0.02)

    def complaints(self) -> List[str]:
        """Return what the browser's console has said since it was asked last."""
        return [row["message"] for row in self.driver.get_log("browser")]
