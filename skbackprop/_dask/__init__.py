"""Training on a Dask cluster: shards on workers, collective operations between them, and the fit."""
