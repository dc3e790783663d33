# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""GPU hours of a comparison's trainings, without data; see `measure.forecast`."""

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from espnet_prune.measure import forecast
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Job, Plan
from espnet_prune.report.compare.times import shape_key
from espnet_prune.utils import UserError, read_mapping

TOKENS = {"char": 30, "word": 10000}  # where no list tells their number
Model = Tuple[Any, Dict[str, Any], forecast.Forecast]


def assumed(c: Comparison, tflops: float) -> Optional[forecast.Assumed]:
    """What the options of a comparison say of its data, None without `hours`.

    A model that is there already has no price.

    Args:
        c: The comparison.
        tflops: What a GPU sustains, 1e12 operations a second.

    Raises:
        UserError: Numbers that are none, or too small.
    """
    given = c.options
    if "hours" not in given or c.dense_exp:
        return None
    try:
        factors = str(given.get("speed_perturb_factors") or 1.0).split()
        # a faster copy is shorter
        hours = sum(float(given["hours"]) / float(factor) for factor in factors)
        ngpu = max(1, int(given.get("ngpu", 0)))
        vocab = TOKENS.get(given.get("token_type", "bpe"), int(given.get("nbpe", 30)))
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(
            "options: hours, ngpu, nbpe and speed_perturb_factors must be numbers "
            f"({error})"
        ) from error
    return forecast.Assumed(vocab=vocab, hours=hours, ngpu=ngpu, tflops=tflops)


class Hours:
    """Prices the jobs of a plan; a model of one shape is built and tried once.

    Args:
        plan: The jobs.
        given: What configurations do not say.
    """

    def __init__(self, plan: Plan, given: forecast.Assumed) -> None:
        self.plan, self.given = plan, given
        self.models: Dict[str, Model] = {}

    def model(self, path: str) -> Model:
        """The model of a configuration, its content, and its prices."""
        key = shape_key(read_mapping(path))
        if key not in self.models:
            _, *found = forecast.dense_row(Path(path), self.given)
            self.models[key] = (found[0], found[1], found[2])
        return self.models[key]

    def of(self, job: Job) -> Optional[float]:
        """GPU hours of a job's trainings; None where they are not known before it.

        A recovery is priced as if nothing had been cut.

        Raises:
            UserError: A configuration that cannot be.
        """
        configs = job.configs
        if "--asr_config" in configs:
            path = configs["--asr_config"]
            if not Path(path).is_file():
                return None
            args = forecast.read_training(["--config", path], self.given.vocab)
            return self.model(path)[2].training(args, teacher=False)["gpu_hours"]
        if not configs:
            return 0.0
        dense = self.plan.jobs[job.needs[0]].given["--asr_config"]
        model, config, prices = self.model(dense)
        rows = []
        if "--prune_config" in configs:
            select = Path(configs["--prune_config"])
            rows.append(forecast.prune_row(select, model, config, prices))
        if "--recover_config" in configs:
            rows.append(forecast.recover_row(Path(configs["--recover_config"]), prices))
        return sum(row.get("gpu_hours") or 0.0 for row in rows)
