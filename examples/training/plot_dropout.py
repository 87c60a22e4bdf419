"""Where dropout helps, and where it does not
==========================================

In each training step dropout sets the outputs of randomly chosen hidden units to zero, so that no unit can rely on
another. This helps a network that is large for its data and would fit wrong labels, and harms a network that needs all
of its units. The example uses handwritten digits: few rows with wrong labels, and many rows with correct labels.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbackprop import MLPSoftmaxClassifier

X, y = load_digits(return_X_y=True)
X = X / 16
settings = {"200 rows, 30 % random labels, 200 units": (200, 0.3, 200), "1200 rows, 16 units": (1200, 0.0, 16)}
n_epochs, n_seeds = 60, 3

# %%
# Each call of ``partial_fit`` trains one epoch with a constant learning rate, and records the loss on the validation
# rows. These are all other rows, with correct labels. Rows, wrong labels, initial weights and dropout masks depend on
# the seed.


def curves(n_rows, noise, width, dropout, seed):
    """Training and validation loss of each epoch, and the accuracy at the end."""
    split = train_test_split(X, y, train_size=n_rows, stratify=y, random_state=seed)
    X_train, X_val, y_train, y_val = split
    rng = np.random.default_rng(seed)
    y_train = np.where(rng.random(n_rows) < noise, rng.integers(0, 10, n_rows), y_train)
    model = MLPSoftmaxClassifier((width,), dropout=dropout, batch_size=32, learning_rate_init=0.003, random_state=seed)
    for _ in range(n_epochs):
        model.partial_fit(X_train, y_train, X_val=X_val, y_val=y_val)
    return np.array([model.loss_curve_, model.validation_loss_curve_]), model.score(X_val, y_val)


colors = {0.0: "#0072B2", 0.2: "#E69F00", 0.5: "#D55E00"}
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, (title, setting) in zip(axes, settings.items(), strict=True):
    print(title)
    for dropout, color in colors.items():
        runs = [curves(*setting, dropout, seed) for seed in range(n_seeds)]
        losses, accuracies = zip(*runs, strict=True)
        training, validation = np.mean(losses, axis=0)
        ax.plot(np.arange(1, n_epochs + 1), validation, color=color, label=f"dropout={dropout}")
        ax.plot(np.arange(1, n_epochs + 1), training, color=color, ls=":")
        best = f"{validation.min():.2f} in epoch {validation.argmin() + 1}"
        print(f"dropout={dropout}: validation loss {best}, {validation[-1]:.2f} at the end")
        print(f"    accuracy {np.mean(accuracies):.3f} +- {np.std(accuracies):.3f}")
    ax.set(title=title, xlabel="epoch", ylabel="cross-entropy", ylim=(0, 1.5))
axes[1].legend(frameon=False)
kinds = [Line2D([], [], color="0.3", ls=style) for style in ("-", ":")]
axes[0].legend(kinds, ["validation", "training"], frameon=False)
plt.show()

# %%
# The curves are means of three runs. On the left, without dropout the validation loss rises after some 20 epochs, as
# the network fits the wrong labels. With ``dropout=0.5`` it stays low, and the final accuracy is higher. Early stopping
# would achieve most of this: the lowest losses differ less. On the right there is little overfitting, and dropout makes
# the network worse, since it needs all of its sixteen units. Training losses with dropout are computed with outputs set
# to zero, so they are higher than those of the trained network. The default is ``dropout=0.0``; with
# ``dropout="auto"``, ``fit`` chooses it by the noise of the data.
