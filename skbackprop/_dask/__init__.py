"""Training on a cluster of Dask: shards on workers, collective operations between them, and the fit that uses these."""
