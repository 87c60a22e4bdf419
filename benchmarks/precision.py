"""What does matmul_precision="medium" change on real tables? On a processor with a matrix unit.

python benchmarks/precision.py run --data DIR [--processes 1] --out FILE.csv    fits of tabular_pipeline
python benchmarks/precision.py report FILE.csv                                  its tables

Seconds are those of the processor, one thread; those of some large sets are measured again at the end, one fit after
another. The folder of data is that of accuracy.py. Where there is no matrix unit, "medium" runs as "highest": this says
so and ends. `compare.py --precision medium` compares the estimators with other libraries.
"""

import argparse
import itertools
import pathlib
import time
import warnings
from functools import partial

import numpy as np
import pandas as pd
import threadpoolctl
from accuracy import data_sets, errors, split
from compare import measure
from joblib import Parallel, delayed

from skbackprop import tabular_pipeline
from skbackprop._engines.level import has_tiles

PRECISIONS = ["highest", "medium"]
LARGE_SETS = ["letter", "cpu_act", "electricity", "house8l"]  # whose seconds are compared


def fit_table(data, seed, member, precision):
    """Seconds of a fit with a seed on a split, and error and log loss, or the mean squared error for both."""
    X, X_test, y, y_test, task = split(data, seed, 10_000)
    name = "classifier" if task == "clf" else "regressor"
    model = tabular_pipeline(name, matmul_precision=precision, random_state=100 * seed + member)
    warnings.simplefilter("ignore")
    with threadpoolctl.threadpool_limits(1):
        start = time.process_time()
        model.fit(X, y)
        seconds = time.process_time() - start
        return {"task": task, "cpu_seconds": seconds} | errors(model, X_test, y_test, task)


def run(arguments):
    arguments.openml = None
    sets = {name: load() for name, load in data_sets(arguments)}
    cases = list(itertools.product(sets, range(3), range(3), PRECISIONS))  # split, seed
    found = Parallel(arguments.processes, backend="loky")(
        delayed(fit_table)(sets[name], seed, member, precision) for name, seed, member, precision in cases
    )
    # seconds again of some, one after another
    for name in [name for name in LARGE_SETS if name in sets]:
        runs = {p: partial(fit_table, sets[name], 0, 0, p) for p in PRECISIONS}
        values = measure(runs, arguments.repeats)
        print(name, f"highest / medium {values['highest'] / values['medium']:.2f}", flush=True)
        for case, row in zip(cases, found, strict=True):
            if case[0] == name:
                row["cpu_seconds"] = values[case[-1]]
    head = ["set", "split", "seed", "precision"]
    rows = [dict(zip(head, case, strict=True)) | row for case, row in zip(cases, found, strict=True)]
    pd.DataFrame(rows).to_csv(arguments.out, index=False, float_format="%.6g")


def differences(rows):
    """By set: the mean change from "highest" to "medium", and in how many standard errors of the seeds' spread."""
    columns = ["error", "loss"]
    by_seed = rows.set_index(["task", "set", "split", "seed", "precision"])[columns]
    high, medium = by_seed.xs("highest", level="precision"), by_seed.xs("medium", level="precision")
    spread = pd.concat([high, medium], keys=PRECISIONS, names=["precision"])
    spread = spread.groupby(["task", "set", "split", "precision"]).std().groupby(["task", "set"]).mean()
    change = (medium - high).groupby(["task", "set"]).mean()
    relative = change / high.groupby(["task", "set"]).mean()
    n = len(high) / len(change)  # seeds and splits
    return relative.join(change / (spread * np.sqrt(2.0 / n)), rsuffix="_in_errors")


def ratios_of_seconds(rows):
    """By set: seconds with "highest" divided by those with "medium"."""
    by_set = rows.pivot_table(index="set", columns="precision", values="cpu_seconds").loc[LARGE_SETS]
    return by_set["highest"] / by_set["medium"]


def report(arguments):
    rows = pd.read_csv(arguments.file)
    print(differences(rows).round(3).to_string(), ratios_of_seconds(rows).round(2).to_string(), sep="\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measured = commands.add_parser("run")
    measured.add_argument("--data", type=pathlib.Path, required=True)
    measured.add_argument("--repeats", type=int, default=5)
    measured.add_argument("--processes", type=int, default=1)
    measured.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to write")
    measured.set_defaults(command=run)
    shown = commands.add_parser("report")
    shown.add_argument("file", type=pathlib.Path)
    shown.set_defaults(command=report)
    arguments = parser.parse_args()
    if arguments.command is run and not has_tiles():
        parser.error('this processor has no matrix unit: "medium" is the same as "highest" here')
    with threadpoolctl.threadpool_limits(1):
        arguments.command(arguments)


if __name__ == "__main__":
    main()
