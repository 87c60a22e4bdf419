"""
One model on many machines
==========================

A minibatch may lie on several machines: each works out the gradient of its own rows, and the sums add up to the
gradient of the whole. So a cluster of Dask learns the model that one machine would have learned, whatever lies where,
at the price of messages in every step. What if it sent fewer?
"""

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client
from sklearn.datasets import load_digits

from skbackprop import MLPSoftmaxClassifier
from skbackprop.dask import DaskMLPSoftmaxClassifier

# %%
# The first two thirds of the digits, in five partitions of very different sizes, on three workers. These are threads of
# this process here; give ``Client`` the address of a scheduler, and they are machines. Dask spreads the partitions.

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
# On a slow network, ``sync_every=k`` lets each worker make k steps of its own before all take the mean of their
# weights. That is another training: every worker follows its own rows for a while.

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
# The blue line runs in the middle of the grey one. With fewer messages training is slower to fit the rows. When more
# machines pay at all is worked out in :doc:`/user_guide/scaling`.
