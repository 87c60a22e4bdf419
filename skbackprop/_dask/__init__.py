"""What skbackprop.dask is made of: shards on workers, a tree of comms between them, and the fit along it."""
