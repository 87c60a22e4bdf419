"""
Learning from a stream with drift
=================================

Rows arrive in blocks, and the relation between X and y changes: slowly at first, then abruptly. Each block is first
predicted and then used for training, so every accuracy is on new rows. We compare fitting once, refitting regularly
with ``warm_start=True``, and calling ``partial_fit`` with each block, and print the progress.
"""

import matplotlib.pyplot as plt
import numpy as np

from skbackprop import MLPSoftmaxClassifier

# %%
# The classes are the inside and the outside of a circle. Its centre moves slowly, and jumps to the other side once. One
# label in twenty is wrong, so the best possible accuracy is 0.95.

rng = np.random.default_rng(0)
n_blocks, rows, jump, noise = 120, 200, 70, 0.05


def block(t):
    """Rows and labels at time t."""
    angle = 0.02 * t + (np.pi if t >= jump else 0.0)
    X = rng.uniform(-2, 2, size=(rows, 2))
    inside = np.hypot(X[:, 0] - np.cos(angle), X[:, 1] - np.sin(angle)) < 1.2
    return X, inside ^ (rng.random(rows) < noise)


# %%
# The first model is fitted to the first ten blocks only. The second is refitted every ten blocks to the last ten, from
# the weights of its last fit. The third trains one epoch on each block; the first call gets all classes, since a block
# may lack one. Progress is printed every twenty blocks: a lower accuracy means that something has changed.

once = MLPSoftmaxClassifier(random_state=0)
refitted = MLPSoftmaxClassifier(warm_start=True, random_state=0)
streamed = MLPSoftmaxClassifier(learning_rate_init=0.01, batch_size=16, random_state=0)
models = {"fitted once": once, "warm start every 10 blocks": refitted, "partial_fit on each block": streamed}
accuracy = {name: [] for name in models}
seen = []
for t in range(n_blocks):
    X, y = block(t)
    if t >= 10:
        for name, model in models.items():
            accuracy[name].append(model.score(X, y))
    seen.append((X, y))
    streamed.partial_fit(X, y, classes=[False, True])
    if t % 10 == 9:
        window = [np.concatenate(part) for part in zip(*seen[-10:], strict=True)]
        refitted.fit(*window)
        if t == 9:
            once.fit(*window)
    if t % 20 == 19:
        recent = ", ".join(f"{name} {np.mean(values[-10:]):.3f}" for name, values in accuracy.items())
        print(f"block {t + 1}, {streamed.t_} rows, loss {streamed.loss_curve_[-1]:.3f}; accuracy: {recent}")

# %%

fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
time = np.arange(10, n_blocks)
for (name, values), color in zip(accuracy.items(), ["0.5", "C1", "C0"], strict=True):
    print(f"{name:26}: mean accuracy {np.mean(values):.3f}, last 20 blocks {np.mean(values[-20:]):.3f}")
    ax.plot(time, values, color=color, alpha=0.25)
    means = [np.mean(values[max(0, i - 4) : i + 1]) for i in range(len(values))]
    ax.plot(time, means, color=color, lw=2, label=name)
ax.axhline(1 - noise, ls=":", color="0.3")
ax.text(n_blocks, 1 - noise + 0.005, "best possible", ha="right", color="0.3")
ax.axvline(jump, ls="--", color="0.3")
ax.text(jump - 0.7, 0.42, "the centre jumps", rotation=90, ha="right", color="0.3")
ax.set(xlabel="block", ylabel="accuracy before learning from the block", ylim=(0.4, 1.0))
ax.legend(loc="lower left")
plt.show()

# %%
# Pale lines are single blocks, strong lines are means of the last five. The model that is fitted once becomes worse as
# the circle moves. The refitted model follows the circle, but after the jump it is wrong until the next refit. By then
# ``partial_fit`` has mostly adapted.
