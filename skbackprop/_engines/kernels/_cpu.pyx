# cython: language_level=3, boundscheck=False, freethreading_compatible=True
"""Python interface of the kernels, which compute without the GIL."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc

CODES = "Class codes must be integers in 0..n_classes - 1, one per row."


cdef extern from "system.h":
    ctypedef Py_ssize_t Int


cdef extern from "kernels.h" nogil:
    ctypedef struct Spec:
        Int H
        const Int *sizes
        const char *const *activations
        const double *dropout
        uint32_t seed
        const char *loss
        Int n_targets
        double focal_gamma, huber_delta, label_smoothing
        const double *quantiles
        Int n_quantiles
        Int n_members
        int input_scale
        double input_scale_rate
        const char *optimizer
        int nesterov
        double momentum, beta_1, beta_2, epsilon, weight_decay, max_grad_norm
    ctypedef struct Columns:
        Int width
        const void *values
        Int n_features
        const int64_t *sizes
        const uint16_t *bins
        const float *codes
        const int32_t *categories
        double low, high, middle
    ctypedef struct RowsIn:
        const void *X
        const Columns *columns
        Int n_columns
        Int n_rows, row_stride
        const void *data
        const void *indices
        const void *indptr
        Int n_entries
        int wide_indices
        const void *Y
        const void *weights
    ctypedef struct Net:
        pass
    ctypedef struct Kernels:
        const char *level
        Int itemsize
        const char *const *activations
        const char *const *losses
        const char *const *optimizers
        int (*create)(const Spec *, Int, Net **) noexcept nogil
        void (*destroy)(Net *) noexcept nogil
        int (*has_classes)(const Net *) noexcept nogil
        int (*set)(Net *, int, const void *) noexcept nogil
        int (*get)(const Net *, int, void *) noexcept nogil
        int (*gradient)(Net *, const RowsIn *, Int, Int, const int64_t *, void *, double *) noexcept nogil
        int (*apply)(Net *, const void *, double, Int) noexcept nogil
        int (*train)(Net *, const RowsIn *, const int64_t *, Int, const double *, Int, Int, double, double, Int,
                     double, double *, Int *) noexcept nogil
        int (*predict)(Net *, const RowsIn *, const void *, void *, int, int) noexcept nogil
        int (*encode)(const Columns *, Int, Int, const int64_t *, Int, void *, Int) noexcept nogil
        void (*set_extra)(Net *, double) noexcept nogil
        double (*get_extra)(const Net *) noexcept nogil
        void (*set_threads)(Net *, int) noexcept nogil
        double (*largest)(const void *, Int) noexcept nogil
        double (*fma_rate)() noexcept nogil
    enum:
        DONE, NOT_FINITE, NO_MEMORY, NO_SUCH_ROW, NO_SUCH_CLASS, NO_SUCH_SLOT, NO_SUCH_NETWORK
    const char *const skb_levels[]
    const Kernels *skb_kernels(const char *level, const char *format)
    int skb_supported(const char *level)
    int skb_ask_for_tiles()


cdef extern from "pool.h" nogil:
    int skb_get_num_threads()
    void skb_set_num_threads(int n)


cdef extern from "bins.h" nogil:
    void c_find_bins "find_bins" (const double *, Int, const double *, Int, double, double, uint16_t *, float *, Int)


def get_num_threads():
    """Number of threads if n_threads is None."""
    return skb_get_num_threads()


def set_num_threads(int n):
    """Set the number of threads if n_threads is None."""
    skb_set_num_threads(n)


cdef extern from *:
    """
    #if defined(__VERSION__)
    #define SKB_COMPILER __VERSION__
    #else
    #define SKB_COMPILER "unknown"
    #endif
    """
    const char *SKB_COMPILER


def compiler():
    """Version of the C compiler that built the kernels."""
    return SKB_COMPILER.decode()


cdef tuple names_in(const char *const *table):
    """The names in a NULL-terminated array."""
    found, i = [], 0
    while table[i] != NULL:
        found.append(table[i].decode())
        i += 1
    return tuple(found)


cdef const Kernels *kernels_of(str level, str dtype) except NULL:
    cdef const Kernels *kernels = skb_kernels(level.encode(), dtype.encode())
    # the system must be asked before tiles are used; without its permission they end the process
    lacks_tiles = (level, dtype) == ("amx", "bfloat16") and not skb_ask_for_tiles()
    if kernels == NULL or not skb_supported(level.encode()) or lacks_tiles:
        raise ValueError(f"There are no kernels for level {level!r} and dtype {dtype!r}.")
    return kernels


BUILT_LEVELS = names_in(skb_levels)  # instruction-set levels, best first
LEVELS = tuple(level for level in BUILT_LEVELS if skb_supported(level.encode()))  # that this CPU supports
ACTIVATIONS = names_in(kernels_of("baseline", "float32").activations)  # that have a kernel
LOSSES = names_in(kernels_of("baseline", "float32").losses)
OPTIMIZERS = names_in(kernels_of("baseline", "float32").optimizers)


def fma_rate(str level, str dtype):
    """Floating-point operations per second of one core in multiply-adds alone: the peak in benchmarks."""
    return kernels_of(level, dtype).fma_rate()


def ask_for_tiles():
    """Ask the system for permission to use tiles in this process; False if it is refused."""
    return bool(skb_ask_for_tiles())


cdef int checked(int status) except -1:
    """Raise the exception for a status that is an error; return the others."""
    if status == NO_MEMORY:
        raise MemoryError("not enough memory for the network's layers, its gradient and the optimizer")
    if status == NO_SUCH_ROW:
        raise ValueError(
            "X or the order of its rows is malformed: it points at rows, entries or columns that do not exist."
        )
    if status == NO_SUCH_CLASS:
        raise ValueError(CODES)
    if status == NO_SUCH_SLOT:
        raise ValueError("The optimizer has no such memory, or none yet.")
    return status


cdef void *address(object array, str name, Int itemsize, Int n_rows, Int width=1, bint writable=False) except NULL:
    """Address of the n_rows * width elements of a contiguous array; the caller keeps the array alive.

    All arrays from Python are checked here: another length or another element size is a ValueError. `CompiledEngine`
    checks the dtype: checking it here too would take NumPy longer than everything else.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef void *p = view.buf
    cdef Py_ssize_t size = view.len // itemsize, found = view.itemsize
    # without the product n_rows * width, which could overflow
    cdef bint fits = size % width == 0 and size // width == n_rows if width > 0 else width == size == 0 <= n_rows
    PyBuffer_Release(&view)
    if found != itemsize or not fits or <size_t>p % <size_t>itemsize:
        raise ValueError(
            f"{name} must be {<object>n_rows * width} numbers of {itemsize} bytes, aligned in the memory; it is an "
            f"array of shape {getattr(array, 'shape', None)} and dtype {getattr(array, 'dtype', None)}."
        )
    return p if p != NULL else <void *>&NOTHING


