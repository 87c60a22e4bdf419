# cython: language_level=3, boundscheck=False
"""The kernels for Python: networks of numbers that train without the GIL."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc

CODES = "Class codes must be integers in 0..n_classes - 1, one per row."


cdef extern from "system.h":
    ctypedef Py_ssize_t Int


cdef extern from "kernels.h" nogil:
    ctypedef struct Spec:
        Int H
        const Int *sizes
        const int *activations
        const double *dropout
        uint32_t seed
        int loss
        Int n_targets
        double focal_gamma, huber_delta, label_smoothing
        const double *quantiles
        Int n_quantiles
        Int n_members
        int input_scale
        double input_scale_rate
        int optimizer, nesterov
        double momentum, beta_1, beta_2, epsilon, weight_decay, max_grad_norm
    ctypedef struct RowsIn:
        const void *X
        Int n_rows, row_stride
        const void *data
        const void *indices
        const void *indptr
        int wide_indices
        const void *Y
        const void *weights
    ctypedef struct Net:
        pass
    ctypedef struct Kernels:
        const char *level
        int vector_bytes
        Net *(*create)(const Spec *, Int) noexcept nogil
        void (*destroy)(Net *) noexcept nogil
        void (*set)(Net *, int, const void *) noexcept nogil
        void (*get)(const Net *, int, void *) noexcept nogil
        void (*gradient)(Net *, const RowsIn *, Int, Int, const int64_t *, void *, double *) noexcept nogil
        void (*apply)(Net *, const void *, double, Int) noexcept nogil
        Int (*train)(Net *, const RowsIn *, const int64_t *, Int, const double *, Int, Int, double, double, Int,
                     double, double *) noexcept nogil
        int (*predict)(Net *, const RowsIn *, void *, int, int) noexcept nogil
        int (*predict_few)(Net *, const RowsIn *, const void *, void *, int, int) noexcept nogil
        void (*set_extra)(Net *, double) noexcept nogil
        double (*get_extra)(const Net *) noexcept nogil
        void (*set_threads)(Net *, int) noexcept nogil
        double (*fma_rate)() noexcept nogil
    const Kernels *skb_kernels(const char *level, int bits)
    int skb_supported(const char *level)


cdef extern from "pool.h" nogil:
    int skb_get_num_threads()
    void skb_set_num_threads(int n)


def get_num_threads():
    """Threads to use where n_threads is None."""
    return skb_get_num_threads()


def set_num_threads(int n):
    """Limit them."""
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


def levels():
    """Levels that are in this build and that this CPU can run, best first."""
    found = []
    for level in (b"v4", b"v3", b"baseline"):
        if skb_kernels(level, 32) != NULL and skb_supported(level):
            found.append(level.decode())
    return found


def built_levels():
    """Levels that are in this build."""
    return [level.decode() for level in (b"v4", b"v3", b"baseline") if skb_kernels(level, 32) != NULL]


def fma_rate(str level, int bits):
    """Floating-point operations a second of one core that does nothing but multiply-adds: the peak of benchmarks."""
    return skb_kernels(level.encode(), bits).fma_rate()


cdef void *address(object array, bint writable=False) except? NULL:
    """Where a contiguous array's numbers are; the caller keeps the array alive."""
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef void *p = view.buf
    PyBuffer_Release(&view)
    return p


