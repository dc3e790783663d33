# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is done with the model of a configuration: all that pruning it needs.

At its real size it is built without memory, and units and prices are compared with its
parameters. Small, it is priced, cut at random, and selected from by two methods.
"""

import functools
import inspect
import json
import math
from typing import Any, Dict, Iterator, Mapping, Tuple

import torch
from torch import nn

from espnet_prune import Structure, UserError, cost, unit_graph
from espnet_prune.cutting.cutter import cut
from espnet_prune.cutting.trials import check
from espnet_prune.cutting.verify import compare
from espnet_prune.encoders.adopted import adopted
from espnet_prune.encoders.torchaudio_hubert import as_ours
from espnet_prune.families.encoder import random_batch
from espnet_prune.foreign import told
from espnet_prune.measure.cost import CostModel
from espnet_prune.models import build_model, loss_only, prompted
from espnet_prune.select.obs.speech import Utterance
from test.espnet_prune.decoders import zoo
from test.espnet_prune.encoder_zoo import counted_macs
from test.espnet_prune.encoder_zoo import prompted as with_prompt
from test.espnet_prune.encoder_zoo import randomise
from test.espnet_prune.recipes.found import VOCABULARY, whole_config
from test.espnet_prune.recipes.small import shrunk, tokens
from test.espnet_prune.select.obs.stubs import gone, plan_of

PRUNED, REFUSED, NOT_BUILT, FAULT = "pruned", "refused", "not built", "fault"
SMALL_VOCABULARY = 24
# of the largest output; layer norms over the few channels of narrow convolutions add
# to the rounding of weights
TOLERANCE = 1e-5
FRAMES = 40  # of the memory of a decoder whose MACs are counted


class Fault(AssertionError):
    """A model that was accepted, but of which something is wrong."""


def expect(true: Any, words: str) -> None:
    """Raise a `Fault` in other words than those of an assertion."""
    if not true:
        raise Fault(words)


def expect_equal(report: Mapping[str, Any], what: str) -> None:
    """Raise a `Fault` where a masked and a cut model differ."""
    share = report["relative_diff"]
    expect(report["finite"] and share <= TOLERANCE, f"{what}: differ by {share:.1e}")


def numel(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in module.parameters())


def covered(dense: Structure) -> int:
    """Return how many parameters of a model units cover."""
    model = CostModel(dense)
    return sum(
        paid.params * math.prod(model.variables[name] for name in names)
        for paid, names in model.terms
        if names
    )


def missing(error: BaseException) -> str:
    """Say which package or file building a model lacks, or nothing if it is neither."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return f"{error.name} is not installed"
        if isinstance(error, ImportError):
            return f"{str(error).split('`')[1]} is not installed"
        if isinstance(error, OSError):
            return "its weights are elsewhere"
        error = error.__cause__ or error.__context__
    return ""


