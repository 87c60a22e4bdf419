"""Large tables: seconds, memory and accuracy of default fits on 10,000 to 1,000,000 rows, beside gradient boosting.

python benchmarks/tables.py run --out FILE.csv [--problems ...] [--rows 1e4,1e5] [--models ...] [--threads 1,2]
                                                                    fits, and adds to FILE.csv what is not in it yet
python benchmarks/tables.py report FILE.csv [--out DIR]             tables, and a diagram of accuracy against seconds

All have 20 columns of float64. "friedman" is scikit-learn's make_friedman1 with noise 1, a regression of which 15
columns are noise; "classification" its make_classification with four classes, 12 informative and 4 redundant columns;
"interactions" has two classes that random pairs and triples of conditions "column > threshold" decide, and labels of
which a tenth is flipped. Each problem is drawn once: the first rows train, 50,000 others test.

Each fit has a process of its own, kept on as many processors as it may use threads, which has fitted the same model to
a few rows before; the models come in turn. Memory is what is resident at most during the fit beyond what was before,
the data included (Linux only). All have their defaults; those that are not installed are left out.
"""

import argparse
import csv
import functools
import importlib
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification, make_friedman1
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KEY = ["problem", "rows", "threads", "repeat", "model"]
FIELDS = [*KEY, "seconds", "cpu_seconds", "megabytes", "score", "log_loss", "predict_seconds", "error"]
LARGEST, N_TEST, N_COLUMNS = 1_000_000, 50_000, 20
FLIPPED = 0.1  # of the labels of interactions
NUMBERS = {1: "one", 2: "two"}
WARM_UP = 500  # rows of the first fit in a process, which is not counted

HGB = "sklearn.ensemble.HistGradientBoosting"
# name: classifier, regressor, parameters, parameter for the number of threads
MODELS = {
    "tabular_pipeline": ("skbackprop.tabular_pipeline", "skbackprop.tabular_pipeline", {}, None),
    "skbackprop": ("skbackprop.MLPSoftmaxClassifier", "skbackprop.MLPRegressor", {}, None),
    "LightGBM": ("lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor", {"verbosity": -1}, "n_jobs"),
    "HistGradientBoosting": (f"{HGB}Classifier", f"{HGB}Regressor", {}, None),
    "XGBoost": ("xgboost.XGBClassifier", "xgboost.XGBRegressor", {}, "n_jobs"),
}
COLOURS = dict(zip(MODELS, ("#1f6fb4", "#76b7e5", "#7d5ba6", "#f89939", "#5b8c85"), strict=True))


# -------------------------------------------------------------------------------------- data ----


def friedman(n, seed=0):
    """Five columns that act, smoothly, and fifteen that do not."""
    return make_friedman1(n, N_COLUMNS, noise=1.0, random_state=seed)


def classification(n, seed=0):
    """Four classes of two clusters each."""
    return make_classification(n, N_COLUMNS, n_informative=12, n_redundant=4, n_classes=4, random_state=seed)


def interactions(n, seed=0, n_rules=16):
    """Two classes: which one, the sum of the weights of all rules tells whose conditions hold."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_COLUMNS))
    total = np.zeros(n)
    for _ in range(n_rules):
        columns = rng.choice(N_COLUMNS, rng.integers(2, 4), replace=False)
        total += rng.normal() * (X[:, columns] > rng.normal(scale=0.5, size=len(columns))).all(axis=1)
    y = (total > np.median(total)).astype(int)
    return X, np.where(rng.random(n) < FLIPPED, 1 - y, y)


# name: function of the number of rows, task, name of the score
PROBLEMS = {
    "friedman": (friedman, "reg", "R²"),
    "classification": (classification, "clf", "accuracy"),
    "interactions": (interactions, "clf", "accuracy"),
}


# -------------------------------------------------------------------------------------- fits ----


def make(name, task, threads):
    """The model; ImportError if its package is not installed."""
    classifier, regressor, params, jobs = MODELS[name]
    module, _, attribute = (classifier if task == "clf" else regressor).rpartition(".")
    kind = getattr(importlib.import_module(module), attribute)
    if name == "tabular_pipeline":
        return kind("classifier" if task == "clf" else "regressor", random_state=0)
    model = kind(**params, **({} if jobs is None else {jobs: threads}), random_state=0)
    return make_pipeline(StandardScaler(), model) if name == "skbackprop" else model


def memory_of(field):
    """Megabytes of this process: resident now, "VmRSS", or at most, "VmHWM"."""
    return int(pathlib.Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0]) / 1e3


def forget_peak():
    """Let the most begin anew from what is resident now."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def fit(folder, problem, rows, threads, model):
    """In a process of its own: fit the model to the first rows in the folder, and print what it took, as JSON."""
    task = PROBLEMS[problem][1]
    X, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "Xy")
    X_train, X_test, y_train, y_test = map(np.array, (X[:rows], X[-N_TEST:], y[:rows], y[-N_TEST:]))
    del X, y  # the maps, which would count as memory
    make(model, task, threads).fit(X_train[:WARM_UP], y_train[:WARM_UP])
    estimator = make(model, task, threads)
    forget_peak()
    before, cpu, start = memory_of("VmRSS"), cpu_seconds(), time.perf_counter()
    estimator.fit(X_train, y_train)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds() - cpu}
    found["megabytes"] = memory_of("VmHWM") - before
    start = time.perf_counter()
    output = np.asarray((estimator.predict if task == "reg" else estimator.predict_proba)(X_test), dtype=float)
    found["predict_seconds"] = time.perf_counter() - start
    print(json.dumps(found | scores(task, y_test, output)))


