# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Selectors: each decides what stays, within a budget. A method is a folder here.

To add a method, add a folder and nothing else. Its `__init__.py` has a function that
makes a `Selection` of a `Plan`, and registers it; see `taylor/__init__.py`.

Folders are found by looking, so `method: taylor` in a configuration then works
everywhere, and is listed by `select --help`; a name that nobody has registered is
refused. `keys` are those of the YAML beside `method`, `budget` and `seed`, each with
its type as annotations write it; unknown keys and other types are refused before any
work. `import` what is heavy inside the functions: the folder is read for every --help.

A `Plan` (plan.py) holds what is known before: the model and its config.yaml, the module
that is pruned (`root`), its units (`graph`), and of the configuration `budget`,
`kinds`, `round_to`, `seed` and the rest (`conf`), each read once. A `Selection`
(selection.py) holds a mask for every unit, 0, 1 or a soft value to be folded into the
weights, the blocks that stay, weights if they were changed, and a record for
structure.json. `by_quantiles` (scores.py) makes masks of a score for every unit.

What more a method may give `register_method`: `check(plan)` refuses what cannot be done
before any long work (by default, a budget out of reach); `options(parser)` and
`read(conf, args)` are for options of its own on the command line; `outlook(plan)` says
how far it could go; `training(plan)` is the YAML of its training. A method that trains
puts what it does in a step into `hook.py` of its folder, see
`espnet_prune.train.extensions`.
"""
