# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Comparisons: rows of YAML become jobs, each result a JSON file, these the tables."""
