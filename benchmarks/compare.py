"""Side by side with scikit-learn, torch, XLA and onnxruntime where they are installed, and the machine's own peak.

    python benchmarks/compare.py [--quick] [--threads 1] [--works W1 W2] [--data DIR] [--out FOLDER]
    python benchmarks/compare.py --precision medium ...    on a processor with a matrix unit

All contestants run in turn in this one process, several times over; the table shows medians and the ratios of
medians, above 1 where skbackprop is faster: of the processor's seconds with one thread, of seconds on the wall with
more. "peak" is the share of a fit's useful operations in what one core does in a loop of multiply-adds alone, measured
in the same run, times the threads.

With --precision medium skbackprop has matmul_precision="medium", and beside it run its own default ("skbackprop,
float32") and the others' products of bfloat16 (torch.autocast, casts before and after each product in XLA).

W1-W3 want the 60,000 images of Fashion-MNIST (--data: the folder of its four idx.gz files) and otherwise
take random numbers of the same shape.
"""

import argparse
import functools
import gzip
import itertools
import json
import os
import pathlib
import platform
import re
import statistics
import time
import warnings
from importlib.metadata import version

import numpy as np
import scipy.sparse as sp
import threadpoolctl
from sklearn.datasets import load_digits, make_classification
from sklearn.neural_network import MLPClassifier

import skbackprop
from skbackprop import MLPSoftmaxClassifier
from skbackprop._engines.level import _cpu, has_tiles, level

MEAN_OF = ("W1", "W2", "W3", "W4", "W5", "W6")
FOREVER = 10**6  # epochs of patience: every contestant makes all of its epochs


# -------------------------------------------------------------------------------------- data ----


def images(folder, n, dtype=np.float32):
    rng = np.random.default_rng(0)
    if folder is None:
        return rng.random((n, 784), dtype=np.float32).astype(dtype), rng.integers(0, 10, n)
    read = [gzip.decompress((folder / f"train-{k}-ubyte.gz").read_bytes()) for k in ("images-idx3", "labels-idx1")]
    X = np.frombuffer(read[0], np.uint8, offset=16).reshape(-1, 784)[:n]
    return X.astype(dtype) / dtype(255), np.frombuffer(read[1], np.uint8, offset=8)[:n].astype(int)


def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def noise(n, width):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, width)).astype(np.float32), rng.integers(0, 10, n)


def texts(n, width=50_000, stored=100):
    rng = np.random.default_rng(0)
    columns = np.sort(rng.integers(0, width, (n, stored)), axis=1).ravel()
    X = sp.csr_matrix(
        (rng.random(n * stored, dtype=np.float32), columns, np.arange(0, n * stored + 1, stored)), (n, width)
    )
    X.sum_duplicates()
    return X, rng.integers(0, 5, n)


# ------------------------------------------------------------------------------- contestants ----


def ours(X, y, hidden, threads, **params):
    model = MLPSoftmaxClassifier(
        hidden, random_state=0, learning_rate="constant", n_iter_no_change=FOREVER, n_threads=threads, **params
    )
    return lambda: model.fit(X, y)


def scikit_learn(X, y, hidden, threads, **params):
    return lambda: MLPClassifier(hidden, random_state=0, n_iter_no_change=FOREVER, **params).fit(X, y)


def torch_eager(X, y, hidden, threads, batch_size, max_iter, **params):
    import torch

    torch.set_num_threads(threads)
    X, y = torch.tensor(X), torch.tensor(y)
    kind = X.dtype

    def fit():
        sizes = [X.shape[1], *hidden, int(y.max()) + 1]
        layers = []
        for a, b in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(a, b, dtype=kind), torch.nn.ReLU()]
        module = torch.nn.Sequential(*layers[:-1])
        optimizer, loss = torch.optim.Adam(module.parameters(), fused=True), torch.nn.CrossEntropyLoss()
        for _ in range(max_iter):
            order = torch.randperm(len(X))
            for start in range(0, len(X), batch_size):
                rows = order[start : start + batch_size]
                optimizer.zero_grad()
                loss(module(X[rows]), y[rows]).backward()
                optimizer.step()

    return fit


def torch_bfloat16(*args, **params):
    """Torch's own products of bfloat16."""
    import torch

    fit = torch_eager(*args, **params)

    def under_autocast():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fit()

    return under_autocast