def scores(task, y, output):
    """R2 of predictions; accuracy and log loss of probabilities."""
    if task == "reg":
        return {"score": r2_score(y, output.reshape(-1))}
    p = output / output.sum(axis=1, keepdims=True)
    return {"score": accuracy_score(y, p.argmax(axis=1)), "log_loss": log_loss(y, p, labels=np.arange(p.shape[1]))}


def pinned(threads):
    """Environment and start of a process that has so many threads, and as many processors."""
    names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    processors = sorted(os.sched_getaffinity(0))[-threads:]
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    return {"env": environment, "preexec_fn": lambda: os.sched_setaffinity(0, processors)}


def measured(folder, problem, rows, threads, model):
    """What `fit` prints in a process of its own, or the error that ended it."""
    command = [sys.executable, "-P", "-W", "ignore", __file__, "fit", folder, problem, str(rows), str(threads), model]
    done = subprocess.run(command, capture_output=True, text=True, **pinned(threads))
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def installed(names):
    """Models whose packages are installed; the others are named."""
    for name in names:
        try:
            make(name, "clf", 1)
            yield name
        except ImportError as error:
            print(f"left out: {name} ({error})")


def run(arguments):
    done = set()
    if arguments.out.exists():
        with arguments.out.open() as file:  # what failed is tried again
            done = {tuple(row[name] for name in KEY) for row in csv.DictReader(file) if not row["error"]}
    models = list(installed(arguments.models))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("a", newline="") as file, tempfile.TemporaryDirectory() as folder:
        writer = csv.DictWriter(file, FIELDS)
        if not file.tell():
            writer.writeheader()
        for problem in arguments.problems:
            for name, array in zip("Xy", PROBLEMS[problem][0](LARGEST + N_TEST), strict=True):
                np.save(pathlib.Path(folder, f"{name}.npy"), array)
            every = itertools.product(arguments.rows, arguments.threads, range(arguments.repeats), models)
            for rows, threads, repeat, model in every:
                key = dict(zip(KEY, (problem, rows, threads, repeat, model), strict=True))
                if tuple(map(str, key.values())) in done:
                    continue
                row = key | measured(folder, problem, rows, threads, model)
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
                file.flush()
                print(*(f"{v:.4g}" if isinstance(v, float) else v for v in row.values()), flush=True)


# ------------------------------------------------------------------------------------ report ----


def summarise(rows, problem):
    """One line for each number of rows and model: medians over the repeats."""
    some = rows[(rows["problem"] == problem) & rows["error"].isna()]
    models = [name for name in MODELS if name in set(some["model"])]
    values = some.groupby(["rows", "threads", "model"])[FIELDS[len(KEY) : -1]].median().unstack("threads")
    score = PROBLEMS[problem][2]
    lines = {score: values["score"].bfill(axis=1).iloc[:, 0], "log loss": values["log_loss"].bfill(axis=1).iloc[:, 0]}
    for threads in sorted(set(some["threads"])):
        lines[f"seconds, {NUMBERS.get(threads, threads)} thread{'s' if threads > 1 else ''}"] = values[
            "seconds", threads
        ]
    first = min(some["threads"])
    lines["CPU seconds"] = values["cpu_seconds", first]
    lines["memory, MB"] = values["megabytes", first]
    lines["predict, seconds"] = values["predict_seconds", first]
    table = pd.DataFrame(lines).dropna(axis=1, how="all")
    order = pd.MultiIndex.from_product([sorted(set(some["rows"])), models], names=["rows", "model"])
    return table.reindex(order).dropna(how="all")


def as_rst(title, table):
    """A section with a table."""
    lines = [title, "^" * len(title), "", ".. list-table::", "   :header-rows: 1", ""]
    exact = {"accuracy", "R²", "log loss"}
    text = table.apply(lambda c: [" " if np.isnan(v) else f"{v:.4f}" if c.name in exact else f"{v:.3g}" for v in c])
    rows = [["rows", "model", *text.columns]]
    for n, part in text.groupby(level="rows"):
        for i, (name, cells) in enumerate(part.droplevel("rows").iterrows()):
            rows.append(["" if i else f"{n:,}", name, *cells])
    for row in rows:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, "", ""])