def largest(str level, array):
    """Largest absolute value of a C-contiguous array of floats, in one pass; not finite if one of them is not."""
    cdef const Kernels *kernels = kernels_of(level, array.dtype.name)
    cdef Int n = array.size
    cdef const void *p = address(array, "the array", kernels.itemsize, n)
    cdef double value
    with nogil:
        value = kernels.largest(p, n)
    return value


cdef double NOTHING = 0.0  # whose address stands for that of an empty array


cdef Int n_parameters(list sizes, Int n_members, bint input_scale) except -1:
    """Length of the flat vector, as in `Network.shapes`; the kernels' padded vectors are not much longer."""
    own = [1] * (len(sizes) - 2) + [n_members]  # number of matrices of each layer
    n = sum(n_members * n_out + k * n_in * n_out for k, n_in, n_out in zip(own, sizes, sizes[1:]))
    if n_members > 1:
        n += n_members * sum(n_in + n_out for n_in, n_out in zip(sizes, sizes[1:-1]))
    return n + sizes[0] if input_scale else n


def find_bins(x, edges, double low, double high, bins, codes, Int j):
    """Write the bins of the values x of a feature, and the codes in them, to column j of `bins` and `codes`."""
    cdef Int n = len(x), n_bins = len(edges) - 1, width = bins.shape[1]
    cdef const double *c_x = <const double *>address(x, "x", 8, n)
    cdef const double *c_edges = <const double *>address(edges, "edges", 8, n_bins + 1)
    cdef uint16_t *c_bins = <uint16_t *>address(bins, "bins", 2, n, width, True)
    cdef float *c_codes = <float *>address(codes, "codes", 4, n, width, True)
    if not (0 <= j < width and 0 <= n_bins < 2 ** 16):
        raise ValueError(f"There is no column {j} for {n_bins} bins.")
    with nogil:
        c_find_bins(c_x, n, c_edges, n_bins, low, high, c_bins + j, c_codes + j, width)


MOST_COLUMNS = 2 ** 31 - 1  # as lookups have 32-bit indices