def xla(X, y, hidden, threads, batch_size, max_iter, bfloat16=False):
    """The whole epoch in one jax.jit; compilation is not counted."""
    import jax
    import jax.numpy as jnp

    kind = jnp.bfloat16 if bfloat16 else X.dtype  # of the factors and results of products, as under torch.autocast
    sizes = [X.shape[1], *hidden, int(y.max()) + 1]
    X, Y = jnp.asarray(X), jnp.asarray(np.eye(sizes[-1], dtype=X.dtype)[y])
    n_steps = len(X) // batch_size

    def product(x, W):
        return (x.astype(kind) @ W.astype(kind)).astype(X.dtype)

    def loss(parameters, x, t):
        for W, b in parameters[:-1]:
            x = jax.nn.relu(product(x, W) + b)
        W, b = parameters[-1]
        return -jnp.mean(jnp.sum(t * jax.nn.log_softmax(product(x, W) + b), axis=1))

    @jax.jit
    def epoch(parameters, m, v, step, order):
        def one(carry, rows):
            parameters, m, v, t = carry
            g = jax.grad(loss)(parameters, X[rows], Y[rows])
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            t, scale = t + 1.0, jnp.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
            parameters = jax.tree.map(lambda p, m, v: p - 0.001 * scale * m / (jnp.sqrt(v) + 1e-8), parameters, m, v)
            return (parameters, m, v, t), None

        return jax.lax.scan(one, (parameters, m, v, step), order)[0]

    def fit():
        rng = np.random.default_rng(0)
        parameters = [
            (jnp.asarray(rng.normal(0, 0.05, (a, b)), X.dtype), jnp.zeros(b, X.dtype))
            for a, b in itertools.pairwise(sizes)
        ]
        m = jax.tree.map(jnp.zeros_like, parameters)
        state = parameters, m, m, jnp.asarray(0.0, X.dtype)
        for _ in range(max_iter):
            order = rng.permutation(len(X))[: n_steps * batch_size].reshape(n_steps, batch_size)
            state = epoch(*state, order)
        jax.block_until_ready(state)

    fit()
    return fit