def draw(summaries, path):
    """A panel for each problem, a line for each model: score against seconds, a larger mark for more rows."""
    from draw import plt, save

    n = len(summaries)
    figure, panels = plt.subplots(1, n, figsize=(3.5 * n, 3.9), layout="constrained", squeeze=False)
    sizes, models = (
        sorted({value for table in summaries.values() for value in table.index.unique(level)}, key=key)
        for level, key in (("rows", None), ("model", list(MODELS).index))
    )
    for ax, (problem, table) in zip(panels.flat, summaries.items(), strict=True):
        seconds = next(name for name in table.columns if name.startswith("seconds"))
        for model in table.index.unique("model"):
            line = table.xs(model, level="model")
            score, colour = line[PROBLEMS[problem][2]], COLOURS[model]
            ax.plot(line[seconds], score, "-", color=colour, lw=2 if model == "tabular_pipeline" else 1.2, zorder=2)
            marks = [14 * (1 + 2 * sizes.index(n)) for n in line.index]
            ax.scatter(line[seconds], score, marks, color=colour, label=model, zorder=3)
        ax.set(
            title=problem,
            xscale="log",
            xlabel=seconds.replace("seconds", "seconds of a fit"),
            ylabel=PROBLEMS[problem][2],
        )
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.grid(color="#8a8a8a", alpha=0.3, lw=0.6)
        ax.set_axisbelow(True)
        ax.spines[["right", "top"]].set_visible(False)
    keys = [plt.Line2D([], [], color=COLOURS[name], marker="o", ms=5, label=name) for name in models]
    keys += [
        plt.Line2D([], [], ls="", marker="o", color="#8a8a8a", ms=np.sqrt(14 * (1 + 2 * i)), label=f"{n:,} rows")
        for i, n in enumerate(sizes)
    ]
    figure.legend(handles=keys, frameon=False, loc="outside lower center", ncols=(len(keys) + 1) // 2)
    save(figure, path)


PICTURE = "accuracy or R² against seconds of a fit, a line for each model through the numbers of rows"


def write_report(rows, folder):
    """Put tables.inc and the diagram into the folder."""
    from draw import as_rst as picture
    from draw import draw_themes

    folder.mkdir(parents=True, exist_ok=True)
    summaries = {problem: summarise(rows, problem) for problem in PROBLEMS if problem in set(rows["problem"])}
    draw_themes(functools.partial(draw, summaries), folder / "tables")
    text = [picture(f"/{folder.name}/tables", PICTURE)]
    text += [as_rst(problem.capitalize(), table) for problem, table in summaries.items()]
    (folder / "tables.inc").write_text("\n".join(text))


def report(arguments):
    rows = pd.read_csv(arguments.csv)
    for problem in PROBLEMS:
        if problem in set(rows["problem"]):
            print(f"\n{problem}\n{summarise(rows, problem).to_string(float_format='{:.4g}'.format)}")
    for _, row in rows[rows["error"].notna()].iterrows():
        print("failed:", *(row[name] for name in KEY), row["error"])
    if arguments.out:
        write_report(rows, arguments.out)


def listed(kind):
    """A type for arguments with commas between: names, or numbers such as 1e5."""
    return lambda text: [kind(part) for part in text.split(",")]


def count(text):
    """A number of rows."""
    rows = int(float(text))
    if not WARM_UP <= rows <= LARGEST:
        raise argparse.ArgumentTypeError(f"there are from {WARM_UP:,} to {LARGEST:,} rows to train on, not {rows:,}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fits = commands.add_parser("run", help="fit and measure")
    fits.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to add to")
    fits.add_argument("--problems", type=listed(str), default=list(PROBLEMS), help="names, with commas between")
    fits.add_argument("--rows", type=listed(count), default=[10_000, 100_000], help="numbers, with commas between")
    fits.add_argument("--models", type=listed(str), default=list(MODELS), help="names, with commas between")
    fits.add_argument("--threads", type=listed(int), default=[1], help="numbers, with commas between")
    fits.add_argument("--repeats", type=int, default=1, help="fits of each, whose median counts")
    fits.set_defaults(command=run)
    one = commands.add_parser("fit")  # what run starts
    one.add_argument("folder", type=pathlib.Path)
    one.add_argument("problem")
    one.add_argument("rows", type=int)
    one.add_argument("threads", type=int)
    one.add_argument("model")
    one.set_defaults(command=lambda a: fit(a.folder, a.problem, a.rows, a.threads, a.model))
    summary = commands.add_parser("report", help="tables and a diagram")
    summary.add_argument("csv", type=pathlib.Path)
    summary.add_argument("--out", type=pathlib.Path, help="folder for tables.inc and the diagram")
    summary.set_defaults(command=report)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.command(arguments)


if __name__ == "__main__":
    main()