cdef class Table:
    """A table with columns of numbers, bins or categories. It checks the arrays, and keeps them alive.

    parts: for each group of columns a dict with the names of `Columns` in C: values (n_rows, width) of `itemsize`
    bytes; or sizes of features with bins and codes, or with categories, (n_rows, n_features). All are contiguous.
    """

    cdef Columns *columns
    cdef Int n_columns, itemsize
    cdef readonly tuple shape
    cdef object parts

    def __cinit__(self, Int n_rows, Int itemsize, list parts):
        cdef Columns *c
        cdef Int n
        width = 0
        # copies, as callers may change their list and the sizes later
        parts = [{key: x.copy() if key == "sizes" else x for key, x in part.items()} for part in parts]
        self.parts, self.n_columns, self.itemsize = parts, len(parts), itemsize
        self.columns = <Columns *>calloc(self.n_columns + 1, sizeof(Columns))
        if self.columns == NULL:
            raise MemoryError
        for i, part in enumerate(parts):
            c = &self.columns[i]
            sizes = part["sizes"].tolist() if "sizes" in part else [part["values"].shape[1]]
            if min(sizes, default=0) < 0:
                raise ValueError("A feature cannot have fewer columns than none.")
            if width + sum(sizes) + len(sizes) > MOST_COLUMNS:
                raise ValueError(f"A table may have at most {MOST_COLUMNS} columns.")
            c.width = sum(sizes)
            if "values" in part:
                c.values = address(part["values"], "values", itemsize, n_rows, c.width)
            else:
                n = c.n_features = len(sizes)
                c.sizes = <const int64_t *>address(part["sizes"], "sizes", 8, n)
                if "categories" in part:
                    c.categories = <const int32_t *>address(part["categories"], "categories", 4, n_rows, n)
                else:
                    c.bins = <const uint16_t *>address(part["bins"], "bins", 2, n_rows, n)
                    c.codes = <const float *>address(part["codes"], "codes", 4, n_rows, n)
                    c.low, c.high, c.middle = part["low"], part["high"], part["middle"]
            width += c.width + c.n_features  # a feature has one level more than columns
        self.shape = n_rows, width - sum(len(part.get("sizes", ())) for part in parts)

    def __dealloc__(self):
        free(self.columns)

    def encode(self, str level, order, out):
        """Write the inputs of the rows `order` to the matrix `out`."""
        cdef const Kernels *kernels = kernels_of(level, "float32" if self.itemsize == 4 else "float64")
        cdef Int n_rows = self.shape[0], width = self.shape[1], n = len(order)
        cdef const int64_t *c_order = <const int64_t *>address(order, "the order of rows", 8, n)
        cdef void *p = address(out, "out", self.itemsize, n, width, True)
        cdef int status
        with nogil:
            status = kernels.encode(self.columns, self.n_columns, n_rows, c_order, n, p, width)
        checked(status)


