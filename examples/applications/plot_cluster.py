"""
Training on a Dask cluster
==========================

The rows of a minibatch may be on several machines: each computes the gradient of its own rows, and the sum is the
gradient of the minibatch. So a Dask cluster trains the same model as one machine, however the rows are distributed, but
sends messages in every step. This example also trains with fewer messages.
"""

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client
from sklearn.datasets import load_digits

from skbackprop import MLPSoftmaxClassifier
from skbackprop.dask import DaskMLPSoftmaxClassifier

# %%
# The first two thirds of the digits are in five partitions of very different sizes, which Dask distributes over three
# workers. Here the workers are threads of this process. To use other machines, pass ``Client`` the address of their
# scheduler.

X, y = load_digits(return_X_y=True)
X = X / 16.0
X_train, y_train, X_test, y_test = X[:1200], y[:1200], X[1200:], y[1200:]
cuts = (700, 50, 200, 10, 240)
far = da.from_array(X_train, chunks=(cuts, -1)), da.from_array(y_train, chunks=(cuts,))
client = Client(processes=False, n_workers=3, threads_per_worker=1, dashboard_address=":0")

params = {"hidden_layer_sizes": (64,), "batch_size": 60, "max_iter": 30, "random_state": 0}
local = MLPSoftmaxClassifier(**params).fit(X_train, y_train)
exact = DaskMLPSoftmaxClassifier(**params).fit(*far)
apart = max(abs(ours - theirs).max() for ours, theirs in zip(exact.coefs_, local.coefs_, strict=True))
print(f"after {local.n_iter_} epochs the weights differ by at most {apart:.0e}")
print(f"accuracy on the other third: here {local.score(X_test, y_test):.4f}, there {exact.score(X_test, y_test):.4f}")

# %%
# For slow networks, ``sync_every=k`` lets each worker make k steps on its own rows, before the weights of all workers
# are averaged. The result then differs from training on one machine.

fewer = {k: DaskMLPSoftmaxClassifier(sync_every=k, **params).fit(*far) for k in (4, 20)}
client.close()

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
epochs = np.arange(1, local.n_iter_ + 1)
ax.semilogy(epochs, local.loss_curve_, color="#d0d0d0", lw=8, label="one machine")
ax.semilogy(epochs, exact.loss_curve_, color="#2a7f9e", label="cluster, every step")
for (k, model), style in zip(fewer.items(), ("--", ":"), strict=True):
    score = model.score(X_test, y_test)
    ax.semilogy(epochs, model.loss_curve_, style, color="#c8641b", label=f"every {k} steps (accuracy {score:.3f})")
ax.set(xlabel="epoch", ylabel="loss of the training rows", title="Three workers, uneven partitions")
ax.legend(frameon=False)
plt.show()

# %%
# The loss on the cluster (blue) equals that on one machine (grey). With fewer messages the loss falls more slowly.
# :doc:`/user_guide/scaling` shows when more machines save time.
