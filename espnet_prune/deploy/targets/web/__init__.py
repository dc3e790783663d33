# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The browser: a page that any server of files shows, with its own runtime."""

from espnet_prune.deploy.targets.target import Target
from espnet_prune.deploy.targets.web.browser import programs
from espnet_prune.deploy.targets.web.npm import release
from espnet_prune.deploy.targets.web.slot import Page


class Web(Target):
    """The target whose package is of npm, and which is heard in Chromium."""

    def version(self) -> str:
        """Return the release of onnxruntime-web.

        Raises:
            UserError: It is not there, or Chromium or selenium is not.
        """
        programs()
        return release()


WEB = Web("web", "onnxruntime-web", ("1.30.0",), (Page(),))