cdef class CpuNet:
    """A network in the memory of the kernels, for batches of up to max_rows rows.

    All arguments are checked: invalid ones are a ValueError, and too large ones a MemoryError.
    """

    cdef const Kernels *kernels
    cdef Net *net
    cdef readonly Int max_rows
    cdef Int n_in, n_targets, row_out, n, itemsize  # row_out: outputs of all members; n: number of parameters
    cdef bint is_plain  # one member, no input scale, no tiles
    cdef bint has_classes  # are the targets class codes?

    def __cinit__(self, str level, str dtype, Int max_rows, *, sizes, activations, dropout, seed, str loss,
                  Int n_targets, double focal_gamma, double huber_delta, double label_smoothing, quantiles,
                  Int n_members, bint input_scale, double input_scale_rate, str optimizer, bint nesterov,
                  double momentum, double beta_1, double beta_2, double epsilon, double weight_decay,
                  double max_grad_norm):
        cdef Spec spec
        cdef list widths = [int(size) for size in sizes]
        cdef list names = [name.encode() for name in activations]
        cdef bytes loss_name = loss.encode(), optimizer_name = optimizer.encode()
        cdef Int n = len(widths), i
        cdef int status = NO_SUCH_NETWORK
        self.kernels = kernels_of(level, dtype)
        is_consistent = (
            n >= 2 and len(names) == n - 2 and len(dropout) == n - 1 and min(widths) >= 1
            and all(0.0 <= p < 1.0 for p in dropout) and n_targets >= 1 and n_members >= 1 and max_rows >= 1
        )
        largest = max(widths, default=0) + 64  # with its padding
        if is_consistent and float(n) * n_members * largest * max(largest, max_rows) > 2 ** 56:
            raise MemoryError(f"not enough memory for layers of the sizes {tuple(widths)}, and {max_rows} rows")
        cdef Int *c_sizes = <Int *>malloc((n + 1) * sizeof(Int))
        cdef const char **c_activations = <const char **>malloc((n + 1) * sizeof(char *))
        cdef double *c_dropout = <double *>malloc((n + 1) * sizeof(double))
        cdef double *c_quantiles = <double *>malloc((len(quantiles) + 1) * sizeof(double))
        try:
            if not (c_sizes and c_activations and c_dropout and c_quantiles):
                raise MemoryError
            if is_consistent:
                for i in range(n):
                    c_sizes[i] = widths[i]
                for i in range(n - 2):
                    c_activations[i] = <bytes>names[i]
                for i in range(n - 1):
                    c_dropout[i] = dropout[i]
                for i in range(len(quantiles)):
                    c_quantiles[i] = quantiles[i]
                spec.H, spec.sizes, spec.activations, spec.dropout = n - 1, c_sizes, c_activations, c_dropout
                spec.seed, spec.loss, spec.n_targets = <uint32_t>(seed & 0xffffffff), loss_name, n_targets
                spec.focal_gamma, spec.huber_delta, spec.label_smoothing = focal_gamma, huber_delta, label_smoothing
                spec.quantiles, spec.n_quantiles = c_quantiles, len(quantiles)
                spec.n_members, spec.input_scale, spec.input_scale_rate = n_members, input_scale, input_scale_rate
                spec.optimizer, spec.nesterov, spec.momentum = optimizer_name, nesterov, momentum
                spec.beta_1, spec.beta_2, spec.epsilon = beta_1, beta_2, epsilon
                spec.weight_decay, spec.max_grad_norm = weight_decay, max_grad_norm
                status = self.kernels.create(&spec, max_rows, &self.net)
        finally:
            free(c_sizes)
            free(c_activations)
            free(c_dropout)
            free(c_quantiles)
        if status == NO_SUCH_NETWORK:
            raise ValueError(
                f"No network has layers of the sizes {tuple(widths)}, the activations {tuple(activations)}, dropout "
                f"{tuple(dropout)}, {n_targets} targets of the loss {loss!r}, {n_members} members and the optimizer "
                f"{optimizer!r}, trained on {max_rows} rows at a time."
            )
        checked(status)
        self.max_rows = max_rows
        self.n_in, self.n_targets, self.row_out = widths[0], n_targets, n_members * widths[n - 1]
        self.n, self.itemsize = n_parameters(widths, n_members, input_scale), self.kernels.itemsize
        self.is_plain = n_members == 1 and not input_scale and dtype != "bfloat16"
        self.has_classes = self.kernels.has_classes(self.net)

    def __dealloc__(self):
        if self.net != NULL:
            self.kernels.destroy(self.net)

    cdef void *reals(self, array, str name, Int n_rows, Int width=1, bint writable=False) except NULL:
        return address(array, name, self.itemsize, n_rows, width, writable)

    cdef RowsIn rows(self, X, bint with_targets=False, Y=None, weights=None) except *:
        """X: a C-contiguous matrix, (data, indices, indptr, shape) of CSR, or a Table."""
        cdef RowsIn rows
        cdef Int n_features
        cdef Table table
        rows.X = rows.data = rows.indices = rows.indptr = rows.Y = rows.weights = NULL
        rows.columns = NULL
        rows.row_stride = rows.wide_indices = rows.n_entries = rows.n_columns = 0
        rows.n_rows, n_features = X[3] if isinstance(X, tuple) else X.shape
        if n_features != self.n_in:
            raise ValueError(f"X has {n_features} features, but the network was made for {self.n_in}.")
        if isinstance(X, tuple):
            rows.wide_indices, rows.n_entries = X[1].itemsize == 8, len(X[0])
            if len(X[2]) - 1 != rows.n_rows:
                raise ValueError(f"indptr of sparse X must be {X[3][0] + 1} numbers, for as many rows and the end.")
            rows.data = self.reals(X[0], "data of sparse X", rows.n_entries)
            rows.indices = address(X[1], "indices of sparse X", 8 if rows.wide_indices else 4, rows.n_entries)
            rows.indptr = address(X[2], "indptr of sparse X", 8 if rows.wide_indices else 4, len(X[2]))
        elif isinstance(X, Table):
            table = X
            rows.columns, rows.n_columns = table.columns, table.n_columns
            if table.itemsize != self.itemsize:
                raise ValueError(f"The table's numbers have {table.itemsize} bytes, the network's {self.itemsize}.")
        else:
            rows.X, rows.row_stride = self.reals(X, "X", rows.n_rows, n_features), n_features
        if with_targets and self.has_classes:
            rows.Y = address(Y, "class codes", 8, rows.n_rows)
        elif with_targets:
            rows.Y = self.reals(Y, "Y", rows.n_rows, self.n_targets)
        if weights is not None:
            rows.weights = self.reals(weights, "weights", rows.n_rows)
        return rows

    def set(self, int slot, flat):
        """Copy a flat vector in: for slot -1 the parameters, for 0 and 1 the optimizer's state."""
        cdef const void *p = self.reals(flat, "the parameters or memory", self.n)
        cdef int status
        with nogil:
            status = self.kernels.set(self.net, slot, p)
        checked(status)

    def get(self, int slot, flat):
        """Copy a flat vector out."""
        cdef void *p = self.reals(flat, "the parameters or memory", self.n, 1, True)
        cdef int status
        with nogil:
            status = self.kernels.get(self.net, slot, p)
        checked(status)

    @property
    def mu_product(self):
        """Nadam's product of momenta."""
        return self.kernels.get_extra(self.net)

    @mu_product.setter
    def mu_product(self, double value):
        self.kernels.set_extra(self.net, value)

    def set_threads(self, int n_threads):
        """Set the largest number of threads."""
        self.kernels.set_threads(self.net, n_threads)

    def gradient(self, X, Y, weights, Int step, Int row_offset, numbers, flat):
        """Return the sums of w * loss and of w; write the gradient to flat."""
        cdef RowsIn rows = self.rows(X, True, Y, weights)
        cdef const int64_t *c_numbers = NULL
        if numbers is not None:
            c_numbers = <const int64_t *>address(numbers, "row numbers", 8, rows.n_rows)
        cdef void *p = self.reals(flat, "the gradient", self.n, 1, True)
        cdef double sums[2]
        cdef int status
        with nogil:
            status = self.kernels.gradient(self.net, &rows, step, row_offset, c_numbers, p, sums)
        checked(status)
        return sums[0], sums[1]

    def apply(self, flat, double rate, Int t):
        """Make the optimizer's step t = 1, 2, ... with the gradient flat."""
        cdef const void *p = self.reals(flat, "the gradient", self.n)
        cdef int status
        with nogil:
            status = self.kernels.apply(self.net, p, rate, t)
        checked(status)

    def train(self, X, Y, weights, order, rates, Int batch_size, double mean_weight, double penalty, Int first_step,
              double seconds, double loss_sum=0, double weight_sum=0):
        """Make steps for about `seconds`; return the given sums plus w * loss and w of all rows, and the step count."""
        cdef RowsIn rows = self.rows(X, True, Y, weights)
        cdef Int n_order = len(order), n_rates = len(rates), done = 0
        cdef const int64_t *c_order = <const int64_t *>address(order, "the order of rows", 8, n_order)
        cdef const double *c_rates = <const double *>address(rates, "rates", 8, n_rates)
        if n_rates < 1 or not 1 <= batch_size <= self.max_rows or (n_rates - 1) * batch_size >= n_order:
            raise ValueError(
                f"{n_order} rows do not make {n_rates} minibatches of {batch_size}, at most {self.max_rows} rows each."
            )
        cdef double sums[2]
        cdef int status
        sums[0], sums[1] = loss_sum, weight_sum
        with nogil:
            status = self.kernels.train(self.net, &rows, c_order, n_order, c_rates, n_rates, batch_size, mean_weight,
                                        penalty, first_step, seconds, sums, &done)
        checked(status)
        return (sums[0], sums[1]), done

    def predict(self, X, out, bint link, bint checked_before, flat=None):
        """Write outputs of the last layer, with or without the link; False if X was not checked and is not finite.

        flat: parameters to use instead of those of `set`, for up to max_rows dense rows.
        """
        cdef RowsIn rows = self.rows(X)
        cdef void *p = self.reals(out, "the output", rows.n_rows, self.row_out, True)
        cdef const void *theta = NULL
        cdef int status
        if flat is not None:
            theta = self.reals(flat, "the parameters", self.n)
            if rows.X == NULL or rows.n_rows > self.max_rows or not self.is_plain:
                raise ValueError(
                    f"Up to {self.max_rows} dense rows, one member, no input scale and no tiles are asked for here."
                )
        with nogil:
            status = self.kernels.predict(self.net, &rows, theta, p, link, checked_before)
        return checked(status) != NOT_FINITE
