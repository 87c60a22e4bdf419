"""Training on more rows than memory should hold: seconds an epoch, MB/s and peak resident memory.

    python benchmarks/out_of_core.py --folder FOLDER [--gigabytes 8] [--memory 256MB] [--epochs 2] [--threads N]
                                     [--features 128] [--layers 64 64] [--files 8] [--map] [--cold] [--kill] [--keep]

Random float32 rows and labels are written into the folder, trained on by a process of its own, and deleted again.
The resident memory is what that process holds at its highest above what it held once a small model had been
trained. With --map one file is given as a memory map instead of a folder of files; with --cold the system is asked to
forget the files before the run; with --kill the training is run once more, killed by SIGKILL half-way through its
second epoch and started again, and the weights of both are compared. Linux only.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

CHUNK = 100_000  # rows written at a time


def write(folder, n, width, n_files):
    """Write rows whose label depends on a hidden direction and a product, so that there is something to learn."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=width).astype(np.float32) / np.sqrt(width)
    for k, part in enumerate(np.array_split(np.arange(0, n, CHUNK), n_files)):
        rows = int(min(n, part[-1] + CHUNK) - part[0])
        X = np.lib.format.open_memmap(folder / f"X-{k:03d}.npy", "w+", np.float32, (rows, width))
        y = np.lib.format.open_memmap(folder / f"y-{k:03d}.npy", "w+", np.int8, (rows,))
        for start in range(0, rows, CHUNK):
            block = rng.standard_normal((min(CHUNK, rows - start), width), dtype=np.float32)
            X[start : start + CHUNK] = block
            y[start : start + CHUNK] = block @ direction + block[:, 0] * block[:, 1] > 0
            X.flush()
        del X, y


def forget(folder):
    """Ask the system to drop the files from its cache."""
    os.sync()
    for path in folder.glob("*.npy"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak():
    """MB that were resident at most; not ru_maxrss, which begins with that of the process that started this one."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def train(args):
    """In the process of its own: print what it took, as JSON."""
    from skbackprop import MLPSoftmaxClassifier
    from skbackprop.data import Shards

    params = {
        "hidden_layer_sizes": tuple(args.layers), "learning_rate": "onecycle", "random_state": 0,
        "weight_decay": args.weight_decay if args.weight_decay == "auto" else float(args.weight_decay),
        "n_threads": args.threads,
    }  # fmt: skip
    some = np.random.default_rng(1).standard_normal((2000, args.features), dtype=np.float32)
    MLPSoftmaxClassifier(**params, max_iter=1).fit(some, np.arange(2000) % 2)
    before = peak()
    folder = pathlib.Path(args.folder)
    if args.map:
        maps = [np.load(folder / f"{name}-000.npy", mmap_mode="r") for name in "Xy"]
        data = Shards(*maps, memory=args.memory)
    else:
        data = Shards(folder, memory=args.memory)
    began = time.perf_counter()
    model = MLPSoftmaxClassifier(**params, max_iter=args.epochs, verbose=1)
    model.fit(data, checkpoint=folder / "checkpoint")
    total = time.perf_counter() - began
    weights = hashlib.sha256(b"".join(array.tobytes() for array in [*model.coefs_, *model.intercepts_]))
    found = {"seconds": total, "before": before, "peak": peak(), "loss": model.loss_, "weights": weights.hexdigest()}
    print(json.dumps(found))


def start(folder):
    """Start that process, whose lines are read from stdout."""
    options = [*sys.argv[1:], "--child"]
    if "--folder" in options:
        at = options.index("--folder")
        del options[at : at + 2]
    command = [sys.executable, "-P", "-W", "ignore", __file__, *options, "--folder", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed_and_resumed(folder, epoch):
    """Train again from the start, and be killed on the way; the result in the end."""
    (folder / "checkpoint").unlink()
    with start(folder) as process:
        next(line for line in process.stdout if line.startswith("epoch"))
        time.sleep(epoch / 2)
        process.kill()
    print("  killed")
    with start(folder) as process:
        *lines, result = process.stdout
    print(*(f"  {line}" for line in lines), sep="", end="")
    return json.loads(result)


def run(folder, args):
    n = int(args.gigabytes * 1e9 / (4 * args.features))
    n_files = 1 if args.map else args.files
    began = time.perf_counter()
    write(folder, n, args.features, n_files)
    print(f"{n:,} rows of {args.features} float32, {4e-9 * n * args.features:.2f} GB in {n_files} files, written in "
          f"{time.perf_counter() - began:.0f} s")  # fmt: skip
    if args.cold:
        forget(folder)
    lines, stamps = [], [time.perf_counter()]
    with start(folder) as process:
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("epoch"):
                stamps.append(time.perf_counter())
            if not line.startswith("{"):
                print("  " + line.strip())
    if process.returncode:
        raise SystemExit(f"the training failed with code {process.returncode}")
    result = json.loads(lines[-1])
    epochs = np.diff(stamps)[1:] if args.epochs > 1 else np.diff(stamps)
    seconds = float(np.median(epochs))
    rate = 4e-6 * n * args.features / seconds
    print(f"an epoch: {seconds:.1f} s ({rate:.0f} MB/s); in all: {result['seconds']:.1f} s")
    print(f"resident memory: {result['before']:.0f} MB before, at most {result['peak'] - result['before']:.0f} MB more "
          f"(memory={args.memory}); loss {result['loss']:.4f}")  # fmt: skip
    if args.kill:
        again = killed_and_resumed(folder, seconds)
        print("killed and resumed: " + ("the same bits" if again["weights"] == result["weights"] else "OTHER WEIGHTS"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where the rows are written; default: the folder of temporary files")
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--layers", type=int, nargs="*", default=[64, 64])
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--weight-decay", default="auto")
    parser.add_argument("--map", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the rows in the folder")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train(args)
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="out_of_core-", dir=args.folder))
    try:
        run(folder, args)
    finally:
        if not args.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
