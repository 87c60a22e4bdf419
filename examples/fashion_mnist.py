"""Train on the 60,000 images of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017).

python examples/fashion_mnist.py                 fetches them from OpenML
python examples/fashion_mnist.py --data DIR      reads the four original idx.gz files
                                                 (Debian's package dataset-fashion-mnist has them)
"""

import argparse
import gzip
import pathlib
import time

import matplotlib
import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.metrics import ConfusionMatrixDisplay, log_loss

from skbackprop import MLPSoftmaxClassifier

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"]
N_TRAIN = 60_000


def read_idx(path):
    """Read one idx.gz file: two zero bytes, type, number of axes, lengths of the axes, data."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: --data must name the folder of the four original idx.gz files.")
    content = gzip.decompress(path.read_bytes())
    n_axes = content[3]
    shape = np.frombuffer(content, ">i4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def load(folder):
    """Pixels between 0 and 1, with one row per image, and class numbers; training rows first."""
    if folder is None:
        data = fetch_openml("Fashion-MNIST", version=1, as_frame=False)
        X, y = data.data, data.target
    else:
        parts = [
            [read_idx(folder / f"{part}-{kind}.gz") for part in ("train", "t10k")]
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ]
        X, y = (np.concatenate(part) for part in parts)
    return X.reshape(len(X), -1).astype(np.float32) / 255.0, y.astype(int)


def draw(model, X_test, y_test, folder):
    """Save the loss curve and the confusion matrix."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    epochs = np.arange(1, model.n_iter_ + 1)
    axes.plot(epochs, model.loss_curve_, "o-", label="training (during the epoch)")
    axes.plot(epochs, model.validation_loss_curve_, "s-", label="validation (after it)")
    axes.set(xlabel="epoch", ylabel="cross-entropy", title="Fashion-MNIST, 512 hidden units")
    axes.legend()
    figure.savefig(folder / "fashion_mnist_loss.png", dpi=120)

    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        y_test, model.predict(X_test), display_labels=CLASSES, xticks_rotation=45, cmap="Blues", ax=axes
    )
    axes.set_title("10,000 test pictures")
    figure.savefig(folder / "fashion_mnist_confusion.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder with the four original idx.gz files")
    parser.add_argument("--out", type=pathlib.Path, default=".", help="folder for the two pictures")
    arguments = parser.parse_args()
    X, y = load(arguments.data)
    X_train, y_train, X_test, y_test = X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]

    model = MLPSoftmaxClassifier((512,), learning_rate="cosine", max_iter=15, random_state=0, verbose=True)
    start = time.perf_counter()
    model.fit(X_train[5000:], y_train[5000:], X_val=X_train[:5000], y_val=y_train[:5000])
    seconds = time.perf_counter() - start
    print(f"test accuracy {model.score(X_test, y_test):.4f}")
    print(f"test log loss {log_loss(y_test, model.predict_proba(X_test)):.4f}")
    print(f"training took {seconds:.1f} s")

    arguments.out.mkdir(parents=True, exist_ok=True)
    draw(model, X_test, y_test, arguments.out)
    print(f"fashion_mnist_loss.png and fashion_mnist_confusion.png are in {arguments.out.resolve()}")


if __name__ == "__main__":
    main()
