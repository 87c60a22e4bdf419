"""What does matmul_precision="medium" save, and what does it change? On a processor with a matrix unit.

python benchmarks/precision.py speed [--data DIR] [--repeats 5] --out FILE.csv     works of compare.py, beside peers
python benchmarks/precision.py tables --data DIR [--processes 1] --out FILE.csv    tabular_pipeline on real tables
python benchmarks/precision.py report SPEED.csv TABLES.csv                         both as tables

All run in turn in one process, several times over; seconds are those of the processor, one thread. Folders of data are
those of compare.py and accuracy.py. Where there is no matrix unit, "medium" runs as "highest": this says so and ends.
"""

import argparse
import itertools
import pathlib
import statistics
import time
import warnings
from functools import partial

import numpy as np
import pandas as pd
import threadpoolctl
from accuracy import data_sets, errors, split
from compare import CONTESTANTS, fits, installed, ours, pin, torch_eager
from joblib import Parallel, delayed

from skbackprop import tabular_pipeline
from skbackprop._engines.level import has_tiles

PRECISIONS = ["highest", "medium"]
LARGE_SETS = ["letter", "cpu_act", "electricity", "house8l"]  # whose seconds are compared


def torch_bfloat16(*args, **params):
    """Torch's own products of bfloat16."""
    import torch

    fit = torch_eager(*args, **params)

    def under_autocast():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fit()

    return under_autocast


def seconds_of(runs, repeats):
    """Median processor seconds of each, in turn."""
    found = {name: [] for name in runs}
    for _, (name, run) in itertools.product(range(repeats), runs.items()):
        start = time.process_time()
        run()
        found[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in found.items()}


def speed(arguments):
    arguments.quick = False
    rows = []
    for work in ("W1", "W2", "W3", "W4", "W5", "W6", "W7"):
        _, data, hidden, (batch_size, max_iter), names = fits(arguments)[work]
        contestants = {name: partial(ours, matmul_precision=name) for name in PRECISIONS}
        contestants |= {name: CONTESTANTS[name] for name in names if name != "skbackprop" and installed(name)}
        if installed("torch"):
            contestants["torch, bfloat16"] = torch_bfloat16
        X, y = data()
        runs = {
            name: make(X, y, hidden, 1, batch_size=batch_size, max_iter=max_iter) for name, make in contestants.items()
        }
        found = seconds_of(runs, arguments.repeats)
        rows += [{"work": work, "contestant": name, "cpu_seconds": value} for name, value in found.items()]
        print(work, {name: round(value / found["medium"], 2) for name, value in found.items()}, flush=True)
        pd.DataFrame(rows).to_csv(arguments.out, index=False, float_format="%.6g")


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


def tables(arguments):
    arguments.openml = None
    sets = {name: load() for name, load in data_sets(arguments)}
    cases = list(itertools.product(sets, range(3), range(3), PRECISIONS))  # split, seed
    found = Parallel(arguments.processes, backend="loky")(
        delayed(fit_table)(sets[name], seed, member, precision) for name, seed, member, precision in cases
    )
    # seconds again of some, one after another
    for name in [name for name in LARGE_SETS if name in sets]:
        runs = {p: partial(fit_table, sets[name], 0, 0, p) for p in PRECISIONS}
        values = seconds_of(runs, arguments.repeats)
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
    seconds = pd.read_csv(arguments.speed).pivot_table(index="contestant", columns="work", values="cpu_seconds")
    ratios = seconds / seconds.loc["medium"]
    ratios["W1-W6"] = np.exp(np.log(ratios[[f"W{k}" for k in range(1, 7)]]).mean(axis=1))
    rows = pd.read_csv(arguments.tables)
    parts = ratios.round(2), differences(rows).round(3), ratios_of_seconds(rows).round(2)
    print(*(part.to_string() for part in parts), sep="\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, command in (("speed", speed), ("tables", tables)):
        measured = commands.add_parser(name)
        measured.add_argument("--data", type=pathlib.Path, required=name == "tables")
        measured.add_argument("--repeats", type=int, default=5)
        measured.add_argument("--processes", type=int, default=1)
        measured.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to write")
        measured.set_defaults(command=command)
    shown = commands.add_parser("report")
    shown.add_argument("speed", type=pathlib.Path)
    shown.add_argument("tables", type=pathlib.Path)
    shown.set_defaults(command=report)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.command is report:
        report(arguments)
    elif not has_tiles():
        print('This processor has no matrix unit: "medium" is the same as "highest" here.')
    else:
        if arguments.command is speed:
            pin(1)
        with threadpoolctl.threadpool_limits(1):
            arguments.command(arguments)


if __name__ == "__main__":
    main()