def onnxruntime_session(model, threads):
    """A fitted scikit-learn model with one hidden layer of ReLU, for onnxruntime: gives probabilities."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    names = ["W1", "W2", "b1", "b2"]
    arrays = [A.astype(np.float32) for A in (*model.coefs_, *model.intercepts_)]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["X", "W1", "b1"], ["v1"]),
            helper.make_node("Relu", ["v1"], ["a1"]),
            helper.make_node("Gemm", ["a1", "W2", "b2"], ["v2"]),
            helper.make_node("Softmax", ["v2"], ["p"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, model.n_features_in_])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, model.n_outputs_])],
        [numpy_helper.from_array(A, name) for A, name in zip(arrays, names, strict=True)],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"X": X})


CONTESTANTS = {"skbackprop": ours, "scikit-learn": scikit_learn, "torch": torch_eager, "XLA": xla}
WITH_BFLOAT16 = {
    **CONTESTANTS,
    "skbackprop": functools.partial(ours, matmul_precision="medium"),
    "skbackprop, float32": ours,
    "torch, bfloat16": torch_bfloat16,
    "XLA, bfloat16": functools.partial(xla, bfloat16=True),
}
WORKS_WITH_BFLOAT16 = (*MEAN_OF, "W7")
NEEDS = {"torch": ["torch"], "XLA": ["jax"], "onnxruntime": ["onnx", "onnxruntime"]}


# ------------------------------------------------------------------------------------- works ----


def fits(arguments):
    """Name: (what it is, data, hidden layers, other parameters, contestants)."""
    n, quick = (6_000, 5) if arguments.quick else (60_000, 1)
    everybody, two = list(CONTESTANTS), ["skbackprop", "scikit-learn"]  # with or without products of bfloat16
    return {
        "W1": ("images, (100,), batch 200", lambda: images(arguments.data, n), (100,), (200, 2), everybody),
        "W2": ("images, (100,), batch 32", lambda: images(arguments.data, n), (100,), (32, 1), everybody),
        "W3": ("images, (512, 512), batch 128", lambda: images(arguments.data, n), (512, 512), (128, 1), everybody),
        "W4": ("digits, (100,), batch 200", digits, (100,), (200, 50 // quick), everybody),
        "W5": ("digits, (100,), batch 32", digits, (100,), (32, 20 // quick), everybody),
        "W6": ("digits, (64, 64), batch 32", digits, (64, 64), (32, 20 // quick), everybody),
        "W7": ("(1024, 1024), batch 1024", lambda: noise(8192 // quick, 1024), (1024, 1024), (1024, 1), everybody),
        "W8": (
            "W1 in float64",
            lambda: images(arguments.data, n, np.float64),
            (100,),
            (200, 2),
            ["skbackprop", "scikit-learn", "torch"],
        ),
        "W9": ("sparse, 50,000 columns", lambda: texts(n // 3), (100,), (200, 1), two),
    }


def prepared_fit(work, contestants, threads):
    _, data, hidden, (batch_size, max_iter), allowed = work
    X, y = data()
    params = {"batch_size": batch_size, "max_iter": max_iter}
    runs = {
        name: make(X, y, hidden, threads, **params) for name, make in contestants.items() if library(name) in allowed
    }
    sizes = [X.shape[1], *hidden, len(np.unique(y))]
    products = [a * b for a, b in itertools.pairwise(sizes)]
    # forward and gradient for every layer, backward for all but the first
    flops = 0 if sp.issparse(X) else 2.0 * X.shape[0] * max_iter * (3 * sum(products) - products[0])
    return runs, flops, X.dtype


def others(arguments):
    """Works that are not plain fits: name: (what it is, function of the threads giving the runs)."""

    def predictors(threads):
        X, y = images(arguments.data, 60_000 // (10 if arguments.quick else 1))
        params = {"hidden_layer_sizes": (100,), "max_iter": 1, "batch_size": 200}
        model = MLPClassifier(**params).fit(X, y)
        runs = {
            "skbackprop": MLPSoftmaxClassifier(**params, n_threads=threads, weight_decay=0.0).fit(X, y).predict_proba,
            "scikit-learn": model.predict_proba,
        }
        if installed("onnxruntime"):
            runs["onnxruntime"] = onnxruntime_session(model, threads)
        return X, runs

    def predict(threads):
        X, runs = predictors(threads)
        return {name: lambda run=run: run(X) for name, run in runs.items()}

    def predict_one(threads):
        X, runs = predictors(threads)
        row = X[:1].copy()
        return {name: lambda run=run: [run(row) for _ in range(500)] for name, run in runs.items()}

    def lbfgs(threads):
        X, y = digits()
        params = {"hidden_layer_sizes": (100,), "solver": "lbfgs", "max_iter": 50, "tol": 1e-12}
        return {
            "skbackprop": lambda: MLPSoftmaxClassifier(**params, dtype="float64", n_threads=threads).fit(X, y),
            "scikit-learn": lambda: MLPClassifier(**params).fit(X.astype(np.float64), y),
        }

    def early(threads):
        X, y = make_classification(10_000, 30, n_informative=15, n_classes=4, random_state=0)
        X = X.astype(np.float32)
        params = {"hidden_layer_sizes": (100,), "early_stopping": True, "random_state": 0, "max_iter": 300}
        alike = {"learning_rate": "constant", "batch_size": 200, "n_threads": threads}
        return {
            "skbackprop": lambda: MLPSoftmaxClassifier(**params, **alike).fit(X, y),
            "scikit-learn": lambda: MLPClassifier(**params).fit(X, y),
        }

    return {
        "W10": ("predict_proba, all images", predict),
        "W11": ("predict_proba, one image, 500 times", predict_one),
        "W12": ("L-BFGS, digits", lbfgs),
        "W13": ("10,000 x 30, early stopping to the end", early),
    }


def measure(runs, repeats, threads=1):
    """Median seconds of each, in turn: of the processor, which other processes do not lengthen, with one thread."""
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def library(name):
    """Whose contestant it is."""
    return name.split(",")[0]


def installed(name):
    try:
        for module in NEEDS.get(library(name), []):
            __import__(module)
    except ImportError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller works, three repeats")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["highest", "medium"], default="highest")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--works", nargs="+")
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, help="folder for compare.json and compare.md")
    arguments = parser.parse_args()
    repeats = arguments.repeats or (3 if arguments.quick else 5)
    pin(arguments.threads)
    # XLA reads its flags when it starts
    flags = f"--xla_cpu_multi_thread_eigen={str(arguments.threads > 1).lower()}"
    os.environ.setdefault("XLA_FLAGS", f"{flags} intra_op_parallelism_threads={arguments.threads}")
    warnings.simplefilter("ignore")
    medium = arguments.precision == "medium"
    if medium and not has_tiles():
        parser.error('this processor has no matrix unit: "medium" is the same as "highest" here')
    contestants = WITH_BFLOAT16 if medium else CONTESTANTS
    contestants = {name: make for name, make in contestants.items() if installed(name)}
    names = [*contestants, *(["onnxruntime"] if installed("onnxruntime") and not medium else [])]
    results = []
    with threadpoolctl.threadpool_limits(arguments.threads):
        peak = {bits: arguments.threads * _cpu.fma_rate(level(), f"float{bits}") for bits in (32, 64)}
        works = {**fits(arguments), **others(arguments)}
        for name in arguments.works or (WORKS_WITH_BFLOAT16 if medium else works):
            work = works[name]
            flops, bits = 0, 32
            if len(work) == 2:
                runs = work[1](arguments.threads)
            else:
                runs, flops, dtype = prepared_fit(work, contestants, arguments.threads)
                bits = 8 * dtype.itemsize
            seconds = measure(runs, repeats, arguments.threads)
            mine = seconds["skbackprop"]
            results.append(
                {
                    "work": name,
                    "what": work[0],
                    "seconds": seconds,
                    "ratios": {k: v / mine for k, v in seconds.items() if k != "skbackprop"},
                    "peak": flops / mine / peak[bits] if flops else None,
                }
            )
            print(row(results[-1], names), flush=True)
    report(results, names, arguments, peak)


def pin(threads):
    """Keep the process, whatever its libraries start, on as many processors as it may use threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def processor():
    """Name of the processor, where the system tells it."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return f"{found[1] if found else platform.machine()}"


def versions(names):
    packages = {"scikit-learn": "scikit-learn", "torch": "torch", "XLA": "jax", "onnxruntime": "onnxruntime"}
    libraries = dict.fromkeys(library(name) for name in names)
    peers = [f"{packages[name]} {version(packages[name])}" for name in libraries if name in packages]
    return ", ".join([f"skbackprop {skbackprop.__version__}", *peers, f"Python {platform.python_version()}"])


def command(arguments):
    """What to type to have these figures on another machine."""
    data = " --data DIR" if arguments.data else ""
    forced = os.environ.get("SKBACKPROP_CPU")
    start = f"SKBACKPROP_CPU={forced} " if forced else ""
    precision = " --precision medium" if arguments.precision == "medium" else ""
    return f"{start}python benchmarks/compare.py --threads {arguments.threads}{precision}{data}"


def row(result, names):
    cells = [result["work"], result["what"], f"{result['seconds']['skbackprop']:.4g} s"]
    cells += [f"{result['ratios'][k]:.2f}" if k in result["ratios"] else "" for k in names if k != "skbackprop"]
    return "| " + " | ".join([*cells, "" if result["peak"] is None else f"{result['peak']:.2f}"]) + " |"


def report(results, names, arguments, peak):
    peers = [name for name in names if name != "skbackprop"]
    head = ["", "work", "skbackprop", *(f"{name} / skbackprop" for name in peers), "peak"]
    means = []
    for name in peers:
        ratios = [r["ratios"][name] for r in results if r["work"] in MEAN_OF and name in r["ratios"]]
        means.append(f"{statistics.geometric_mean(ratios):.2f}" if ratios else "")
    facts = (
        f"{processor()}, level {level()}, {arguments.threads} thread(s), "
        f"peak {peak[32] / 1e9:.0f} (float32) and {peak[64] / 1e9:.0f} (float64) GFLOP/s; {versions(names)}"
    )
    lines = [facts, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(row(r, names) for r in results)]
    lines += ["| | geometric mean of W1-W6 | | " + " | ".join([*means, ""]) + " |"]
    print("\n" + "\n".join(lines))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "compare.md").write_text("\n".join(lines) + "\n")
        (arguments.out / "compare.json").write_text(
            json.dumps({"facts": facts, "command": command(arguments), "results": results}, indent=1)
        )


if __name__ == "__main__":
    main()