cdef class CpuNet:
    """One network in the memory of the kernels, for batches of up to max_rows rows."""

    cdef const Kernels *kernels
    cdef Net *net
    cdef readonly Int max_rows

    def __cinit__(self, str level, int bits, Int max_rows, sizes, activations, dropout, Int seed, int loss,
                  Int n_targets, double focal_gamma, double huber_delta, double label_smoothing, quantiles,
                  Int n_members, bint input_scale, double input_scale_rate, int optimizer, bint nesterov,
                  double momentum, double beta_1, double beta_2, double epsilon, double weight_decay,
                  double max_grad_norm):
        cdef Spec spec
        cdef Int n = len(sizes), i
        cdef Int *c_sizes = <Int *>malloc(n * sizeof(Int))
        cdef int *c_activations = <int *>malloc(n * sizeof(int))
        cdef double *c_dropout = <double *>malloc(n * sizeof(double))
        cdef double *c_quantiles = <double *>malloc((len(quantiles) + 1) * sizeof(double))
        try:
            if not (c_sizes and c_activations and c_dropout and c_quantiles):
                raise MemoryError
            for i in range(n):
                c_sizes[i] = sizes[i]
            for i in range(n - 2):
                c_activations[i] = activations[i]
            for i in range(n - 1):
                c_dropout[i] = dropout[i]
            for i in range(len(quantiles)):
                c_quantiles[i] = quantiles[i]
            spec.H, spec.sizes, spec.activations, spec.dropout = n - 1, c_sizes, c_activations, c_dropout
            spec.seed, spec.loss, spec.n_targets = <uint32_t>seed, loss, n_targets
            spec.focal_gamma, spec.huber_delta, spec.label_smoothing = focal_gamma, huber_delta, label_smoothing
            spec.quantiles, spec.n_quantiles = c_quantiles, len(quantiles)
            spec.n_members, spec.input_scale, spec.input_scale_rate = n_members, input_scale, input_scale_rate
            spec.optimizer, spec.nesterov, spec.momentum = optimizer, nesterov, momentum
            spec.beta_1, spec.beta_2, spec.epsilon = beta_1, beta_2, epsilon
            spec.weight_decay, spec.max_grad_norm = weight_decay, max_grad_norm
            self.kernels = skb_kernels(level.encode(), bits)
            self.max_rows = max_rows
            self.net = self.kernels.create(&spec, max_rows)
            if self.net == NULL:
                raise MemoryError("not enough memory for the network's layers")
        finally:
            free(c_sizes)
            free(c_activations)
            free(c_dropout)
            free(c_quantiles)

    def __dealloc__(self):
        if self.net != NULL:
            self.kernels.destroy(self.net)

    cdef RowsIn rows(self, X, Y, weights) except *:
        """X: a C-contiguous matrix, or (data, indices, indptr, are indices int64)."""
        cdef RowsIn rows
        rows.X = rows.data = rows.indices = rows.indptr = NULL
        rows.row_stride = 0
        rows.wide_indices = 0
        if isinstance(X, tuple):
            rows.data, rows.indices, rows.indptr = address(X[0]), address(X[1]), address(X[2])
            rows.wide_indices = X[3]
            rows.n_rows = len(X[2]) - 1
        else:
            rows.X = address(X)
            rows.n_rows, rows.row_stride = X.shape
        rows.Y, rows.weights = address(Y), address(weights)
        return rows

    def set(self, int slot, flat):
        """Copy a flat vector in: slot -1 the parameters, 0 and 1 the optimizer's memory."""
        cdef const void *p = address(flat)
        with nogil:
            self.kernels.set(self.net, slot, p)

    def get(self, int slot, flat):
        """Copy a flat vector out."""
        cdef void *p = address(flat, True)
        with nogil:
            self.kernels.get(self.net, slot, p)

    @property
    def mu_product(self):
        """Nadam's product of momenta."""
        return self.kernels.get_extra(self.net)

    @mu_product.setter
    def mu_product(self, double value):
        self.kernels.set_extra(self.net, value)

    def set_threads(self, int n_threads):
        """How many threads may work at once."""
        self.kernels.set_threads(self.net, n_threads)

    def gradient(self, X, Y, weights, Int step, Int row_offset, numbers, flat):
        """Sums of w * loss and of w; the gradient goes to flat."""
        cdef RowsIn rows = self.rows(X, Y, weights)
        cdef const int64_t *c_numbers = <const int64_t *>address(numbers)
        cdef void *p = address(flat, True)
        cdef double sums[2]
        with nogil:
            self.kernels.gradient(self.net, &rows, step, row_offset, c_numbers, p, sums)
        return sums[0], sums[1]

    def apply(self, flat, double rate, Int t):
        """One step of the optimizer, number t = 1, 2, ..."""
        cdef const void *p = address(flat)
        with nogil:
            self.kernels.apply(self.net, p, rate, t)

    def train(self, X, Y, weights, order, rates, Int batch_size, double mean_weight, double penalty, Int first_step,
              double seconds, double loss_sum=0, double weight_sum=0):
        """Steps through `order` for about so many seconds: the sums of w * loss and of w go on; and how many steps."""
        cdef RowsIn rows = self.rows(X, Y, weights)
        cdef const int64_t *c_order = <const int64_t *>address(order)
        cdef const double *c_rates = <const double *>address(rates)
        cdef Int n_order = len(order), n_rates = len(rates), done
        cdef double sums[2]
        sums[0], sums[1] = loss_sum, weight_sum
        with nogil:
            done = self.kernels.train(self.net, &rows, c_order, n_order, c_rates, n_rates, batch_size, mean_weight,
                                      penalty, first_step, seconds, sums)
        if done == -2:
            raise ValueError(CODES)
        if done < 0:
            raise MemoryError("not enough memory for the gradient and the optimizer")
        return (sums[0], sums[1]), done

    def predict(self, X, out, bint link, bint checked):
        """Outputs of the last layer, through the link or raw; False if X was not checked and is not finite."""
        cdef RowsIn rows = self.rows(X, None, None)
        cdef void *p = address(out, True)
        cdef bint is_finite
        with nogil:
            is_finite = self.kernels.predict(self.net, &rows, p, link, checked)
        return is_finite

    def predict_few(self, X, flat, out, bint link, bint checked):
        """The same for up to max_rows rows, straight from a flat vector."""
        cdef RowsIn rows = self.rows(X, None, None)
        cdef const void *theta = address(flat)
        cdef void *p = address(out, True)
        cdef bint is_finite
        with nogil:
            is_finite = self.kernels.predict_few(self.net, &rows, theta, p, link, checked)
        return is_finite
