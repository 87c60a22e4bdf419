"""Training on a device, through scikit-learn's array API, beside plain torch on it and our compiled engine on the CPU.

    python benchmarks/gpu.py [--device cuda] [--quick] [--repeats 3]

Without --device the first GPU is taken, or the CPU where there is none. All train the same float32 network by Adam
on the same random rows, with the same batches; the first epoch, in which libraries warm up, is not counted. Ratios
are of medians, above 1 where skbackprop on the device is faster. Needs torch.
"""

import argparse
import itertools
import os
import statistics
import time

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported

import numpy as np
import sklearn
import torch

from skbackprop import MLPSoftmaxClassifier

# rows, inputs, hidden layers, batch size
WORKS = {
    "small": (20_000, 100, (100,), 200),
    "wide": (60_000, 784, (1000, 1000), 1000),
    "large batch": (500_000, 100, (500, 500), 10_000),
}
QUICK = {"small": (2_000, 20, (20,), 200)}
CLASSES, EPOCHS = 10, 3


def wait_for(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def timed(fit, device):
    """Seconds of EPOCHS epochs: of so many and one, less those of one alone."""
    seconds = []
    for epochs in (1, EPOCHS + 1):
        wait_for(device)
        start = time.perf_counter()
        fit(epochs)
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1] - seconds[0]


def ours(X, y, hidden, batch_size, epochs):
    model = MLPSoftmaxClassifier(
        hidden,
        batch_size=batch_size,
        max_iter=epochs,
        learning_rate="cosine",  # has a plan, and so does not stop earlier
        alpha=0.0,
        weight_decay=0.0,
        random_state=0,
    )
    with sklearn.config_context(array_api_dispatch=isinstance(X, torch.Tensor)):
        model.fit(X, y)


def plain_torch(X, y, hidden, batch_size, epochs):
    sizes = [X.shape[1], *hidden]
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], CLASSES)).to(X.device)
    optimizer, loss = torch.optim.Adam(module.parameters()), torch.nn.CrossEntropyLoss()
    total = torch.zeros((), device=X.device)
    for _ in range(epochs):
        order = torch.randperm(len(X), device=X.device)
        for rows in order.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            value = loss(module(X[rows]), y[rows])
            value.backward()
            optimizer.step()
            total += value.detach()
        float(total)


def run(name, work, device, repeats):
    n, width, hidden, batch_size = work
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, width)).astype(np.float32), rng.integers(0, CLASSES, n)
    there = torch.tensor(X, device=device), torch.tensor(y, device=device)
    contestants = {
        f"skbackprop, {device}": lambda epochs: ours(*there, hidden, batch_size, epochs),
        f"plain torch, {device}": lambda epochs: plain_torch(*there, hidden, batch_size, epochs),
        "skbackprop, compiled, CPU": lambda epochs: ours(X, y, hidden, batch_size, epochs),
    }
    seconds = {who: [] for who in contestants}
    for _ in range(repeats):
        for who, fit in contestants.items():
            seconds[who].append(timed(fit, device))
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    first = next(iter(medians.values()))
    print(f"\n{name}: {n} rows, {width} inputs, hidden {hidden}, batches of {batch_size}, {EPOCHS} epochs")
    for who, median in medians.items():
        print(f"  {who:28s} {median:9.3f} s   ratio {median / first:6.2f}")
    return medians


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="one tiny work, to see that all run")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    is_gpu = torch.device(args.device).type == "cuda"
    name = torch.cuda.get_device_name(args.device) if is_gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"device: {name}; torch {torch.__version__}")
    for work, sizes in (QUICK if args.quick else WORKS).items():
        run(work, sizes, args.device, args.repeats)


if __name__ == "__main__":
    main()