def result(entry: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what comes out for a configuration; a crash is a fault, too.

    Args:
        entry: One of `found.distinct`.
    """
    try:
        found = at_real_size(entry)
        if found["verdict"] == PRUNED:
            task = entry["task"]
            small = shrunk(task, as_read(entry["config"])[0])
            obs = cycle(task, json.dumps(small, sort_keys=True))["obs"]
            found.update({"without obs": obs} if isinstance(obs, str) else {})
        return found
    except Exception as error:
        kind = "" if isinstance(error, Fault) else f"{type(error).__name__}: "
        return {"verdict": FAULT, "why": f"{kind}{error}"}


def at_real_size(entry: Mapping[str, Any]) -> Dict[str, Any]:
    """Say whether a model is pruned, refused, or cannot be built, and its sizes.

    Args:
        entry: One of `found.distinct`.

    Raises:
        Fault: A price is not that of the model.
    """
    task = entry["task"]
    try:
        config, stays = as_read(entry["config"])
        whole = whole_config(task, config, tokens(VOCABULARY))
    except UserError as error:
        return {"verdict": REFUSED, "why": str(error)}
    try:
        model = without_memory(whole)
    except (UserError, ImportError, OSError) as error:
        why = missing(error) or sentence(error)
        return {"verdict": NOT_BUILT, "why": f"{why}; {stays}" if stays else why}
    params = numel(model)
    try:
        graph = unit_graph(model)
    except UserError as error:
        return {"verdict": REFUSED, "why": str(error), "params": params}
    expect(cost(graph.dense).params == params, "its price is not its parameters")
    for name, place in graph.places.items():
        own = cost(graph.dense, part=name).params
        expect(own == numel(model.get_submodule(place.path)), f"{name}: wrong price")
    return {
        "verdict": PRUNED,
        "params": params,
        "covered": covered(graph.dense),
        "encoder_params": numel(model.encoder),
        "stacks": list(graph.places),
    }


def as_read(config: Mapping[str, Any]) -> Tuple[Dict[str, Any], str]:
    """Return a configuration as `read_model_config` gives it; see `adopted`."""
    return adopted(as_ours(config))


def without_memory(config: Mapping[str, Any]) -> nn.Module:
    """Return a model without memory, or with it where ESPnet computes on the way."""
    try:
        with torch.device("meta"):
            return build_model(config)
    except UserError as error:
        if "meta tensor" not in str(error):
            raise
        return build_model(config)


def sentence(error: BaseException) -> str:
    """Return what ESPnet says of a configuration that it does not build."""
    words = str(error).split("cannot build this model: ")[-1]
    return f"ESPnet does not build it: {words.split('; give the config')[0]}"


@functools.lru_cache(None)
def cycle(task: str, small: str, seed: int = 0) -> Dict[str, Any]:
    """Price, cut and select from a small model; like ones are tried once.

    Args:
        task: Name of ESPnet's task.
        small: What `shrunk` gives, as JSON.
        seed: Of weights, structures and what is heard.

    Returns:
        The largest differences of masked and cut models; of "obs" what ESPnet says
        where it cannot run the model itself.

    Raises:
        Fault: Something is wrong.
    """
    config = whole_config(task, json.loads(small), tokens(SMALL_VOCABULARY))
    torch.manual_seed(seed)
    model = build_model(config)
    randomise(model, seed)
    graph = unit_graph(model)
    expect(cost(graph.dense).params == numel(model), "small: wrong price")
    for name, place in graph.places.items():
        check_macs(name, model.get_submodule(place.path), seed, model.ctc)
    report = check(model, seed, 0.6, 1, model.ctc)
    expect_equal(report, "cut at random")
    expect(report["params_match"], "the cut model has another number of parameters")
    found = {"cut": report["relative_diff"]}
    share = covered(graph.dense) / numel(model)
    found["magnitude"] = selected("magnitude", model, config, 0.4 * share, seed)
    try:
        with told("its loss is ESPnet's own", "train it first"):
            heard = Heard(model, seed)
            with torch.no_grad():
                heard.loss(model, next(iter(heard)))
    except UserError as error:
        return {**found, "obs": str(error).split(";")[0]}
    found["obs"] = selected("obs", model, config, 0.4 * share, seed)
    return found


def check_macs(stack: str, module: nn.Module, seed: int, ctc: Any) -> None:
    """Compare the price of a stack with the MACs that torch counts.

    Raises:
        Fault: They differ.
    """
    if stack == "decoder":
        whole, again = zoo.counted_macs(module, tokens=5, beam=1, frames=FRAMES)
        structure = Structure.dense(module).with_tokens(5 / FRAMES, 1)
        priced, counted = cost(structure, FRAMES).macs, whole - again
    elif stack != "joint":
        place = unit_graph(module).places[stack]
        samples = getattr(place.family, "samples", lambda encoder: 1)(module)
        frames = 150
        batch = random_batch(module, place.input_size, [frames * samples], seed)
        takes, more = inspect.signature(module.forward).parameters, {}
        # intermediate CTC asks it, and is priced with it; what frames it drops depends
        # on the speech, and the price is that of all of them
        if "ctc" in takes and not getattr(module, "ctc_trim", False):
            more["ctc"] = ctc
        if "prefix_embeds" in takes:
            names = ("prefix_embeds", "memory", "memory_mask")
            more.update(zip(names, with_prompt(*batch)[5:]))
        run = functools.partial(module, **more)
        priced, counted = cost(module, frames).macs, counted_macs(run, *batch)
    else:
        return  # a joint network is what `test_joint.py` has
    expect(priced == counted, f"{stack}: {priced} MACs and not {counted}")


# what models of tasks s2t and s2t_ctc are told by `prompted`
GIVEN = ("speech", "text_prev", "prefix")


class Heard:
    """Random speech and tokens for a model of any task."""

    def __init__(self, model: nn.Module, seed: int, count: int = 2) -> None:
        self.takes = inspect.signature(model.forward).parameters
        self.instead = "" if "speech" in self.takes else "src_text"
        self.seeds = [100 * seed + i for i in range(count)]

    def __len__(self) -> int:
        return len(self.seeds)

    def __iter__(self) -> Iterator[Utterance]:
        for i, seed in enumerate(self.seeds):
            random = torch.Generator().manual_seed(seed)
            shape = (1, 16000 + 2000 * i)
            batch = {"speech": torch.randn(shape, generator=random)}
            for name in self.takes:
                if f"{name}_lengths" in self.takes and name not in GIVEN:
                    # tokens in place of speech are as many as its frames
                    count = 60 if name == self.instead else 3
                    batch[name] = torch.randint(2, 8, (1, count), generator=random)
            for name, x in list(batch.items()):
                batch[f"{name}_lengths"] = torch.tensor([x.size(1)])
            yield Utterance(str(seed), batch)

    def loss(self, model: nn.Module, utterance: Utterance) -> torch.Tensor:
        """Return the loss of a model."""
        with loss_only(model):
            return model(**prompted(model, utterance.batch))[0]


def selected(
    method: str, model: nn.Module, config: Any, sparsity: float, seed: int
) -> float:
    """Select and cut; return the largest difference of masked and cut."""
    budget = {"kind": "params", "of": "model", "sparsity": sparsity}
    plan = plan_of(model, budget, config, method=method)
    if method == "obs":
        heard = Heard(model, seed)
        selection = gone(plan, heard).at(plan.budget)
    else:
        selection = plan.method.run(plan)
    dense = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(selection.weights or dense)
    small = cut(plan.root, selection.structure, selection.masks)
    masks, ctc = selection.masks, model.ctc
    report = compare(plan.root, plan.graph, masks, small, trials=1, ctc=ctc)
    model.load_state_dict(dense)
    expect_equal(report, method)
    reached = plan.budget.reached(plan.graph.dense, selection.structure)[0]
    expect(reached >= sparsity - 1e-9, f"{method}: {reached} and not {sparsity}")
    same = numel(small) == cost(selection.structure).params
    expect(same, f"{method}: the cut model has another number of parameters")
    return report["relative_diff"]
