"""The base of the Ops on a GPU, with one kernel each: inputs, checks on the host, start of the kernel."""
import zlib
from pathlib import Path

import numpy as np
import pygpu.gpuarray

from sparse_ae.ops import nonlinearities
from sparse_ae.ops.gpu.kernels import KERNELS, WIDTH, source
from sparse_ae.ops.op import Updating
from theano import gof
from theano.gpuarray.basic_ops import (
    GpuKernelBase,
    Kernel,
    as_gpuarray_variable,
    gpu_contiguous,
    gpuarray_helper_inc_dir,
)
from theano.gpuarray.type import GpuArrayType

_FOLDER = Path(__file__).resolve().parent
_SUPPORT_CODE = (_FOLDER / "gpu.h").read_text(encoding="utf-8")

# Theano finds a compiled Op by its version, not its code, so the version depends on these files.
_VERSION = tuple(zlib.crc32(path.read_bytes())
                 for path in sorted(_FOLDER.glob("*.py")) + [_FOLDER / "gpu.h", Path(nonlinearities.__file__)])


class GpuCsrOp(Updating, GpuKernelBase, gof.Op):
    """An Op with one kernel on a CSR block; its outputs are the arrays that the kernel writes."""

    # Inputs: on the GPU the arrays that the kernel reads, in its order, among them the plan, then the old values of
    # those that it updates; on the host the sizes and the index array of the block, and `more`.
    __props__ = ()
    kernel = None  # its name
    ndims = {}  # of the kernel's arrays that aren't vectors
    more = []  # names of the other inputs on the host
    f = g = "linear"

    # C code: checks of the inputs, each output's shape, the kernel's sizes other than the block's own, its numbers, and
    # the numbers of blocks of threads in two directions.
    prepare = ""
    fills = False  # whether the output is filled with zeros first

    def make_node(self, *inputs):
        context = next(x.type.context_name for x in inputs if isinstance(x.type, GpuArrayType))
        read, written = self.arrays()
        expected = read + [written[i] for i in self.updated]
        on_gpu = [gpu_contiguous(as_gpuarray_variable(x, context)) for x, _ in zip(inputs, expected)]
        for x, (name, kind) in zip(on_gpu, expected):
            assert x.ndim == self.ndims.get(name, 1) and (kind != "int" or x.dtype == "int32"), name
        dtype, = {x.dtype for x, (_, kind) in zip(on_gpu, expected) if kind != "int"}
        outputs = [GpuArrayType(dtype, (False,) * self.ndims.get(name, 1), context)() for name, _ in written]
        return gof.Apply(self, on_gpu + list(inputs[len(expected):]), outputs)

    def arrays(self):
        """The arrays that the kernel reads, and those that it writes."""
        kernel = KERNELS[self.kernel]
        return kernel.arrays[:-kernel.n_out], kernel.arrays[-kernel.n_out:]

    def get_params(self, node):
        return node.outputs[0].type.context

    def c_headers(self):
        return super().c_headers() + ["numpy_compat.h", "gpuarray_helper.h"]

    def c_header_dirs(self):
        return super().c_header_dirs() + [gpuarray_helper_inc_dir()]

    def c_support_code(self):
        return _SUPPORT_CODE

    def c_code_cache_version(self):
        return _VERSION

    def gpu_kernels(self, node, name):
        dtype = np.dtype(node.outputs[0].dtype)
        c_type = pygpu.gpuarray.dtype_to_ctype(dtype)
        return [Kernel(source(kernel.name, c_type, c_type, self.f, self.g),
                       [pygpu.gpuarray.GpuArray, pygpu.gpuarray.SIZE] * len(kernel.arrays)
                       + [pygpu.gpuarray.SIZE] * len(kernel.sizes) + [dtype] * len(kernel.numbers), kernel.name,
                       Kernel.get_flags(node.outputs[0].dtype), objvar="k_%s_%s" % (kernel.name, name))
                for kernel in map(KERNELS.get, ["zeros"] * self.fills + [self.kernel])]

    def names(self, inputs, outputs):
        """Map the names of arrays and of inputs on the host to the C code's variables."""
        read, written = ([name for name, _ in arrays] for arrays in self.arrays())
        names = read + ["old_" + written[i] for i in self.updated] + ["sizes", "indices"] + self.more + written
        return dict(zip(names, list(inputs) + list(outputs)))

    def outputs_code(self, node):
        return "".join(self.updated_code(name) if i in self.updated else """
            if (theano_prep_output(&{%s}, %d, shape_%s, %d, GA_C_ORDER, {context})) {{ {fail} }}
        """ % (name, x.ndim, name, x.type.typecode)
            for i, ((name, _), x) in enumerate(zip(self.arrays()[1], node.outputs)))

    def c_code(self, node, name, inputs, outputs, sub):
        code = """
        {{
            const npy_int64 *given = (const npy_int64 *)PyArray_DATA({sizes});
            const size_t n_rows = given[0], nnz = given[1], n_used = given[3];
            (void)n_rows, (void)nnz, (void)n_used;
            """ + self.prepare + self.outputs_code(node)
        if self.fills:
            code += """
            const size_t n = PyGpuArray_SIZE({out});
            size_t grid_of_zeros[2] = {{sparse_ae_blocks(n, 256), 1}};
            """ + self.launch_code(KERNELS["zeros"], "grid_of_zeros")
        code += self.launch_code(KERNELS[self.kernel], "grid") + """
        }}"""
        return code.format(context=sub["params"], fail=sub["fail"], name=name, **self.names(inputs, outputs))

    @staticmethod
    def launch_code(kernel, grid):
        arguments = ["{%s}->ga.data, {%s}->ga.offset" % (x, x) for x, _ in kernel.arrays]
        return """
            if (%(grid)s[0] && %(grid)s[1]) {{
                size_t block[2] = {{%(width)d, %(height)d}};
                int err = %(kernel)s_call(2, %(grid)s, block, 0, %(arguments)s);
                if (err != GA_NO_ERROR) {{
                    PyErr_Format(PyExc_RuntimeError, "%(kernel)s: %%s",
                                 GpuKernel_error(&k_%(kernel)s_{name}, err));
                    {fail}
                }}
            }}
        """ % dict(kernel=kernel.name, grid=grid, width=WIDTH, height=kernel.height,
                   arguments=", ".join(arguments + kernel.sizes + kernel.numbers))
