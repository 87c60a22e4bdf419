"""Weights of hidden units as images
=================================

The weights from the 64 pixels of a digit to a hidden unit can be shown as an image: positive weights are orange,
negative weights are purple. Three networks are trained on the same digits, without regularisation, with a penalty on
large weights (``alpha``), and with dropout of the pixels. Their units learn different features.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbackprop import MLPSoftmaxClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)

# %%
# The figure shows, of the 40 units of each network, the 16 with the largest input and output weights. The colours of
# each network are scaled to its largest weights. Rim pixels are those that are almost always empty.

variants = {
    "no regularisation": {"alpha": 0.0},
    "alpha=3": {"alpha": 3.0},
    "dropout=(0.3, 0)": {"alpha": 0.0, "dropout": (0.3, 0.0)},
}
rim = X_train.mean(axis=0) < 0.02


def mosaic(images, side=4):
    """Put images beside each other, with an empty line between them."""
    padded = np.pad(images, ((0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return padded.reshape(side, side, 9, 9).swapaxes(1, 2).reshape(side * 9, side * 9)[:-1, :-1]


fig, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
fig.get_layout_engine().set(wspace=0.08)
for ax, (name, params) in zip(axes, variants.items(), strict=True):
    network = MLPSoftmaxClassifier((40,), learning_rate="onecycle", max_iter=40, weight_decay=0.0, random_state=0)
    network.set_params(**params).fit(X_train, y_train)
    W1, W2 = network.coefs_
    order = np.argsort(-np.linalg.norm(W1, axis=0) * np.linalg.norm(W2, axis=1))
    images = W1[:, order[:16]].T.reshape(16, 8, 8)
    strong = np.quantile(np.abs(images), 0.99)
    ax.imshow(mosaic(images), cmap="PuOr_r", vmin=-strong, vmax=strong)
    ax.set_title(name)
    ax.axis("off")
    on_rim, inside = (np.sqrt(np.mean(W1[pixels] ** 2)) for pixels in (rim, ~rim))
    shares = np.sort(W1**2 / np.sum(W1**2, axis=0), axis=0)[-8:].sum(axis=0)
    print(f"{name}: accuracy on the test rows {network.score(X_test, y_test):.3f}")
    print(f"    weights on the rim {on_rim:.2f}, inside {inside:.2f}; the 8 strongest {shares.mean():.2f}")
plt.show()

# %%
# Without regularisation the images look like noise, and weights at the rim are almost as large as inside: the network
# has overfitted to the few images with ink there. With the penalty, weights at the rim are small (0.02 instead of about
# 0.4), and strokes and holes remain in the middle. With dropout of the pixels, each unit relies on a few neighbouring
# pixels: the eight largest of its 64 weights hold about 0.6 of the sum of squares, instead of 0.5. The accuracies are
# of one run on 450 test rows, where a difference of 0.01 is noise. Images of weights show how a network works, not how
# good it is.
